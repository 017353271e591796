"""How the weights of a network start, written once for both backends."""

from __future__ import annotations

from typing import Any, Literal

Scheme = Literal[
    "kaiming_uniform",
    "kaiming_normal",
    "xavier_uniform",
    "xavier_normal",
    "lecun_uniform",
    "lecun_normal",
    "normal",
    "default",
]


def initialise(nn: Any, model: Any, scheme: Scheme = "kaiming_uniform", std: float = 0.01) -> None:
    """Draw every weight matrix or kernel of ``model`` anew and set the biases beside them to 0.

    The layers are visited in the order in which they were defined, so equal generators on two
    backends give equal weights. Layers without a weight of two or more dimensions (BatchNorm) keep
    what their constructor gave them.

    Args:
        nn: The namespace that ``model`` was built from.
        model: The network; changed in place.
        scheme: ``kaiming_*`` is He's initialisation, variance 2 / fan_in (He et al. 2015,
            equation 10); ``xavier_*`` has variance 2 / (fan_in + fan_out) (Glorot and Bengio
            2010, equation 16); ``lecun_*`` has variance 1 / fan_in (LeCun et al. 1998, equation
            16), which some textbooks call Xavier's; ``normal`` has standard deviation ``std``;
            ``default`` leaves the network, biases included, as the constructors made it.
        std: Standard deviation for ``normal``.
    """
    if scheme == "default":
        return
    draw = {
        "kaiming_uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
        "kaiming_normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
        "xavier_uniform": nn.init.xavier_uniform_,
        "xavier_normal": nn.init.xavier_normal_,
        "lecun_uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="linear"),
        "lecun_normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear"),
        "normal": lambda w: nn.init.normal_(w, 0.0, std),
    }[scheme]
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if weight is None or len(weight.shape) < 2:
            continue
        draw(weight)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)
