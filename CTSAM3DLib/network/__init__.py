"""Networks of the CT-SAM3D family (PyTorch). Knows no file and no device."""
