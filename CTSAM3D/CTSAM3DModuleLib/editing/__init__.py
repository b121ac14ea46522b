"""One segment under the hands of a user; panel and effect both work through it."""
