"""Slicer nodes to and from the library: the only code that imports slicer and vtk."""
