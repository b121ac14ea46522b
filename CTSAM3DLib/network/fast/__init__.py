"""Exact decoding of one prompt on a processor: the same answer for less work."""
