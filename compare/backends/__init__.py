"""NumPy and PyTorch behind one protocol. What differs between them is written here."""

from compare.backends.protocol import Backend, Call, Evaluation, RecordedStep, Referee, Stage, State

__all__ = ["Backend", "Call", "Evaluation", "RecordedStep", "Referee", "Stage", "State"]
