"""Checking somebody's own code against PyTorch: see docs/checking.md for the contract."""
