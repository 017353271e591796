"""Numbers read off the records of a run: quantities, intervals, equivalence, claims, verdicts."""
