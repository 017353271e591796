"""Recording: what a trace holds, and that the model is left as it was."""

from __future__ import annotations

import json

import pytest
import torch
from planted.traced_networks import encoder, images, resnet, tokens
from torch import nn

import nncompare
from compare.trace import recording, trees
from compare.trace.format import INDEX, read_trace
from experiments.errors import InputError


class Many(nn.Module):
    """Tuples, dicts, keywords, and one module called twice."""

    def __init__(self):
        super().__init__()
        self.pair, self.fc, self.unused = Pair(), nn.Linear(3, 3), nn.Linear(2, 2)

    def forward(self, x, *, scale=1.0, more=None):
        found = self.pair(self.fc(x), options={"scale": scale, "more": [more, None]})
        return {"sum": self.fc(found["low"]) + found["parts"][0], "name": "x"}


class Pair(nn.Module):
    def forward(self, x, options):
        return {"low": x * options["scale"], "parts": (x + 1, x - 1)}


def hooks_of(model):
    return [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in model.modules()
    ]


def test_tuples_dicts_and_keywords(tmp_path):
    model, x = Many(), torch.randn(2, 3)
    with nncompare.record(tmp_path / "t", model):
        model(x, scale=2.0, more=torch.arange(2))["sum"].sum().backward()
    trace = read_trace(tmp_path / "t")
    assert [c.module for c in trace.index.calls] == ["", "fc", "pair", "fc"]
    root, first, pair, second = trace.index.calls
    assert root.keywords["scale"] == {"value": 2.0}
    assert torch.equal(trace.tensor(root.keywords["more"]["tensor"]), torch.arange(2))
    assert root.outputs["dict"]["name"] == {"value": "x"}
    # One tensor is stored once: the input of a call is the output of another.
    assert trees.names_in(pair.inputs[0]) == trees.names_in(first.outputs)
    low, high, less = trees.names_in(pair.outputs)
    assert trees.names_in(second.inputs[0]) == [low]
    torch.testing.assert_close(trace.tensor(high), trace.tensor(less) + 2)
    stored = trace.tensor("step/0/gradient/fc.weight")
    assert torch.equal(stored, model.fc.weight.grad)
    assert "step/0/gradient/unused.weight" not in trace


def test_gradients_by_an_input_are_those_of_the_module_alone(tmp_path):
    """The residual stream uses a tensor twice; each user sends back its own part."""
    model, x = nn.Linear(3, 3), torch.randn(2, 3, requires_grad=True)
    both = nn.ModuleList([model])
    with nncompare.record(tmp_path / "t", both):
        (x + both[0](x)).sum().backward()
    trace = read_trace(tmp_path / "t")
    expected = torch.ones(2, 3) @ model.weight
    torch.testing.assert_close(trace.tensor("call/0/input_gradient/0"), expected)
    torch.testing.assert_close(x.grad, expected + 1)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(fails, tmp_path):
    """The same step without a recording gives the same to the last bit, and the same afterwards."""
    outcomes = []
    for recorded in (False, True):
        model = encoder(dropout=0.3)
        optimizer = torch.optim.Adam(model.parameters())
        model.layers[0].eval()
        before = hooks_of(model), [m.training for m in model.modules()]
        torch.manual_seed(3)
        path = tmp_path / f"t{fails}"
        try:
            if recorded:
                with nncompare.record(path, model, optimizer=optimizer):
                    model(tokens()).sum().backward()
                    optimizer.step()
                    if fails:
                        raise KeyError("somebody's mistake")
            else:
                model(tokens()).sum().backward()
                optimizer.step()
        except KeyError:
            assert not path.exists()
        assert (hooks_of(model), [m.training for m in model.modules()]) == before
        assert not any(p._post_accumulate_grad_hooks for p in model.parameters())
        assert not optimizer._optimizer_step_pre_hooks
        outcomes.append([torch.get_rng_state(), *model.parameters(),
                         *(p.grad for p in model.parameters())])  # fmt: skip
    assert all(torch.equal(x, y) for x, y in zip(*outcomes, strict=True))
    assert [p.name for p in tmp_path.iterdir()] == ([] if fails else ["tFalse"])


def test_an_in_place_module(tmp_path):
    model, other = resnet(), resnet()
    with nncompare.record(tmp_path / "t", model):
        model(images()).sum().backward()
    other(images()).sum().backward()
    assert all(
        torch.equal(p.grad, q.grad)
        for p, q in zip(model.parameters(), other.parameters(), strict=True)
    )
    trace = read_trace(tmp_path / "t")
    call = next(c for c in trace.index.calls if c.module == "1.relu")
    x, y = trace.tensor(trees.names_in(call.inputs[0])[0]), trace.tensor(call.outputs["tensor"])
    assert (x < 0).any()
    assert torch.equal(y, x.relu())


class InPlace(nn.Module):
    """An in-place module whose input was used before, and others that are views or sums."""

    def __init__(self):
        super().__init__()
        self.fc, self.relu, self.drop = nn.Linear(3, 3), nn.ReLU(True), nn.Dropout(0.5, True)

    def forward(self, x):
        y = self.fc(x)
        beside = y + 1
        z = self.relu(y)
        w = self.relu(z * 2 + beside)
        return self.drop((w + 1).view(3, -1)).sum(0) * torch.arange(1.0, 3.0)


def test_the_gradient_by_an_input_that_is_changed_in_place(tmp_path):
    """What autograd gives for the same network written without in-place modules."""
    torch.manual_seed(0)
    model, x = InPlace(), torch.randn(2, 3)
    with nncompare.record(tmp_path / "t", model):
        torch.manual_seed(5)
        model(x).sum().backward()
    trace = read_trace(tmp_path / "t")
    y = model.fc(x).detach().requires_grad_()
    first = y.view_as(y)
    second = first.relu() * 2 + (y + 1)
    w = second.relu()
    third = (w + 1).view(3, -1)
    torch.manual_seed(5)
    out = nn.functional.dropout(third, 0.5) * torch.arange(1.0, 3.0)
    expected = torch.autograd.grad(out.sum(), [first, second])
    calls = [c.number for c in trace.index.calls if c.module in ("relu", "drop")]
    assert len(calls) == 3
    for number, gradient in zip(calls[:2], expected[:2], strict=True):
        torch.testing.assert_close(trace.tensor(f"call/{number}/input_gradient/0"), gradient)
    # The third was a view already: what its node sends on is not the gradient by it alone.
    assert f"call/{calls[2]}/input_gradient/0" not in trace


def test_a_tensor_that_is_changed_between_modules(tmp_path):
    """It is then no longer the output that it was."""

    class Changes(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            y = self.one(x)
            y.mul_(2)
            return self.two(y)

    model = Changes()
    with nncompare.record(tmp_path / "t", model):
        model(torch.ones(1, 3)).sum().backward()
    trace = read_trace(tmp_path / "t")
    _, one, two = trace.index.calls
    before, after = trace.tensor(one.outputs["tensor"]), trace.tensor(two.inputs[0]["tensor"])
    assert torch.equal(after, 2 * before)


def test_an_output_that_is_made_from_another(tmp_path):
    """The gradient that reaches an output is that from outside the module."""

    class Both(nn.Module):
        def forward(self, x):
            low = x * 2
            return low, low * 3

    model, x = nn.ModuleList([Both()]), torch.ones(2, requires_grad=True)
    with nncompare.record(tmp_path / "t", model):
        low, high = model[0](x)
        (5 * low + high).sum().backward()
    trace = read_trace(tmp_path / "t")
    assert trace.tensor("call/0/output_gradient/0").tolist() == [5, 5]
    assert trace.tensor("call/0/output_gradient/1").tolist() == [1, 1]
    assert trace.tensor("call/0/input_gradient/0").tolist() == x.grad.tolist() == [16, 16]


def test_an_existing_trace_is_refused(tmp_path):
    path, model = tmp_path / "t", nn.Linear(2, 2)
    for force in (False, True):
        with nncompare.record(path, model, force=force):
            model(torch.ones(1, 2))
    with pytest.raises(InputError, match="exists"), nncompare.record(path, model):
        raise AssertionError("nothing should be run")
    (tmp_path / "else").mkdir()
    with (
        pytest.raises(InputError, match="is no trace, and is not replaced"),
        nncompare.record(tmp_path / "else", model, force=True),
    ):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["else", "t"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"names": "layers.1.fc*"}, ["layers.1.fc1", "layers.1.fc2"]),
        ({"kinds": ["GELU"]}, ["layers.0.act", "layers.1.act"]),
        ({"depth": 1}, ["embed", "head"]),
        ({"depth": 2}, ["embed", "layers.0", "layers.1", "head"]),
    ],
)
def test_choosing(options, expected, tmp_path):
    model = encoder()
    with nncompare.record(tmp_path / "t", model, **options):
        model(tokens())
    found = [c.module for c in read_trace(tmp_path / "t").index.calls]
    assert found == ["", *expected]


def test_steps_are_chosen_and_counted(tmp_path):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    with nncompare.record(tmp_path / "t", model, optimizer=optimizer, steps=[1, 2]):
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
    trace = read_trace(tmp_path / "t")
    assert [c.step for c in trace.index.calls] == [1, 2]
    assert [s.number for s in trace.index.steps] == [1, 2]
    after = trace.tensor("step/1/after/weight")
    assert torch.equal(after, trace.tensor("step/2/parameter/weight"))
    assert "step/1/optimizer/weight/momentum_buffer" in trace


def test_without_gradients(tmp_path):
    model = encoder()
    with nncompare.record(tmp_path / "t", model), torch.inference_mode():
        model(tokens())
    record = nncompare.diff(tmp_path / "t", tmp_path / "t")
    assert record.status == 0
    assert {s.direction for s in record.sites} == {"forward"}


def test_memory_does_not_grow_with_the_number_of_modules(tmp_path, monkeypatch):
    """What waits to be written is never more than a file and a tensor."""
    monkeypatch.setattr("compare.trace.format.CHUNK_BYTES", 10_000)
    largest = []
    flush = recording.TraceWriter._flush

    def measured(self):
        largest.append(sum(t.numel() * t.element_size() for t in self.waiting.values()))
        flush(self)

    monkeypatch.setattr(recording.TraceWriter, "_flush", measured)
    model = nn.Sequential(*[nn.Linear(16, 16) for _ in range(30)])
    with nncompare.record(tmp_path / "t", model):
        model(torch.randn(8, 16)).sum().backward()
    assert len(largest) > 5
    assert max(largest) < 12_000


def test_a_call_that_fails_and_is_caught(tmp_path):
    model = encoder()
    with nncompare.record(tmp_path / "t", model):
        with pytest.raises(IndexError):
            model(tokens() + 100)
        model(tokens())
    assert len([c for c in read_trace(tmp_path / "t").index.calls if not c.module]) == 1


# ---- Malformed traces

DAMAGE = {
    "no index": (lambda p: (p / INDEX).unlink(), "has no index.json"),
    "no JSON": (lambda p: (p / INDEX).write_text("{"), "could not be read"),
    "a list": (lambda p: (p / INDEX).write_text("[]"), "format"),
    "deep": (lambda p: (p / INDEX).write_text("[" * 100_000), "nested too deeply"),
    "cut": (
        lambda p: [f.write_bytes(f.read_bytes()[:50]) for f in p.glob("*.safetensors")],
        "damaged",
    ),
    "gone": (lambda p: [f.unlink() for f in p.glob("*.safetensors")], "in none of"),
}
EDITS = {
    "another version": (lambda i: i.update(version=9), "of version 9"),
    "no module": (lambda i: i["calls"][0].update(module="nobody"), "no module 'nobody'"),
    "no outputs": (lambda i: i["calls"][1].pop("outputs"), "calls.1.outputs: field required"),
    "a wrong tree": (lambda i: i["calls"][1].update(outputs={"tensor": 3}), "name of a tensor"),
    "an unknown tree": (lambda i: i["calls"][1].update(outputs={"x": 3}), "'x'"),
    "a negative step": (lambda i: i["calls"][1].update(step=-1), "step"),
    "twice": (lambda i: i["calls"][1].update(number=0), "same number"),
}


@pytest.mark.parametrize("name", [*DAMAGE, *EDITS])
def test_a_malformed_trace_gives_one_sentence(name, tmp_path, command_line):
    path, model = tmp_path / "t", encoder(layers=1)
    with nncompare.record(path, model):
        model(tokens())
    if name in DAMAGE:
        damage, words = DAMAGE[name]
        damage(path)
    else:
        edit, words = EDITS[name]
        index = json.loads((path / INDEX).read_text())
        edit(index)
        (path / INDEX).write_text(json.dumps(index))
    ended = command_line("diff", path, path)
    assert ended.status == 2
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err


def test_settings_that_a_class_does_not_take_are_no_traceback(tmp_path):
    path, other, model = tmp_path / "t", tmp_path / "u", encoder(layers=1)
    for place in (path, other):
        with nncompare.record(place, model):
            model(tokens() if place == path else tokens().flip(0))
    index = json.loads((path / INDEX).read_text())
    for module in index["modules"]:
        if module["kind"] == "torch.nn.Linear":
            module["settings"]["in_features"] = "a lot"
        if module["kind"] == "torch.nn.LayerNorm":
            module["settings"]["normalized_shape"] = [7]
    (path / INDEX).write_text(json.dumps(index))
    record = nncompare.diff(path, other)
    assert {s.kind for s in record.sites if s.verdict == "not judged"} >= {"Linear", "LayerNorm"}


def test_not_a_model(tmp_path):
    with pytest.raises(InputError, match="should be a torch"), nncompare.record(tmp_path / "t", 3):
        pass


def test_it_can_be_written_by_hand(tmp_path):
    """As docs/traces.md says: an index, and tensors under the right names."""
    from safetensors.torch import save_file

    x, weight = torch.randn(4, 3), torch.randn(2, 3)
    folder = tmp_path / "hand"
    folder.mkdir()
    index = {
        "format": "nncompare trace", "version": 1,
        "modules": [{"name": "fc", "kind": "torch.nn.Linear",
                     "settings": {"in_features": 3, "out_features": 2, "bias": False},
                     "parameters": {"weight": "fc.weight"}}],
        "calls": [{"number": 0, "module": "fc", "inputs": [{"tensor": "call/0/input/0"}],
                   "outputs": {"tensor": "call/0/output/0"}}],
        "steps": [{"number": 0}],
    }  # fmt: skip
    (folder / INDEX).write_text(json.dumps(index))
    tensors = {
        "call/0/input/0": x, "call/0/output/0": x @ weight.T, "step/0/parameter/fc.weight": weight
    }  # fmt: skip
    save_file(tensors, folder / "all.safetensors")
    model = nn.ModuleDict({"fc": nn.Linear(3, 2, bias=False)})
    with torch.no_grad():
        model["fc"].weight.copy_(weight)
    with nncompare.record(tmp_path / "torch", model):
        model["fc"](x)
    assert nncompare.diff(folder, tmp_path / "torch").status == 0
    with torch.no_grad():
        model["fc"].weight.mul_(1.01)
    with nncompare.record(tmp_path / "torch", model, force=True):
        model["fc"](x)
    found = nncompare.diff(folder, tmp_path / "torch")
    assert [s.module for s in found.findings] == ["fc"]


def test_one_tensor_that_is_given_three_times_stays_one(tmp_path):
    """Attention takes another way for three equal inputs; a recording must not change that."""
    torch.manual_seed(0)
    model, x = nn.MultiheadAttention(4, 2), torch.randn(3, 2, 4, requires_grad=True)
    with nncompare.record(tmp_path / "t", model):
        model(x, x, x)[0].square().sum().backward()
    trace = read_trace(tmp_path / "t")
    assert torch.equal(trace.tensor("call/0/input_gradient/0"), x.grad)
    assert "call/0/input_gradient/1" not in trace


def test_a_gradient_that_is_handed_on_is_stored_once(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    with nncompare.record(tmp_path / "t", model):
        model(torch.randn(5, 3)).square().sum().backward()
    trace = read_trace(tmp_path / "t")
    assert "call/1/output_gradient/0" in trace.index.same
    for name, stored in trace.index.same.items():
        assert torch.equal(trace.tensor(name), trace.tensor(stored))
    dy = trace.tensor("call/3/input_gradient/0")  # what the last layer sends back to Tanh
    assert torch.equal(trace.tensor("call/2/output_gradient/0"), dy)
    y = trace.tensor("call/2/output/0")
    torch.testing.assert_close(trace.tensor("call/1/output_gradient/0"), dy * (1 - y * y))
    index = json.loads((tmp_path / "t" / INDEX).read_text())
    index["same"]["call/1/output_gradient/0"] = "call/9/output/0"
    (tmp_path / "t" / INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match="'call/9/output/0', which is not stored"):
        read_trace(tmp_path / "t")
