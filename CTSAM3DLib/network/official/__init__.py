"""The authors' network, layer by layer, in the layout of their checkpoint."""
