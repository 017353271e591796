"""Settings of every test: one thread (results do not depend on it, speed on a busy machine does)
and no window."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
