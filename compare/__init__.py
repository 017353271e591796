"""The harness: both sides in lock step, compared at every step; records; the command line."""
