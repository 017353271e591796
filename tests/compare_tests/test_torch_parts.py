"""Parts of PyTorch that wait until something asks for them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def printed(program: str) -> list[str]:
    """The lines that a program prints, in a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_postponed_module_loads_when_it_is_asked_for(tmp_path):
    package = tmp_path / "parts"
    (package / "whole").mkdir(parents=True)
    (package / "__init__.py").write_text("from parts import late, whole\nimport parts.late\n")
    (package / "late.py").write_text("print('late')\nvalue = 3\n")
    (package / "whole" / "__init__.py").write_text("print('whole')\n")
    (package / "whole" / "inner.py").write_text("value = 4\n")
    program = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from compare.backends.torch_parts import load_postponed, postpone

        names = ["parts.late", "parts.whole"]
        for name in [*names, "absent.one"]:
            postpone(name, {{"own": 5}})
        import parts
        print("imported", hasattr(parts.late, "__spec__"))
        print(parts.late.own, parts.late.value, parts.late.value)
        import parts.whole.inner
        print(parts.whole.inner.value)
        load_postponed(names)
        load_postponed(names)
    """
    said = " ".join(printed(program))
    assert said == "imported True late 5 3 3 whole 4"


@pytest.mark.slow  # it loads PyTorch twice, once with its compiler
def test_optimizers_need_no_compiler_and_compute_the_same():
    program = """
        import sys
        if {postponed}:
            from compare.backends.torch_parts import postpone_compiler
            postpone_compiler()
        import torch
        for name in ("SGD", "Adam", "AdamW", "RMSprop", "NAdam", "Rprop", "Adagrad"):
            torch.manual_seed(0)
            model = torch.nn.Linear(5, 3)
            optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                (model(torch.ones(2, 5)) ** 3).sum().backward()
                optimizer.step()
                optimizer.load_state_dict(optimizer.state_dict())
            print(name, [p.detach().numpy().tobytes().hex() for p in model.parameters()])
        print("sympy" in sys.modules)
        if {postponed}:  # what asks for the compiler gets it
            compiled = torch.compile(model, backend="eager")
            print(torch.equal(compiled(torch.ones(2, 5)), model(torch.ones(2, 5))))
            print("sympy" in sys.modules)
    """
    without, stock = (printed(program.format(postponed=p)) for p in (True, False))
    assert without[:7] == stock[:7]
    assert stock[7] == "True"
    assert without[7:] == ["False", "True", "True"]
