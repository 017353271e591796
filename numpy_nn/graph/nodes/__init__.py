"""The nodes, each one operation with its own forward and backward."""

from .arithmetic import Add, Div, Exp, Log, MatMul, Mul, Power, Sub
from .choice import Where
from .node import Node
from .reduction import Max, Sum
from .shape import Broadcast, Index, Pad, Reshape, Transpose

__all__ = [
    "Add",
    "Broadcast",
    "Div",
    "Exp",
    "Index",
    "Log",
    "MatMul",
    "Max",
    "Mul",
    "Node",
    "Pad",
    "Power",
    "Reshape",
    "Sub",
    "Sum",
    "Transpose",
    "Where",
]
