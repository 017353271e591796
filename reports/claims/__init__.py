"""Which sentences stand where in the report, with the numbers they are made from.

A paragraph describes one training. Where there are several seeds, the trainings of the first one
are described, and every other that failed or was broken off; the tables have them all.
"""
