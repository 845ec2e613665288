"""``python -m loadtest.bench``: ratios to a limit measured in the same run."""
