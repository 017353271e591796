"""Textbook demonstrations that train no network: optimizers on a surface, activations by layer."""
