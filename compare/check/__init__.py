"""Checking a homework, from-scratch code of any origin, against PyTorch.

See docs/checking.md for what a homework declares.
"""
