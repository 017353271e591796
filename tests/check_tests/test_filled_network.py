"""Arrays of a network object by their paths: found, filled, read, and their gradients."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from compare.check.array_names import (
    BEGINNINGS,
    WORDS,
    _by_shape,
    _fits,
    _in_order,
    assign_names,
    kind_of,
)
from compare.check.filled_network import (
    NOT_PARAMETERS,
    arrays_of,
    fill,
    get,
    gradient_paths,
    gradients_of,
    is_engine_value,
    plain,
    root_of,
    value_at,
)


def holder(**attributes) -> SimpleNamespace:
    return SimpleNamespace(**attributes)


class Slots:
    __slots__ = ("W", "empty")

    def __init__(self) -> None:
        self.W = np.ones(3)


class OneSlot(Slots):
    __slots__ = "b"


def nested(depth: int):
    found = holder(W=np.ones(2))
    for _ in range(depth):
        found = holder(inner=found)
    return found


@pytest.mark.parametrize(
    ("network", "shapes"),
    [
        (holder(W=np.ones((2, 3)), b=np.ones(3)), {"W": (2, 3), "b": (3,)}),
        ([holder(W=np.ones(2))], {"layers[0].W": (2,)}),
        (([holder(W=np.ones(2))], "loss"), {"layers[0].W": (2,)}),
        ({"first": holder(W=np.ones(2))}, {"layers['first'].W": (2,)}),
        ({3: np.ones(2), True: np.ones(2), (1,): np.ones(2)}, {"layers[3]": (2,)}),
        (holder(p={"W": np.ones(2), "dW": np.ones(2), "grads": np.ones(2)}), {"p['W']": (2,)}),
        (holder(n=np.array(3.0), k=np.ones(2, int), m=np.ones(2, bool)), {}),
        (Slots(), {"W": (3,)}),
        (OneSlot(), {"W": (3,)}),
        (holder(s=Slots()), {"s.W": (3,)}),
        (nested(7), {".".join(["inner"] * 7 + ["W"]): (2,)}),
        (nested(8), {}),
        (holder(f=lambda: 1, t=Slots, text="W", byte=b"W", mod=np), {}),
        (holder(w=[holder(data=1.0), holder(data=2.0)]), {"w[:].data": (2,)}),
        (holder(n=[holder(w=[holder(value=1), holder(value=2)])]), {"n[0].w[:].value": (2,)}),
        (holder(n=[[[holder(data=1.0)]]]), {"n[0][:][:].data": (1, 1)}),
        (holder(data=1.0, w=[1.0, 2.0], flags=[holder(data=True)]), {}),
    ],
)  # fmt: skip
def test_arrays_that_may_be_parameters(network, shapes) -> None:
    assert arrays_of(network) == shapes


def test_an_array_in_two_places_is_named_once() -> None:
    shared = np.ones(2)
    assert arrays_of(holder(a1=shared, b=shared)) == {"a1": (2,)}
    loop = holder(W=np.ones(2))
    loop.inner = loop
    assert arrays_of(loop) == {"W": (2,)}


@pytest.mark.parametrize(
    "name",
    ["dW", "dW1", "d_W", "db", "db2", "dw1", "dgamma", "dbeta1", "dweights", "dweight", "dbias",
     "dbiases", "dkernel", "grad", "W_grads", "grad_W", "gradients", "gradient", "velocity",
     "v_velocities", "momentum", "momenta", "cache", "W_cache2", "mask", "memory", "moment1",
     "mW", "v_b", "s_w", "mB", "x", "X", "y", "z", "a", "input", "inputs", "output", "out",
     "_prev", "last_output"],
)  # fmt: skip
def test_names_of_no_parameter(name) -> None:
    assert NOT_PARAMETERS.fullmatch(name)
    assert arrays_of(holder(**{name: np.ones(2)})) == {}


@pytest.mark.parametrize(
    "name", ["W", "weights", "b1", "gamma", "dense", "kernel", "mu", "data", "output_weights", "h"]
)
def test_names_that_may_be_parameters(name) -> None:
    assert list(arrays_of(holder(**{name: np.ones(2)}))) == [name]


def test_where_paths_begin() -> None:
    network = holder(W=1)
    assert root_of(network) is network
    assert root_of([1, 2]).layers == [1, 2]
    assert root_of(({"a": 1}, "loss")).layers == {"a": 1}
    assert root_of((1, 2)).layers == (1, 2)
    assert root_of("text") == "text"


def test_arrays_are_filled_in_place_where_they_fit() -> None:
    W, single, small = np.zeros((2, 2)), np.zeros(2, np.float32), np.zeros(1)
    net = holder(W=W, single=single, p={"b": small, 3: np.zeros(2)}, l=[np.zeros(2)], n=1.0,
                 w=[holder(data=0.0), holder(data=0.0)])  # fmt: skip
    given = {"W": np.ones((2, 2)), "single": np.ones(2), "p['b']": np.ones(2), "p[3]": np.ones(2),
             "l[0]": np.ones(2), "n": np.array(4.0), "new": np.ones(3),
             "w[:].data": np.array([5.0, 6.0])}  # fmt: skip
    before = net.p[3], net.l[0]
    fill(net, given)
    assert net.W is W
    assert net.p[3] is before[0]
    assert net.l[0] is before[1]
    assert net.single is not single
    assert net.single.dtype == np.float64
    assert net.p["b"] is not small
    for path, array in given.items():
        np.testing.assert_array_equal(get(net, path), array)
    assert type(net.n) is float
    assert type(net.w[0].data) is float
    assert net.W is not given["W"]
    net.W[0, 0] = 9
    assert given["W"][0, 0] == 1
    with pytest.raises(ValueError, match=r"shorter|longer"):
        fill(net, {"w[:].data": np.ones(3)})
    with pytest.raises(KeyError):
        fill(net, {"p['gone'].x": np.ones(3)})


def test_what_is_at_a_path() -> None:
    thing = holder(a={"x y": [10, holder(b=3)]})
    assert value_at(thing, "a['x y'][1].b") == 3
    assert value_at(thing, 'a["x y"][0]') == 10
    assert value_at(holder(w=[holder(n=1), holder(n=2)]), "w[:].n") == [1, 2]
    assert get(holder(W=[[1, 2]]), "W").dtype == np.float64
    for path, error in (("a['z']", KeyError), ("b", AttributeError), ("a['x y'][7]", IndexError)):
        with pytest.raises(error):
            value_at(thing, path)


@pytest.mark.parametrize(
    ("path", "first", "more"),
    [
        ("W1", ["dW1", "d_W1", "grad_W1", "W1_grad", "W1_gradient", "gW1", "grads['W1']",
                "grads['dW1']", "gradients['W1']", "gradients['dW1']", "grad['W1']", "grad['dW1']",
                "gradient['W1']", "gradient['dW1']"], []),
        ("layers[0].W", ["layers[0].dW", "layers[0].d_W"], ["layers[0].gradient['dW']"]),
        ("weight.data", ["weight.grad", "weight.gradient"], []),
        ("w[:].data", ["w[:].grad", "w[:].gradient"], []),
        ("w[0].value", ["w[0].grad", "w[0].gradient"], []),
        ("weights[0]", ["dweights[0]", "d_weights[0]", "grad_weights[0]", "weights_grad[0]",
                        "weights_gradient[0]", "gweights[0]", "gradweights[0]",
                        "weights_grads[0]"], ["grads['weights'][0]"]),
        ("params['W1']", ["dparams['W1']"], ["grads['W1']", "grads['dW1']", "gradient['dW1']",
                                             "dW1"]),
        ("net.params['W1']", [], ["net.grads['W1']", "net.dW1"]),
    ],
)  # fmt: skip
def test_where_a_gradient_may_be(path, first, more) -> None:
    found = gradient_paths(path)
    assert found[: len(first)] == first
    assert not set(more) - set(found)
    if path == "W1":
        assert found == first


def test_gradients_of_a_network() -> None:
    net = holder(W=1, dW=np.ones(2), b=2, grads={"b": [3.0]}, c=0, d_c="text", c_grad=np.ones(1))
    found = gradients_of(net, ["W", "b", "c"])
    assert {path: array.tolist() for path, array in found.items()} == {
        "W": [1, 1], "b": [3], "c": [1]
    }  # fmt: skip
    with pytest.raises(AttributeError) as error:
        gradients_of(net, ["W", "V"])
    assert str(error.value) == (
        "the network keeps no gradient of V under dV, d_V, grad_V, V_grad or the like: return a "
        "dict of gradients with the keys of PARAMETERS"
    )


class Number:
    def __init__(self, data) -> None:
        self.data = data

    def backward(self) -> None:
        pass


class Valued(Number):
    def __init__(self, value) -> None:
        self.value = value


def test_numbers_of_an_engine() -> None:
    assert is_engine_value(Number(1))
    assert is_engine_value(Valued(1))
    for other in (np.ones(2), np.float64(1), 1.0, None, holder(data=1), holder(backward=print)):
        assert not is_engine_value(other)
    one, two = Number(1.5), Valued(2)
    assert (plain(one), plain(two), plain(3)) == (1.5, 2, 3)
    assert plain({"a": one, "b": [two, (one,)]}) == {"a": 1.5, "b": [2, (1.5,)]}
    array = plain(np.array([[one, two]], object))
    assert (array.dtype, array.tolist()) == (np.float64, [[1.5, 2.0]])
    numbers = np.array([1, 2])
    assert plain(numbers) is numbers

    class Own(tuple):
        __slots__ = ()

    own = Own((one,))
    assert plain(own) is own


# ------------------------------------------------------------------------- their names


@pytest.mark.parametrize(
    ("word", "kind"), [(word, kind) for kind, words in WORDS.items() for word in words]
)
def test_every_word_says_its_kind(word, kind) -> None:
    for name in (word, word.upper(), f"{word}1", f"h_{word}", f"fc2.{word}"):
        assert kind_of(name) == kind, name


@pytest.mark.parametrize(("kind", "beginning"), BEGINNINGS.items())
def test_every_beginning_says_its_kind(kind, beginning) -> None:
    assert kind_of(f"{beginning}hq3") == kind
    assert kind_of(f"q_{beginning}hq") is None
    assert kind_of("12") is None


KEYS = {
    "0.weight": (4, 3), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,),
    "1.running_mean": (4,), "1.running_var": (4,), "2.weight": (2, 4), "2.bias": (2,),
}  # fmt: skip


@pytest.mark.parametrize(
    ("names", "known", "found"),
    [
        ("W1 b1 gamma beta W2 b2", {}, "W1 b1 gamma beta - - W2 b2"),
        ("b2 W2 beta gamma b1 W1", {}, "W1 b1 gamma beta - - W2 b2"),
        ("W1 b1 gamma beta mean var W2 b2", {}, "W1 b1 gamma beta mean var W2 b2"),
        ("W b gamma beta V c", {}, None),
        ("W1 W2 W3 b1 b2 b3", {}, "W1 b1 W2 b2 - - W3 b3"),
        ("W1 W2 gamma b1 b2 b3", {}, "W1 b1 gamma b2 - - W2 b3"),
        ("W1 b1 gamma beta W2 b2", {"W1": (2, 4)}, None),
        ("W1 b1 gamma beta W2 b2", {"W1": (3, 4), "b1": (1, 4)}, "W1 b1 gamma beta - - W2 b2"),
        ("W1 gamma beta W2", {}, None),
    ],
)  # fmt: skip
def test_names_get_their_arrays(names, known, found) -> None:
    expected = found and {
        name: key for name, key in zip(found.split(), KEYS, strict=True) if name != "-"
    }
    assigned = assign_names(names.split(), KEYS, known)
    assert assigned == expected
    assert assigned is None or list(assigned) == list(expected)


def test_betas_are_biases_where_nothing_else_is() -> None:
    keys = {"0.weight": (4, 3), "0.bias": (4,)}
    assert assign_names(["odd", "W", "beta"], keys, {}) == {"W": "0.weight", "beta": "0.bias"}


def test_shapes_decide_where_names_say_nothing() -> None:
    keys = {"0.weight": (4, 3), "0.bias": (4,), "1.running_mean": (4,), "1.num_batches_tracked": ()}
    known = {"p": (3, 4), "q": (1, 4), "r": (9,)}
    assert _by_shape("pqr", keys, known) == {"p": "0.weight", "q": "0.bias"}
    assert assign_names("pqr", keys, known) == {"p": "0.weight", "q": "0.bias"}
    assert _by_shape("pqs", keys, {**known, "s": (4, 1)}) is None
    assert _by_shape("p", keys, known) is None
    assert _by_shape("p", {}, known) is None
    both = {"0.weight": (4, 3), "1.weight": (3, 4)}
    assert _by_shape("p", both, known) is None
    assert _fits((1, 4), (4,))
    assert _fits(None, (4,))
    assert not _fits((2, 2), (4,))


def test_as_many_names_as_keys() -> None:
    groups = {"weight": ["0.weight"], "mean": ["1.running_mean"], "bias": []}
    own = {"weight": ["W"], "mean": [], "bias": []}
    assert _in_order(own, groups) == {"W": "0.weight"}
    assert _in_order({**own, "mean": ["m"]}, groups) == {"W": "0.weight", "m": "1.running_mean"}
    assert _in_order({**own, "weight": []}, groups) is None
    assert _in_order({**own, "bias": ["b"]}, groups) is None
    assert _in_order({**own, "weight": []}, {"weight": [], "mean": []}) is None
