"""Networks of the CT-SAM3D family, their TorchScript bundles and the torch predictor."""
