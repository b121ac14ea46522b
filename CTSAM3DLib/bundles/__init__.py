"""Networks to and from files and devices.

Imported where a model is loaded, since it needs PyTorch.
"""
