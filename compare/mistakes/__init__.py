"""Mistakes that people make, as code: what would each have produced here?

A mistake is a layer, loss or optimizer that computes what this mistake makes of it.
:mod:`compare.mistakes.search` puts each into the right code in turn and names the one that
reproduces the values that were found.
"""
