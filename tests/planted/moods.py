"""An architecture that is well in one process, and elsewhere does what its argument says.

The activation misbehaves in its fourth forward pass, in the middle of the training.
"""

import os
import signal
import time
import warnings
from pathlib import Path

AT_HOME = "NNCOMPARE_TEST_AT_HOME"
"""The process in which all is well, as an environment variable."""


def net(nn, mood="well", folder="."):
    """A small network; ``folder`` is where it is noted that it has died or become slow."""
    note = Path(folder) / f"{mood} {os.getpid()}"

    def forward(self, x):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 4 and os.environ.get(AT_HOME) != str(os.getpid()):
            misbehave(mood, note)
        return nn.ReLU.forward(self, x)

    own = type("ReLU", (nn.ReLU,), {"forward": forward})
    return nn.Sequential(nn.Linear(784, 8), own(), nn.Linear(8, 10))


def misbehave(mood, note):
    died = list(note.parent.glob(f"{mood} *"))
    if mood == "warns":
        warnings.warn("mind the step", UserWarning, stacklevel=1)
    elif mood == "raises":
        raise ValueError("no, thanks\nnot today")
    elif mood == "exits":
        raise SystemExit(3)
    elif mood == "dies" or (mood == "dies once" and not died):
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    elif mood == "sleeps":
        note.touch()
        time.sleep(600)
