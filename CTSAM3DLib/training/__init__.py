"""Training of the bundled model: torch and numpy are enough once the data is packed."""
