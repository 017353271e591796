"""nncompare.py: what a script, a notebook and a pytest of any folder get from it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import nncompare
from experiments.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
OURS = ("compare", "experiments", "reports")


def call(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Start Python in a folder, with this checkout's packages behind the folder's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture
def foreign(tmp_path) -> Path:
    """A folder of another project, which has packages of the names that ours have."""
    for name in OURS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"OWNER = 'somebody else: {name}'\n")
    return tmp_path


def test_importing_it_loads_none_of_the_packages():
    program = """
        import sys
        import nncompare
        loaded = {name.partition(".")[0] for name in sys.modules}
        heavy = {"compare", "experiments", "reports", "numpy_nn", "torch_nn", "numpy", "torch",
                 "scipy", "sklearn", "matplotlib", "pydantic", "typer", "rich", "pytest"}
        assert not loaded & heavy, loaded & heavy
        nncompare.load_run  # naming a function loads nothing either
        assert set(nncompare.__all__) < set(dir(nncompare))
        assert "numpy" not in sys.modules
    """
    done = call("-c", textwrap.dedent(program))
    assert done.returncode == 0, done.stderr


def test_all_is_what_is_public_and_each_is_documented():
    from compare import testing

    defined = {
        name
        for name, value in vars(nncompare).items()
        if getattr(value, "__module__", None) == "nncompare" and not name.startswith("_")
    }
    hooks = {name for name in defined if name.startswith("pytest_")}
    assert defined - hooks | set(nncompare._PLACES) == set(nncompare.__all__)
    for name in nncompare.__all__:
        assert len(getattr(nncompare, name).__doc__) > 100
        assert name in nncompare.__doc__
    assert nncompare.assert_parity is testing.assert_parity
    with pytest.raises(
        AttributeError, match="no attribute 'chekc': assert_parity, assert_traces_agree, check"
    ):
        nncompare.chekc  # noqa: B018


def test_run_and_load_run(tmp_path, markdown_alone):
    folder = tmp_path / "run"
    run = nncompare.run("mnist_softmax", sample=True, max_steps=3, seeds=[4], out=folder)
    assert [(t.label, t.seed, t.steps) for t in run.record.trainings] == [("SGD", 4, 3)]
    assert run.path == folder
    assert run.record.command == ("nncompare run mnist_softmax --sample --seeds=4 --max-steps=3")
    assert (folder / "report" / "report.md").exists()
    again = nncompare.load_run(str(folder))
    assert again.record == run.record
    assert again.history == run.history


def test_what_run_refuses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no experiment 'mnist_sofmax'"):
        nncompare.run("mnist_sofmax", sample=True)
    with pytest.raises(InputError, match="resume"):
        nncompare.run("mnist_softmax", sample=True, resume=True)
    with pytest.raises(InputError, match="nowhere"):
        nncompare.load_run(tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_check():
    outcome = nncompare.check(ROOT / "examples" / "mistake.py")
    assert outcome.status == 1
    assert outcome.name == "mistake.py"
    assert not outcome.result.passed
    assert nncompare.check(ROOT / "examples" / "nowhere.py").status == 2


def test_assert_parity():
    x = np.linspace(-1, 1, 12)
    nncompare.assert_parity(np.tanh, np.tanh, inputs=[x])
    with pytest.raises(AssertionError, match="element"):
        nncompare.assert_parity(np.sin, np.tanh, inputs=[x])


@pytest.mark.parametrize("plugin", [(), ("-p", "nncompare")])
def test_a_pytest_of_another_project(plugin, foreign):
    """Its own packages are imported; ours are missed when they are needed, in one sentence."""
    (foreign / "test_own.py").write_text(
        textwrap.dedent(f"""
            from pathlib import Path

            import compare
            import experiments
            import reports
            import pytest

            import nncompare

            @pytest.mark.parametrize("package", [compare, experiments, reports])
            def test_own_packages(package):
                assert package.OWNER.startswith("somebody else")

            def says_both_folders(error):
                sentence = str(error.value)
                assert "needs its own package 'compare'" in sentence
                assert str(Path({str(ROOT)!r}) / "compare") in sentence
                assert str(Path(__file__).parent / "compare") in sentence
                assert "rename" in sentence

            @pytest.mark.parity(architecture="softmax_mlp")
            def test_parity(parity):
                with pytest.raises(ImportError) as error:
                    parity("homework.py")
                says_both_folders(error)

            @pytest.mark.parametrize("name", nncompare.__all__)
            def test_the_door(name):
                with pytest.raises(ImportError) as error:
                    getattr(nncompare, name)("something")
                says_both_folders(error)
        """)
    )
    done = call("-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider", *plugin,
                cwd=foreign)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{4 + len(nncompare.__all__)} passed" in done.stdout


@pytest.mark.parametrize("name", OURS)
def test_a_module_of_that_name_is_another_one_too(name, tmp_path):
    (tmp_path / f"{name}.py").write_text("")
    done = call("-c", "import nncompare; nncompare.load_run('.')", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        done.stderr.rstrip()
        .rpartition("\n")[2]
        .startswith(f"ImportError: nncompare needs its own package {name!r}")
    )


def test_the_command_does_not_look_in_the_working_directory(foreign):
    """Installed scripts start without it on their path, as ``-P`` does."""
    program = "import sys; sys.argv = ['nncompare', 'list']; from compare.cli import main; main()"
    done = call("-P", "-c", program, cwd=foreign)
    assert done.returncode == 0, done.stderr
    assert "mnist_bn_mlp" in done.stdout
