"""The widgets of the .ui file, one section a module."""
