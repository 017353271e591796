"""All mistakes, by the kind of layer, loss or optimizer that can have them."""

from __future__ import annotations

from compare.mistakes.convolution import CONVOLUTION
from compare.mistakes.layers import LAYERS
from compare.mistakes.losses import LOSSES
from compare.mistakes.mistake import Catalogue
from compare.mistakes.normalisation import NORMALISATION
from compare.mistakes.optimizers import OPTIMIZERS

CATALOGUE: Catalogue = {**LAYERS, **CONVOLUTION, **NORMALISATION, **LOSSES, **OPTIMIZERS}
