"""Parts of the Slicer module and of the effect; none of them imports PyTorch at load."""
