"""The two sides behind one protocol. What differs between NumPy and PyTorch is written here."""

from compare.backends.protocol import Backend, Call, Evaluation, Referee, Stage, State, Step

__all__ = ["Backend", "Call", "Evaluation", "Referee", "Stage", "State", "Step"]
