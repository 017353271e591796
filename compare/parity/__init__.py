"""Whether NumPy computes what PyTorch computes: every site compared, within rounding."""
