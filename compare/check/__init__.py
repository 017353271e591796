"""Checking a homework, a from-scratch network of somebody else's, against PyTorch.

See docs/checking.md for what a homework declares.
"""
