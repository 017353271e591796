"""The data sets an experiment can name: images or tables with labels, read, checked and scaled.

``load("mnist-sample")`` needs neither network nor folder; ``available()`` says what there is.
"""

from __future__ import annotations

from experiments.datasets.dataset import Dataset, Split
from experiments.datasets.registry import available, load

__all__ = ["Dataset", "Split", "available", "load"]
