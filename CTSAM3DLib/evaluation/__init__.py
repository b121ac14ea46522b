"""Measuring how good a mask is after how many clicks, for our model and for classical methods."""
