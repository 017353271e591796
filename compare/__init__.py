"""The harness: both backends in lock step, compared at every step; records; the command line."""
