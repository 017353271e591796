# The contract for two_layer_net.py, whose names are at hand here without an import.
ONE_HOT = True
PARAMETERS = {"W1": "0.weight.T", "b1": "0.bias", "W2": "2.weight.T", "b2": "2.bias"}


def architecture(nn):
    return nn.Sequential(nn.Linear(30, 50), nn.ReLU(), nn.Linear(50, 10))


def network(params):
    net = TwoLayerNet(30, 50, 10)  # noqa: F821
    for name, array in params.items():
        net.params[name][...] = array
    return net
