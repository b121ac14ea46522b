"""Files in, files out: one case, a table of cases, a report."""
