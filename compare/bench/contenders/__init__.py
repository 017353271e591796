"""NumPy and PyTorch at the work that is timed."""
