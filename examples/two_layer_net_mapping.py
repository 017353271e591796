# What two_layer_net.py does not say itself. Its names are at hand here without an import.
def architecture(nn):
    return nn.Sequential(nn.Linear(30, 50), nn.ReLU(), nn.Linear(50, 10))


def network():
    return TwoLayerNet(30, 50, 10)  # noqa: F821
