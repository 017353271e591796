"""Deep Learning Specialization, course 1, week 3: planar data, a network with one hidden layer.

forward_propagation(X, parameters) returns (A2, cache), compute_cost(A2, Y) the cost (in older
years it has a third argument, the parameters), backward_propagation(parameters, cache, X, Y) a
dict with dW1, db1, dW2 and db2, and update_parameters(parameters, grads, learning_rate) the
parameters. X is (2, m); the activations are tanh and a sigmoid. The course's planar_utils is
supplied where it is not beside the notebook.
"""

from compare.check import specialisation
from compare.check.adapters import sequential

LOSS, BATCH_AXIS = "bce", 1
PARAMETERS = {
    "W1": "linear1.weight", "b1": "linear1.bias[:, None]",
    "W2": "linear2.weight", "b2": "linear2.bias[:, None]",
}  # fmt: skip
_functions = specialisation.Functions(
    globals(),
    forward="forward_propagation",
    backward="backward_propagation",
    module="planar_utils",
    learning_rate=1.2,
)
NOTES, forward, loss, gradients, update = _functions.offer(PARAMETERS, _functions.from_arguments)


def architecture(nn):
    """The network: linear, tanh, linear, sigmoid."""
    return sequential(
        nn, linear1=nn.Linear(2, 4), tanh=nn.Tanh(), linear2=nn.Linear(4, 1), sigmoid=nn.Sigmoid()
    )
