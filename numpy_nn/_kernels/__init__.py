"""What is there for speed alone; the formulas are in the layers and optimizers that call it.

* ``memory``: the memory of large arrays, used again from one training step to the next;
* ``elementwise``: long arrays a part at a time, choices without branches, the error function;
* ``reductions``: sums over a batch, and classes on the axis where NumPy is fast;
* ``im2col``: convolutions as matrix products;
* ``pooling``: maxima and sums over the windows of a pooling layer;
* ``flat_parameters``: many parameters behind one array, for the optimizers.

Nothing outside of ``numpy_nn`` imports from here.
"""
