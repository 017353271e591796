"""The two sides behind one protocol. What differs between NumPy and PyTorch is written here."""

from compare.sides.protocol import Call, Evaluation, Referee, Side, Stage, State, Step

__all__ = ["Call", "Evaluation", "Referee", "Side", "Stage", "State", "Step"]
