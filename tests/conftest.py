"""Settings of every test: one thread (results do not depend on it, speed on a busy machine does),
no window, and Ctrl-C at work."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# A shell starts what it puts in the background with SIGINT ignored, and processes inherit that;
# those that the tests start are to be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
