"""The layers and losses, one family a file, named as in torch.nn.modules."""

from typing import TYPE_CHECKING

from . import (
    activation,
    batchnorm,
    container,
    conv,
    dropout,
    flatten,
    linear,
    loss,
    module,
    normalization,
    pooling,
    sparse,
)
from .activation import *
from .batchnorm import *
from .container import *
from .conv import *
from .dropout import *
from .flatten import *
from .linear import *
from .loss import *
from .module import *
from .normalization import *
from .pooling import *
from .sparse import *

if not TYPE_CHECKING:  # mypy takes no sum for a list of names; it follows the imports
    __all__ = (
        activation.__all__
        + batchnorm.__all__
        + container.__all__
        + conv.__all__
        + dropout.__all__
        + flatten.__all__
        + linear.__all__
        + loss.__all__
        + module.__all__
        + normalization.__all__
        + pooling.__all__
        + sparse.__all__
    )
