"""Layer objects of every style: how they are run, told their mode, and asked for gradients."""

from __future__ import annotations

import numpy as np
import pytest

from compare.check.layer_classes import (
    CLEARING,
    FLATTEN,
    LOSS_LAYERS,
    USUAL_ATTRIBUTES,
    LayerObjects,
    LossFunctions,
    RowOfLayers,
)
from compare.check.layer_methods import (
    GRAD_INPUTS,
    METHODS,
    OUTPUTS,
    RATE,
    TrainingSwitch,
    class_name,
    layer_backward,
    loss_backward,
    loss_forward,
    loss_value,
    required_arguments,
    run_backward,
    run_forward,
    takes_rate,
    with_usual_names,
)

X = np.arange(6.0).reshape(2, 3) - 2


class Affine:
    def __init__(self, W, b=0.0) -> None:
        self.W, self.b = np.array(W, float), np.zeros(3) + b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class Relu:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


class Mse:
    def forward(self, x, y):
        self.d = x - y
        return np.sum(self.d**2) / 2

    def backward(self):
        return self.d


class Holder:
    """An object with the attributes that it is given."""

    def __init__(self, **attributes) -> None:
        self.__dict__.update(attributes)


def layer(name="Layer", **methods):
    return type(name, (), {k: v for k, v in methods.items() if k})()


def refused(network, **more) -> str:
    with pytest.raises(TypeError) as error:
        LayerObjects(network, **more)
    return str(error.value)


LISTS = (
    "network(params) should return a list of layers, or (layers, loss layer), or an object with "
    ".layers, but returned "
)


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (None, f"{LISTS}NoneType"),
        ([], f"{LISTS}list"),
        ({}, f"{LISTS}dict"),
        ("layers", f"{LISTS}str"),
        (Holder(layers=3), f"{LISTS}int"),
        ([Relu(), 3], "each layer needs forward(x) and backward(dout), but int has no forward"),
        ([layer("Half", forward=lambda self, x: x)],
         "each layer needs forward(x) and backward(dout), but Half has no backward"),
        ([[Relu(), layer("Half", forward=lambda self, x: x)]],
         "each layer needs forward(x) and backward(dout), but Half does not have both"),
    ],
)  # fmt: skip
def test_what_is_no_network_of_layers(network, sentence) -> None:
    assert refused(network) == sentence


def test_what_is_said_of_layers() -> None:
    only = Relu()
    only.backward = None
    found = LayerObjects([Affine(np.eye(3)), only, Mse()], output_layer=False).summary()
    assert found == {
        "names": [], "classes": ["Affine", "Relu"], "forward_only": [1], "loss": "Mse",
        "left_out": "", "updating": False, "unknown_switches": [],
    }  # fmt: skip
    rated = layer("Rated", forward=lambda self, x, flag=False: x,
                  backward=lambda self, dy, learning: dy)  # fmt: skip
    found = LayerObjects({"0": Affine(np.eye(3)), 1: rated}).summary()
    assert (found["names"], found["loss"]) == (["0", "1"], None)
    assert (found["updating"], found["unknown_switches"]) == (True, [1])


@pytest.mark.parametrize("name", LOSS_LAYERS)
def test_a_network_object_keeps_its_loss(name) -> None:
    found = LayerObjects(Holder(layers=[Relu()], **{name: Mse()}))
    assert found.summary()["loss"] == "Mse"
    assert LayerObjects(Holder(layers=[Relu()], **{name: 0.5})).loss_layer is None


def test_where_the_loss_may_stand() -> None:
    for network in (([Relu()], Mse()), [Relu(), Mse()], ({"0": Relu()}, Mse())):
        found = LayerObjects(network)
        assert (len(found.layers), type(found.loss_layer).__name__) == (1, "Mse")
    named = LayerObjects({"0": Relu(), "loss": Mse()})
    assert (named.names, len(named.layers)) == (["0"], 1)
    two = LayerObjects((Relu(), Relu()))
    assert (len(two.layers), two.loss_layer) == (2, None)

    def mse(y_true, y_pred):
        return np.sum((y_true - y_pred) ** 2) / 2

    functions = LayerObjects(([Relu()], (mse, lambda y_true, y_pred: y_pred - y_true)))
    assert functions.summary()["loss"] == "mse"
    found = functions.run_loss(X, np.zeros((2, 3)))
    assert found["loss"] == np.sum(X**2) / 2
    np.testing.assert_array_equal(found["gradient"], X)
    assert LossFunctions(Holder(), None).__name__ == "loss"


class Softmax(Relu):
    """Doubles, so that it shows whether it ran."""

    def forward(self, x):
        return 2 * x

    def backward(self, dout):
        return 2 * dout


def test_an_output_layer_belongs_to_the_loss() -> None:
    kept = LayerObjects(([Relu(), Softmax()], Mse()))
    assert kept.summary()["classes"] == ["Relu", "Softmax"]
    joined = LayerObjects(({"0": Relu(), "1": Softmax()}, Mse()), output_layer=False)
    assert (joined.names, joined.summary()["loss"]) == (["0"], "Softmax + Mse")
    found = joined.run_loss(X, np.ones((2, 3)))
    assert found["loss"] == np.sum((2 * X - 1) ** 2) / 2
    np.testing.assert_array_equal(found["gradient"], 2 * (2 * X - 1))
    left = LayerObjects([Relu(), Softmax()], output_layer=False)
    assert (left.left_out, left.loss_layer, len(left.layers)) == ("Softmax", None, 1)
    for name in ("Sigmoid", "LogSoftmax", "log_softmax", "SoftMaxLayer"):
        output = layer(name, forward=lambda self, x: x, backward=lambda self, dy: dy)
        assert LayerObjects([Relu(), output], output_layer=False).left_out == name
    assert LayerObjects([Softmax(), Relu()], output_layer=False).left_out == ""


@pytest.mark.parametrize("name", ["AddBias", "Bias", "bias_add", "add_bias", "BiasLayer"])
def test_a_layer_that_adds_a_bias_is_one_with_that_before(name) -> None:
    bias = layer(name, forward=lambda self, x: x + 1, backward=lambda self, dy: dy, b=7)
    found = LayerObjects([Affine(np.eye(3)), bias, Relu()])
    assert found.summary()["classes"] == [f"Affine + {name}", "Relu"]
    joined = found.layers[0]
    np.testing.assert_array_equal(joined.forward(X), X + 1)
    np.testing.assert_array_equal(joined.backward(X), X)
    np.testing.assert_array_equal(joined.W, np.eye(3))
    with pytest.raises(AttributeError, match=r"^nothing$"):
        joined.nothing  # noqa: B018
    assert len(LayerObjects({"0": Affine(np.eye(3)), "1": bias}).layers) == 2
    assert len(LayerObjects([bias, Relu()]).layers) == 2


def test_a_row_of_layers() -> None:
    row = RowOfLayers([Affine(2 * np.eye(3)), Relu()])
    assert class_name(row) == "Affine + Relu"
    np.testing.assert_array_equal(row.forward(X), np.maximum(2 * X, 0))
    np.testing.assert_array_equal(row.backward(np.ones((2, 3))), 2.0 * (X > 0))
    inside = LayerObjects([[Affine(np.eye(3)), Relu()], Relu()])
    assert inside.summary()["classes"] == ["Affine + Relu", "Relu"]


def test_layers_in_a_row_have_the_names_that_are_said() -> None:
    own = layer("Own", up=lambda self, x: 2 * x, forward=lambda self, x: x,
                down=lambda self, dy: 3 * dy)  # fmt: skip
    names = {"forward": "up", "backward": "down"}
    (row,) = LayerObjects([[own, Relu()]], methods=names).layers
    np.testing.assert_array_equal(row.forward(X), np.maximum(2 * X, 0))
    np.testing.assert_array_equal(row.backward(X), 3 * X * (X > 0))


def test_one_layer_alone() -> None:
    objects = LayerObjects([Affine(np.arange(9).reshape(3, 3), 1.0)])
    dy = np.ones((2, 3))
    found = objects.run_layer({"x": X, "dy": dy}, 0, {"w": ["gone", "dW"], "b": ["db"]}, {})
    assert list(found) == ["output", "grad_input", "gradient w", "gradient b"]
    np.testing.assert_array_equal(found["output"], X @ np.arange(9).reshape(3, 3) + 1)
    np.testing.assert_array_equal(found["grad_input"], dy @ np.arange(9).reshape(3, 3).T)
    np.testing.assert_array_equal(found["gradient w"], X.T @ dy)
    np.testing.assert_array_equal(found["gradient b"], [2, 2, 2])
    for paths, more in ((["p"], ""), (list("pqrs"), ""), (list("pqrst"), " or the like")):
        with pytest.raises(AttributeError) as error:
            objects.run_layer({"x": X, "dy": dy}, 0, {"0.weight": paths}, {})
        assert str(error.value) == (
            f"Affine keeps no gradient of its weight under {', '.join(paths[:4])}{more}: name the "
            "attribute in ATTRIBUTES"
        )


class Updating(Affine):
    def backward(self, dout, rate):
        dx = super().backward(dout)
        self.W = self.W - rate * self.dW
        del self.dW
        return dx


class Subtracting(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.W = self.W - 0.5 * self.dW
        return dx


def test_gradients_of_layers_that_update_themselves() -> None:
    dy = np.ones((2, 3))
    objects = LayerObjects([Updating(np.eye(3))])
    found = objects.run_layer({"x": X, "dy": dy}, 0, {"w": ["gone", "-W"]}, {})
    np.testing.assert_allclose(found["gradient w"], X.T @ dy, rtol=1e-9, atol=1e-8)
    assert RATE == 2.0**30
    declared = LayerObjects([Subtracting(np.eye(3))])
    found = declared.run_layer({"x": X, "dy": dy}, 0, {"w": ["-W"]}, {})
    np.testing.assert_array_equal(found["gradient w"], 0.5 * X.T @ dy)
    # Of several attributes what it subtracts counts only where it takes a rate.
    found = declared.run_layer({"x": X, "dy": dy}, 0, {"w": ["-W", "dW"]}, {})
    np.testing.assert_array_equal(found["gradient w"], X.T @ dy)
    step = objects.run_step({"x": X, "grad_logits": dy}, [0], {"0": {"w": ["-W"]}})
    np.testing.assert_allclose(step["gradient w"], X.T @ dy, rtol=1e-9, atol=1e-8)


class Norm:
    running_mean = None
    moving = None

    def forward(self, x):
        self.running_mean = x.mean(axis=0) + (0 if self.running_mean is None else self.running_mean)
        return x

    backward = None


def test_running_statistics_begin_as_they_are_given() -> None:
    objects = LayerObjects([Norm()])
    arrays = {"x": X, "dy": X, "m": np.full(3, 10.0), "v": np.ones(3)}
    buffers = {"m": ["gone", "running_mean"], "v": ["other"]}
    found = objects.run_layer(arrays, 0, {"w": ["dW"]}, buffers)
    assert list(found) == ["output", "buffer m"]  # forward alone, and the layer has no v
    np.testing.assert_array_equal(found["buffer m"], X.mean(axis=0) + 10)


def test_tokens_have_no_gradient() -> None:
    table = layer("Table", forward=lambda self, x: x, backward=lambda self, dy: None)
    objects = LayerObjects([table])
    found = objects.run_layer({"x": np.arange(3), "dy": X}, 0, {}, {})
    np.testing.assert_array_equal(found["grad_input"], 0)
    with pytest.raises(TypeError) as error:
        objects.run_layer({"x": X, "dy": X}, 0, {}, {})
    assert str(error.value) == (
        "Table.backward returned None, and the layer has no .dinputs; is a return missing?"
    )


class Mask:
    def __init__(self) -> None:
        self.count = 0

    def forward(self, x, training):
        self.count += 1
        return x * self.count if training else -x

    def backward(self, dy):
        return dy * self.count


def test_a_dropout_alone() -> None:
    found = LayerObjects([Mask()]).run_dropout({"x": X, "dy": np.ones((2, 3))}, 0)
    assert list(found) == ["output", "grad_input", "again", "evaluation"]
    for part, expected in (("output", X), ("again", 2 * X), ("evaluation", -X)):
        np.testing.assert_array_equal(found[part], expected)
    np.testing.assert_array_equal(found["grad_input"], np.ones((2, 3)))
    assert "evaluation" not in LayerObjects([Relu()]).run_dropout({"x": X, "dy": X}, 0)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_whole_network_with_a_flatten_that_is_left_out(axis) -> None:
    """Forward, the loss and backward, against the same by hand."""
    images = np.arange(12.0).reshape(2, 2, 3)  # two rows of 2 × 3 values
    W = np.arange(12.0).reshape(6, 2) / 7
    rows = images.reshape(2, 6)

    class Turned(Affine):
        def __init__(self) -> None:
            self.W, self.b = W, 0

        def forward(self, x):
            return super().forward(x.T if axis else x).T if axis else super().forward(x)

        def backward(self, dout):
            dx = super().backward(dout.T if axis else dout)
            return dx.T if axis else dx

    objects = LayerObjects(([Relu(), Turned()], Mse()))
    x = np.moveaxis(images, 0, axis)
    arrays = {"x": x, "y": np.zeros((2, 2))}
    order = [0, FLATTEN, 1]
    logits = objects.run_chain(x, order, axis)
    np.testing.assert_allclose(logits, (rows @ W).T if axis else rows @ W)
    found = objects.run_step(arrays, order, {"1": {"w": ["dW"]}}, axis)
    assert list(found) == ["loss", "gradient w"]
    assert found["loss"] == pytest.approx(np.sum((rows @ W) ** 2) / 2)
    np.testing.assert_allclose(found["gradient w"], rows.T @ (rows @ W))
    seen = {}
    objects.layers[0].backward = lambda dy: seen.setdefault("dy", dy)
    objects.run_step(arrays, order, {}, axis)
    np.testing.assert_allclose(seen["dy"], np.moveaxis((rows @ W @ W.T).reshape(2, 2, 3), 0, axis))


@pytest.mark.parametrize("name", CLEARING)
def test_gradients_are_cleared_before_a_step(name) -> None:
    cleared = []
    relu = Relu()
    setattr(relu, name, lambda: cleared.append("layer"))
    whole = Holder(layers=[relu], **{name: lambda: cleared.append("network")})
    LayerObjects(whole).run_step({"x": X, "grad_logits": X}, [0], {})
    assert cleared == ["network", "layer"]


def test_the_first_layer_needs_no_gradient_by_its_input() -> None:
    silent = layer("Silent", forward=lambda self, x: x, backward=lambda self, dy: None)
    assert LayerObjects([silent, Relu()]).run_step({"x": X, "grad_logits": X}, [0, 1], {}) == {}
    with pytest.raises(TypeError):
        LayerObjects([Relu(), silent]).run_step({"x": X, "grad_logits": X}, [0, 1], {})


def test_a_step_gets_the_output_itself_and_a_loss_alone_copies() -> None:
    class Careless(Mse):
        def forward(self, x, y):
            x += 1
            return super().forward(x, y)

    x = X.copy()
    LayerObjects(([Relu()], Careless())).run_loss(x, X)
    np.testing.assert_array_equal(x, X)
    LayerObjects(([Relu()], Careless())).run_loss(x, X, copies=False)
    np.testing.assert_array_equal(x, X + 1)


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_in_an_attribute(name) -> None:
    kept = layer("Kept", forward=lambda self, x: setattr(self, name, 2 * x),
                 backward=lambda self, dy: dy)  # fmt: skip
    np.testing.assert_array_equal(run_forward(kept, X), 2 * X)


@pytest.mark.parametrize("name", GRAD_INPUTS)
def test_a_gradient_in_an_attribute(name) -> None:
    kept = layer("Kept", backward=lambda self, dy: setattr(self, name, 3 * dy))
    np.testing.assert_array_equal(run_backward(kept, X), 3 * X)


def test_an_output_that_is_nowhere() -> None:
    with pytest.raises(TypeError) as error:
        run_forward(layer("None_", forward=lambda self, x: None), X)
    assert str(error.value) == (
        f"None_.forward returned None, and the layer has no .{OUTPUTS[0]}; is a return missing?"
    )


@pytest.mark.parametrize(
    ("method", "name"), [(method, name) for method, names in METHODS.items() for name in names]
)
def test_methods_of_other_names(method, name) -> None:
    renamed = with_usual_names(layer("Own", **{name: lambda self, x: 2 * x}))
    assert getattr(renamed, method)(3) == 6
    assert class_name(renamed) == "Own"
    renamed.kept = 5
    assert renamed.kept == 5
    assert "kept" in dir(renamed)


def test_methods_that_are_named() -> None:
    own = layer("Own", up=lambda self, x: x + 1, forward=lambda self, x: x, backprop=lambda s, d: 7)
    assert with_usual_names(own, {"forward": "up"}).forward(1) == 2
    assert with_usual_names(own, {"forward": "gone"}).forward(1) == 1
    assert with_usual_names(own, {"forward": "up"}).backward(1) == 7
    assert with_usual_names(None, {"forward": "up"}) is None
    relu = Relu()
    assert with_usual_names(relu) is relu


@pytest.mark.parametrize(
    ("forward", "training", "evaluation", "unknown"),
    [
        (lambda self, x, training: training, True, False, False),
        (lambda self, x, is_train=False: is_train, True, False, False),
        (lambda self, x, train_flg=True: train_flg, True, False, False),
        (lambda self, x, test=False: test, False, True, False),
        (lambda self, x, in_eval_mode: in_eval_mode, False, True, False),
        (lambda self, x, mode: mode, "train", "test", False),
        (lambda self, x, mode="train": mode, "train", "test", False),
        (lambda self, x, phase="TEST": phase, "train", "TEST", False),
        (lambda self, x, mode="eval": mode, "train", "eval", False),
        (lambda self, x, odd=True: odd, True, False, True),
        (lambda self, x, odd=False: odd, False, True, True),
    ],
)  # fmt: skip
def test_an_argument_that_says_the_mode(forward, training, evaluation, unknown) -> None:
    switch = TrainingSwitch(layer("Own", forward=forward))
    assert (switch.exists, switch.unknown) == (True, unknown)
    assert switch.run_forward(X) == switch.run_forward(X, training=True) == training
    assert switch.run_forward(X, training=False) == evaluation
    if unknown:
        flipped = TrainingSwitch(layer("Own", forward=forward), flipped=True)
        assert flipped.run_forward(X) == evaluation
        assert flipped.run_forward(X, training=False) == training


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: 1,
        lambda self, x, mode="same": 1,
        lambda self, x, mode=3: 1,
        lambda self, x, a=True, b=False: 1,
        lambda self, x, training_set_of_rows=3: 1,
    ],
)
def test_arguments_that_say_no_mode(forward) -> None:
    switch = TrainingSwitch(layer("Own", forward=forward))
    assert (switch.exists, switch.unknown) == (False, False)
    assert switch.run_forward(X, training=False) == 1


def test_an_attribute_or_methods_that_say_the_mode() -> None:
    one = layer("Own", forward=lambda self, x: (self.training, "cache"), training=False)
    switch = TrainingSwitch(one)
    assert (switch.exists, switch.unknown) == (True, False)
    assert [switch.run_forward(X, training=t) for t in (True, False)] == [True, False]
    phase = layer("Own", forward=lambda self, x: self.mode, mode="training")
    switch = TrainingSwitch(phase)
    assert [switch.run_forward(X, training=t) for t in (True, False)] == ["training", "test"]
    said = []
    methods = layer("Own", forward=lambda self, x: x, train=lambda self: said.append("train"),
                    eval=lambda self: said.append("eval"))  # fmt: skip
    switch = TrainingSwitch(methods)
    assert switch.exists
    switch.run_forward(X)
    switch.run_forward(X, training=False)
    assert said == ["train", "eval"]
    alone = layer("Own", forward=lambda self, x: x, train=lambda self: 1 / 0)
    assert not TrainingSwitch(alone).exists
    kept = layer("Own", forward=lambda self, x, training: setattr(self, "out", x))
    np.testing.assert_array_equal(TrainingSwitch(kept).run_forward(X), X)


@pytest.mark.parametrize(
    ("backward", "count"),
    [
        (lambda self: 0, 0), (lambda self, dy: 0, 1), (lambda self, dy, lr: 0, 2),
        (lambda self, dy, lr=0.1: 0, 1), (lambda self, dy, training: 0, 1),
        (lambda self, *dy: 0, 0), (lambda self, dy, /, y, *, z: 0, 2), (None, -1),
    ],
)  # fmt: skip
def test_how_many_arguments_a_method_needs(backward, count) -> None:
    one = layer("Own", **({"backward": backward} if backward else {}))
    assert required_arguments(one, "backward") == count
    assert takes_rate(one) is (count == 2)
    assert required_arguments(Holder(backward=3), "backward") == -1


@pytest.mark.parametrize(
    ("value", "loss"),
    [(2.5, 2.5), ((X, 2.5), 2.5), ([2.5, X], 2.5), ((1.0, 2.5), (1.0, 2.5)), ((X, X), (X, X))],
)
def test_a_loss_beside_other_results(value, loss) -> None:
    found = loss_value(value)
    assert found is loss or found == loss or found is value


def test_what_a_loss_layer_is_called_with() -> None:
    asked = []

    def told(self, *given):
        asked.append(given)
        return 1.0

    def forward(self, y_true, y_pred):
        return told(self, "true", y_true, "pred", y_pred)

    assert loss_forward(layer("Loss", forward=forward), "z", "t") == 1.0
    none = layer("Loss", backward=lambda self: told(self))
    one = layer("Loss", backward=lambda self, dout: told(self, dout))
    two = layer("Loss", backward=lambda self, dvalues, y: told(self, dvalues, y), output=3 * X)
    assert [loss_backward(one_, X, [0, 1]) for one_ in (none, one, two)] == [1.0, 1.0, 1.0]
    assert asked[:3] == [("true", "t", "pred", "z"), (), (1.0,)]
    np.testing.assert_array_equal(asked[3][0], 3 * X)
    np.testing.assert_array_equal(asked[3][1], [0, 1])
    other = layer("Loss", backward=lambda self, y, y_pred: told(self, y, y_pred), output=X[0])
    loss_backward(other, X, [0, 1])
    np.testing.assert_array_equal(asked[4][1], X)
    np.testing.assert_array_equal(asked[4][0], [0, 1])
    trained = layer("Loss", forward=lambda self, x, y, training: training)
    assert loss_forward(trained, X, X) is True


def test_the_first_of_several_results() -> None:
    several = layer("Own", backward=lambda self, dy: (dy, "state"))
    assert layer_backward(several, 3) == 3
    assert layer_backward(several, 3, needed=False) == 3
    rated = layer("Own", backward=lambda self, dy, rate: (rate, dy))
    assert layer_backward(rated, 3) == layer_backward(rated, 3, needed=False) == RATE


@pytest.mark.parametrize(
    ("key", "path"), [(key, path) for key, paths in USUAL_ATTRIBUTES.items() for path in paths]
)
def test_every_usual_attribute_is_found(key, path) -> None:
    """Written as a homework would have it, it is the one that is read."""
    value = np.array([1.0, 2.0])
    name, _, inside = path.partition(".")
    owner = Holder(forward=lambda x: x, backward=lambda dy: dy)
    if inside:
        setattr(owner, name, Holder(**{inside: value}))
    elif "[" in path:
        entry = path.partition("[")[2][:-1]
        setattr(owner, path.partition("[")[0],
                [value, value] if entry.isdigit() else {entry.strip("'"): value})  # fmt: skip
    else:
        setattr(owner, path, value)
    objects = LayerObjects([owner])
    paths = list(USUAL_ATTRIBUTES[key])
    if key.startswith("running"):
        found = objects.run_layer({"x": X, "dy": X, "k": 7 * value}, 0, {}, {"k": paths})
        np.testing.assert_array_equal(found["buffer k"], 7 * value)
    else:
        found = objects.run_layer({"x": X, "dy": X}, 0, {"k": paths}, {})
        np.testing.assert_array_equal(found["gradient k"], value)
