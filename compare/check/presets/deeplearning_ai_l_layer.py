"""Deep Learning Specialization, course 1, week 4: the functions of the L-layer network.

L_model_forward(X, parameters) returns (AL, caches), compute_cost(AL, Y) the cost,
L_model_backward(AL, Y, caches) a dict with dW1, db1, …, and update_parameters(params, grads,
learning_rate) the parameters. X is (n_x, m); the last activation is a sigmoid, the others are relu.
The course's dnn_utils is supplied where it is not beside the notebook.
"""

from compare.check import specialisation
from compare.check.adapters import sequential

LOSS, BATCH_AXIS = "bce", 1
PARAMETERS = {
    "W1": "linear1.weight", "b1": "linear1.bias[:, None]",
    "W2": "linear2.weight", "b2": "linear2.bias[:, None]",
    "W3": "linear3.weight", "b3": "linear3.bias[:, None]",
}  # fmt: skip
_functions = specialisation.Functions(
    globals(),
    forward="L_model_forward",
    backward="L_model_backward",
    module="dnn_utils",
    learning_rate=0.0075,
)
NOTES, forward, loss, gradients, update = _functions.offer(PARAMETERS, _functions.from_caches)


def architecture(nn):
    """The network: linear and relu twice, linear, sigmoid."""
    return sequential(
        nn, linear1=nn.Linear(7, 6), relu1=nn.ReLU(), linear2=nn.Linear(6, 5), relu2=nn.ReLU(),
        linear3=nn.Linear(5, 1), sigmoid=nn.Sigmoid(),
    )  # fmt: skip
