"""The command line: its statuses, and one sentence for each bad input."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import numpy_nn
from compare.records.run import read_run_record
from experiments.datasets.idx import FILES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from experiments.datasets.mnist import SAMPLE_FOLDER as SAMPLE

COMMANDS = ["list", "run", "parity", "bench", "report"]


def one_sentence(ended) -> str:
    """What a person at fault is told: one line, status 2, no traceback."""
    assert ended.status == 2, ended
    assert ended.err.startswith("nncompare: ")
    assert ended.err.count("\n") == 1, ended.err
    assert "Traceback" not in ended.err
    return ended.err


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(nncompare, command):
    ended = nncompare(*command.split(), "--help")
    assert ended.status == 0
    assert "Usage: nncompare" in ended.out
    assert "..." not in ended.out.partition("Options:")[2].replace("[ARGS]...", "")
    assert max(map(len, ended.out.splitlines())) <= 80
    assert ended.err == ""


def test_help_names_every_command(nncompare):
    ended = nncompare("--help")
    listed = re.findall(r"^  (\w+)  ", ended.out.partition("Commands:")[2], re.MULTILINE)
    assert set(COMMANDS) <= set(listed)


def test_no_command(nncompare):
    ended = nncompare()
    assert ended.status == 2
    assert ended.out == nncompare("--help").out
    assert ended.err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'."),
        (["run"], "Missing argument 'experiment'."),
        (["run", "mnist_bn_mlp", "--max-steps", "x"], "Invalid value for '--max-steps'"),
        (["run", "mnist_bn_mlp", "--max-steps", "0"], "--max-steps expects a number of at least 1"),
        (["run", "mnist_bn_mlp", "--max-steps", "-3"], "but got -3."),
        (["run", "mnist_bn_mlp", "--seed", "-1"], "--seed expects a number from 0 to 4294967295"),
        (["run", "mnist_bn_mlp", "--seed", str(2**32)], "but got 4294967296."),
        (["run", "mnist_bn_mlp", "--seeds", "9..0"], "--seeds expects the smaller end"),
        (["run", "mnist_bn_mlp", "--seeds", "0,,1"], "--seeds expects numbers and ranges"),
        (["run", "mnist_bn_mlp", "--seeds", "0..3", "--seed", "1"], "--seed and --seeds exclude"),
        (["run", "mnist_bn_mlp", "--certify", "0"], "--certify expects all, auto or a number of"),
        (["run", "mnist_bn_mlp", "--certify", "-1"], "but got '-1'."),
        (["run", "mnist_bn_mlp", "--certify", "every"], "but got 'every'."),
        (["run", "optimizer_paths", "--certify", "all"], "--certify: optimizer_paths trains no"),
        (["run", "mnist_bn_mlp", "--set", "parity.certify=0"], "parity.certify should be"),
        (["run", "mnist_bn_mlp", "--jobs", "0"], "--jobs expects a number of at least 1"),
        (["run", "mnist_bn_mlp", "--jobs", "-2"], "but got -2."),
        (["run", "mnist_bn_mlp", "--jobs", "2", "--dask", "x"], "--jobs and --dask exclude each"),
        (["run", "optimizer_paths", "--jobs", "2"], "--jobs: optimizer_paths trains no network"),
        (["run", "optimizer_paths", "--dask", "x"], "--dask: optimizer_paths trains no network"),
        (["run", "mnist_bn_mlp", "--dask", "x"], "--dask x: no Dask scheduler answers there"),
        (["run", "mnist_bn_mlp", "--frob"], "No such option: --frob"),
        (["run", "mnist_bn_mpl"], "Did you mean 'mnist_bn_mlp'?"),
        (["run", "no/such.toml"], "there is no such experiment file."),
        (["run", "mnist_bn_mlp", "--resume"], "--resume needs --out DIR"),
        (["run", "mnist_bn_mlp", "--set", "epochs=0"], "training.epochs should be greater than 0"),
        (["run", "mnist_bn_mlp", "--set", "epoch=1"], "unknown key 'epoch'"),
        (["run", "mnist_bn_mlp", "--set", "epochs"], "--set expects key=value"),
        (["run", "mnist_bn_mlp", "--set", "batch_size=-1"], "training.batch_size should be"),
        (["run", "mnist_bn_mlp", "--set", "optimizers.SGD.lr=0"], "optimizers.SGD.lr should be"),
        (["run", "mnist_bn_mlp", "--set", "lr=0"], "could mean optimizers.SGD.lr and optimizers"),
        (["run", "mnist_bn_mlp", "--sample", "--set", "sizes=[1,2]"], "does not take the data"),
        (["run", "mnist_bn_mlp", "--sample", "--data-dir", "x"], "is not read from a folder"),
        (["run", "mnist_bn_mlp", "--data-dir", "nowhere"], "nowhere does not exist"),
        (["run", "mnist_bn_mlp", "--set", "data.name=mnits"], "There is no data set 'mnits'"),
        (["run", "mnist_bn_mlp", "--set", "architecture=x.py:f"], "there is no Python file"),
        (["run", "mnist_bn_mlp", "--set", "architecture=x"], "There is no architecture 'x'"),
        (["report", "nowhere"], "nowhere is not a folder"),
        (["parity", "--dtype", "float16"], "--dtype expects float32 or float64"),
        (["parity", "--optimizer", "Lion"], "--optimizer expects SGD or Adam"),
        (["parity", "--steps", "0"], "--steps expects a number of at least 1"),
        (["parity", "--batch-size", "1"], "--batch-size expects a number of at least 2"),
        (["parity", "--seed", "-1"], "--seed expects a number of at least 0"),
        (["parity", "--architecture", "bn"], "There is no architecture 'bn'"),
    ],
)  # fmt: skip
def test_bad_input(nncompare, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "report":
        monkeypatch.setattr(sys.modules["reports.report"], "write_report", read_run_record)
        arguments = ["report", Path(arguments[1])]
    assert message in one_sentence(nncompare(*arguments))
    assert os.listdir(tmp_path) == []  # not even an empty folder


@pytest.fixture
def data(tmp_path) -> Path:
    """The four files of the sample, unpacked, in a folder of their own."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes(gzip.decompress((SAMPLE / f"{name}.gz").read_bytes()))
    return folder


def header(data: Path, name: str, at: int, value: int) -> None:
    content = bytearray((data / name).read_bytes())
    content[at : at + 4] = value.to_bytes(4, "big")
    (data / name).write_bytes(content)


def shorter(data: Path) -> None:
    """One label fewer, header and all."""
    content = (data / TRAIN_LABELS).read_bytes()
    (data / TRAIN_LABELS).write_bytes(content[:4] + (5999).to_bytes(4, "big") + content[8:-1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / TRAIN_IMAGES).unlink(), TRAIN_IMAGES),
        (lambda d: (d / TRAIN_IMAGES).write_bytes((d / TRAIN_IMAGES).read_bytes()[:5000]),
         TRAIN_IMAGES),
        (lambda d: (d / TRAIN_IMAGES).write_text("not IDX at all, but long enough"), TRAIN_IMAGES),
        (lambda d: (d / TEST_LABELS).write_bytes(b""), TEST_LABELS),
        (lambda d: header(d, TRAIN_LABELS, 0, 0x12345678), TRAIN_LABELS),
        (shorter, "5,999 labels and 6,000 images"),
        (lambda d: header(d, TEST_LABELS, 8, 0x0B0B0B0B), "expected 0 to 9, found 11"),
    ],
)  # fmt: skip
def test_bad_data(nncompare, data, tmp_path, damage, message):
    damage(data)
    out = tmp_path / "r"
    ended = nncompare("run", "mnist_bn_mlp", "--data-dir", data, "--out", out)
    assert message in one_sentence(ended)
    assert not out.exists()


def test_data_from_the_variable(nncompare, tiny_arguments, data, tmp_path, monkeypatch):
    monkeypatch.setenv("NNCOMPARE_DATA", str(data))
    change = "data={name='mnist',limit=50}"
    ended = nncompare(
        "run", *tiny_arguments, "--set", change, "--max-steps", 1, "--out", tmp_path / "r"
    )
    assert ended.status == 0
    record = read_run_record(tmp_path / "r")
    assert str(tmp_path) not in record.model_copy(update={"command": ""}).model_dump_json()


def test_a_whole_run(nncompare, tiny_arguments, tmp_path):
    out = tmp_path / "r"
    ended = nncompare("run", *tiny_arguments, "--seed", 7, "--max-steps", 2, "--out", out)
    assert ended.status == 0
    assert ended.err == ""
    assert "SGD, seed 7: 2 steps on each backend" in ended.out  # plain lines: this is no terminal
    assert "\x1b" not in ended.out
    assert ended.out.splitlines()[-1] == f"  {out / 'report' / 'report.md'}"
    assert max(map(len, ended.out.splitlines()[:-1])) <= 80
    assert "…" not in ended.out
    record = read_run_record(out)
    assert record.name == "mnist_bn_mlp"
    assert record.command.startswith("nncompare run mnist_bn_mlp --set ")
    assert record.command.endswith(f"--seed 7 --max-steps 2 --out {out}")
    assert [t.seed for t in record.trainings] == [7, 7]


def test_the_default_folder(nncompare, tiny_arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # in the same second, too
        assert nncompare("run", *tiny_arguments, "--max-steps", 1).status == 0
    runs = sorted(p.name for p in (tmp_path / "runs").iterdir())
    assert len(runs) == 2
    assert re.fullmatch(r"mnist_bn_mlp-\d{8}-\d{6}", runs[0])


def test_a_failed_comparison_is_status_1(nncompare, tiny_arguments, tmp_path, monkeypatch):
    original = numpy_nn.optim.Adam.__init__

    def wrong(self, params, **settings):
        original(self, params, **{**settings, "eps": 1e-7})

    monkeypatch.setattr(numpy_nn.optim.Adam, "__init__", wrong)
    ended = nncompare("run", *tiny_arguments, "--max-steps", 2, "--out", tmp_path / "r")
    assert ended.status == 1
    assert "FAIL" in ended.out
    assert "Adam: " in ended.out
    assert "the first divergence is at step 0, " in ended.out
    assert "adam-eps-placement: ε is 1e-07 where 1e-08 is specified" in ended.out
    record = read_run_record(tmp_path / "r")
    assert record.status == "complete"
    sgd, adam = record.trainings
    assert sgd.mistake is None
    assert adam.mistake is not None
    assert adam.mistake.site.startswith("update/")


def test_the_folder_of_another_run(nncompare, tiny_arguments, finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "r")
    before = {f: f.read_bytes() for f in out.rglob("*") if f.is_file()}
    message = one_sentence(nncompare("run", *tiny_arguments, "--out", out))
    assert "holds another run" in message
    message = one_sentence(nncompare("run", *tiny_arguments, "--out", out, "--resume"))
    assert "--resume: the run in the folder differs in 'name'" in message
    assert {f: f.read_bytes() for f in out.rglob("*") if f.is_file()} == before


def test_resume_with_other_settings(nncompare, tiny_arguments, tmp_path):
    out = tmp_path / "r"
    assert nncompare("run", *tiny_arguments, "--max-steps", 1, "--out", out).status == 0
    again = ["run", *tiny_arguments, "--out", out, "--resume"]
    message = one_sentence(nncompare(*again, "--max-steps", 2))
    assert "'max_steps': it has 1, now 2 is asked for" in message
    assert "'max_steps': it has 1, now None" in one_sentence(nncompare(*again))
    assert "'experiment'" in one_sentence(nncompare(*again, "--max-steps", 1, "--seed", 3))
    assert nncompare(*again, "--max-steps", 1).status == 0  # complete already


def test_own_experiment_from_another_folder(nncompare, tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "net.py").write_text(
        "def net(nn, width):\n"
        "    return nn.Sequential(nn.Linear(784, width), nn.LeakyReLU(0.2), nn.Linear(width, 10))\n"
    )
    (home / "mine.toml").write_text(
        'title = "Mine"\nsummary = "s"\ntask = "t"\n'
        '[data]\nname = "mnist-sample"\nlimit = 30\n'
        '[model]\narchitecture = "net.py:net"\narguments = {width = 4}\n'
        "[training]\nepochs = 1\nbatch_size = 10\n"
        "[optimizers.SGD]\nlr = 0.1\n"
    )
    monkeypatch.chdir(elsewhere)
    ended = nncompare("run", "../home/mine.toml", "--out", "r")
    assert ended.status == 0, ended.err
    record = read_run_record(elsewhere / "r")
    assert record.name == "mine"
    assert "nn.LeakyReLU(0.2)" in record.sources["net.py, net"]
    (home / "net.py").write_text("def net(nn, width):\n    return nn.Linear(784, widht)\n")
    message = one_sentence(nncompare("run", "../home/mine.toml", "--out", "r2"))
    assert "(line 2 of net.py)" in message
    assert "NameError: name 'widht' is not defined" in message
    assert not Path("r2").exists()


def test_what_nobody_expected_keeps_its_traceback(nncompare, tiny_arguments, monkeypatch, tmp_path):
    """A mistake of this program must not look like one of the person's, nor cost what is right."""

    def broken(self):
        raise ZeroDivisionError("a mistake")

    out = tmp_path / "r"
    original = numpy_nn.optim.Adam.step
    arguments = ["run", *tiny_arguments, "--max-steps", 2, "--out", out]
    with monkeypatch.context() as patch:
        patch.setattr(numpy_nn.optim.Adam, "step", broken)
        ended = nncompare(*arguments)
    assert numpy_nn.optim.Adam.step is original
    assert ended.status == 1
    first, *lines = ended.err.splitlines()
    assert (first, lines[0]) == ("Adam, seed 0:", "Traceback (most recent call last):")
    assert "ZeroDivisionError: a mistake" in lines
    assert lines[-2].startswith("Adam, seed 0: failed: ZeroDivisionError: a mistake (test_cli.py, ")
    assert lines[-1] == (
        f"nncompare: 1 of 2 trainings failed; the others are kept in {out}, and the same command "
        f"with --out {out} --resume makes that one again"
    )
    assert [t.label for t in read_run_record(out).trainings] == ["SGD"]
    assert f"Report:\n  {out / 'report' / 'report.md'}" in ended.out
    assert nncompare(*arguments, "--resume").status == 0


def test_every_training_fails(nncompare, tiny_arguments, monkeypatch, tmp_path):
    """There is nothing to report then."""

    def broken(self, x):
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(numpy_nn.Linear, "forward", broken)
    ended = nncompare("run", *tiny_arguments, "--max-steps", 2, "--out", tmp_path / "r")
    assert ended.status == 1
    assert "Report" not in ended.out
    assert "nncompare: 2 of 2 trainings failed; " in ended.err
    assert "makes those again" in ended.err


@pytest.mark.slow
def test_several_seeds_in_two_processes(nncompare, tiny_arguments, timeless, tmp_path):
    """What is asked for comes after --set, and the same files come out as of one process."""
    arguments = ["run", *tiny_arguments, "--set", "training.seeds=[5]", "--threads", 1]
    arguments += ["--seeds", "2..3", "--max-steps", 2]
    ended = nncompare(*arguments, "--jobs", 2, "--out", tmp_path / "two")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()[1:]  # the first says that PyTorch is being loaded
    assert sorted(line.partition(":")[0].partition(" ")[2] for line in lines[:4]) == [
        "Adam, seed 2", "Adam, seed 3", "SGD, seed 2", "SGD, seed 3",
    ]  # fmt: skip
    assert [line.partition(" ")[0] for line in lines[:4]] == ["1/4", "2/4", "3/4", "4/4"]
    assert re.search(r"done in [\d.]+ s, NumPy test loss \d\.\d{4}, PyTorch test", lines[0])
    assert nncompare(*arguments, "--out", tmp_path / "one").status == 0
    assert timeless(tmp_path / "two") == timeless(tmp_path / "one")


def test_ctrl_c_before_anything_was_recorded(nncompare, tiny_arguments, monkeypatch, tmp_path):
    import compare.training.run

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare.training.run, "load_splits", interrupt)
    ended = nncompare("run", *tiny_arguments, "--out", tmp_path / "r")
    assert ended.status == 130
    assert ended.err == "nncompare: interrupted\n"


def test_ctrl_c_in_another_command(nncompare, monkeypatch):
    import compare.console.listing

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(compare.console.listing, "show_list", interrupt)
    ended = nncompare("list")
    assert (ended.status, ended.err) == (130, "nncompare: interrupted\n")


def test_abort(nncompare, monkeypatch):
    """What older versions of typer make of Ctrl-C."""
    import typer

    import compare.console.listing

    def abort():
        raise typer.Abort

    monkeypatch.setattr(compare.console.listing, "show_list", abort)
    assert nncompare("list").status == 130


def test_report_prints_its_files(nncompare, finished):
    ended = nncompare("report", finished)
    assert ended.status == 0
    assert ended.out == f"{finished / 'report' / 'report.md'}\n"


def test_list(nncompare):
    ended = nncompare("list")
    assert ended.status == 0
    for name in ("mnist_bn_mlp", "mnist_softmax", "bn_mlp", "softmax_mlp", "mnist-sample", "mnist"):
        assert re.search(rf"^ ?{name}  ", ended.out, re.MULTILINE), name


def child(*arguments: str, **settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60,
        **settings,
    )  # fmt: skip


def test_python_m_compare(nncompare):
    ended = child("-m", "compare", "--help")
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[2:] == nncompare("--help").out.splitlines()[2:]
    ended = child("-m", "compare", "frobnicate")
    assert ended.returncode == 2
    assert ended.stderr == "nncompare: No such command 'frobnicate'.\n"


def test_help_is_quick_because_it_loads_nothing():
    program = (
        "import sys; sys.argv = ['nncompare', 'run', '--help']\n"
        "from compare.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'scipy', 'matplotlib', 'compare.training.run') "
        "if m in sys.modules])"
    )
    assert child("-c", program).stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_goes_away(tmp_path):
    """As in ``nncompare list | head -1``: no traceback."""
    ended = subprocess.run(
        f"{sys.executable} -u -m compare list | true",
        shell=True, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr


def test_version(command_line):
    ended = command_line("--version")
    assert ended.status == 0
    assert re.fullmatch(r"nncompare \S+ \(Python \S+, NumPy \S+, PyTorch \S+\)\n", ended.out)


def test_the_list_has_data_and_minutes(command_line):
    ended = command_line("list")
    assert ended.status == 0
    assert re.search(r"mnist_bn_mlp +mnist +3 +four-hidden-layer", ended.out)
    assert re.search(r"optimizer_paths +– +< 1 ", ended.out)
    assert max(map(len, ended.out.splitlines()[:60])) <= 80


def test_without_what_makes_documents(command_line, monkeypatch, tmp_path):
    """A run is worth something without its report; a report alone is not."""
    monkeypatch.setitem(sys.modules, "typst", None)
    for name in [n for n in sys.modules if n == "reports" or n.startswith("reports.")]:
        monkeypatch.delitem(sys.modules, name)
    out = tmp_path / "run"
    ended = command_line("run", "mnist_softmax", "--sample", "--max-steps", "2", "--out", out)
    assert ended.status == 0
    assert ended.err == (
        "No report is written: the package typst is not installed: "
        f'pip install "nncompare[report]". Then: nncompare report {out}\n'
    )
    ended = command_line("report", out)
    assert ended.status == 2
    assert ended.err == (
        'nncompare: the package typst is not installed: pip install "nncompare[report]".\n'
    )
