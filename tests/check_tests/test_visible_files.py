"""Which files an isolated homework sees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compare.check.visible_files import visible_files


@pytest.fixture
def tree(tmp_path):
    """Write files and find those that one of them needs, relative to the folder."""

    def make(files: dict[str, str], homework: str = "work/homework.py", others=()) -> set[str]:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        found = visible_files(tmp_path / homework, [tmp_path / one for one in others])
        return {path.relative_to(tmp_path).as_posix() for path in found}

    return make


def test_itself_alone(tree) -> None:
    files = {"work/homework.py": "import numpy as np\n", "work/other.py": "", "work/x.txt": ""}
    assert tree(files) == {"work/homework.py"}


def test_modules_and_what_they_import(tree) -> None:
    files = {
        "work/homework.py": "from layers import Dense\nimport pack.deep\n",
        "work/layers.py": "import activations as a\n",
        "work/activations.py": "",
        "work/pack/__init__.py": "",
        "work/pack/deep.py": "import sibling\n",
        "work/sibling.py": "",
        "work/stranger.py": "",
    }
    expected = {"homework.py", "layers.py", "activations.py", "pack", "sibling.py"}
    assert tree(files) >= {f"work/{name}" for name in expected}
    assert "work/stranger.py" not in tree(files)


def test_relative_imports_of_a_package(tree) -> None:
    files = {
        "cs/__init__.py": "",
        "cs/layers.py": "from .fast import conv\n",
        "cs/fast.py": "",
        "cs/unused.py": "",
        "cs/classifiers/__init__.py": "from ..layers import *\n",
        "cs/classifiers/net.py": "from ..layers import *\nfrom ..utils.data import load\n",
        "cs/utils/data.py": "",
    }
    found = tree(files, "cs/classifiers/net.py")
    assert found >= {"cs/__init__.py", "cs/layers.py", "cs/fast.py", "cs/classifiers/__init__.py"}
    assert "cs/unused.py" not in found
    assert any(one.startswith("cs/utils") for one in found)


def test_a_folder_above_if_it_changes_the_path(tree) -> None:
    text = "import sys, os\nsys.path.append(os.pardir)\nfrom common.layers import *\n"
    files = {"ch05/net.py": text, "common/__init__.py": "", "common/layers.py": ""}
    assert "common" in tree(files, "ch05/net.py")
    assert tree({"ch05/net.py": "from common.layers import *\n"}, "ch05/net.py") == {"ch05/net.py"}


def test_data_that_a_text_names(tree) -> None:
    text = "np.load('data/a.npz')\nopen(f'weights/{n}.txt')\nopen('../secret.txt')\nopen('.')\n"
    files = {
        "work/homework.py": text,
        "work/data/a.npz": "",
        "work/data/b.npz": "",
        "work/weights/1.txt": "",
        "secret.txt": "",
    }
    assert tree(files) == {"work/homework.py", "work/data/a.npz", "work/weights"}


def test_code_is_not_data(tree) -> None:
    files = {
        "work/homework.py": "open('bob.py')\nopen('bob.ipynb')",
        "work/bob.py": "",
        "work/bob.ipynb": "",
    }
    assert tree(files) == {"work/homework.py"}


def test_other_homeworks_never(tree) -> None:
    files = {
        "work/homework.py": "import bob\nfrom carol import homework\nopen('carol')\n",
        "work/bob.py": "",
        "work/carol/homework.py": "",
    }
    assert tree(files, others=["work/bob.py", "work/carol"]) == {"work/homework.py"}
    assert len(tree(files)) > 1


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_links_out_of_the_folder_never(tree, tmp_path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "link").symlink_to("/etc")
    (tmp_path / "work" / "helper.py").symlink_to(Path(os.__file__))
    assert tree({"work/homework.py": "import helper\nopen('link')\n"}) == {"work/homework.py"}


@pytest.mark.parametrize("text", ["def f(:", "\x00", "(" * 5000])
def test_what_cannot_be_read_is_seen_alone(tree, text) -> None:
    assert tree({"work/homework.py": text}) == {"work/homework.py"}


def test_a_package_around_it_shows_its_initialiser_alone(tree) -> None:
    """The folder holds the homework, and who knows what else; its __init__.py runs on import."""
    text = "import sys\nsys.path.append('../..')\nimport pack\n"
    files = {"pack/__init__.py": "", "pack/other.py": "", "pack/work/net.py": text}
    assert tree(files, "pack/work/net.py") == {"pack/work/net.py", "pack/__init__.py"}
    files["pack/work/net.py"] = text.replace("import pack", "import pack.other")
    assert tree(files, "pack/work/net.py") == {
        "pack/work/net.py", "pack/__init__.py", "pack/other.py"
    }  # fmt: skip


@pytest.mark.parametrize(
    "first", ["'..'", "'a' * 3 + '\\n'", "'/etc'", "'other.py'", "'gone'", "3"]
)
def test_a_text_that_names_nothing_is_passed_over(tree, first) -> None:
    text = f"names = [{first}, 'data.npz']\n"
    files = {"work/homework.py": text, "work/data.npz": "", "work/other.py": ""}
    assert tree(files) == {"work/homework.py", "work/data.npz"}
    files["work/homework.py"] = text.replace("data.npz", "x" * 201)
    assert tree(files) == {"work/homework.py"}


def test_data_beside_a_module_of_a_package(tree) -> None:
    """A text is a path from the homework's folder or from the module's own."""
    files = {
        "work/homework.py": "import pack.load",
        "work/pack/load.py": "open('../../secret.txt'), open('digits.csv'), open('pack/more.csv')",
        "work/pack/digits.csv": "",
        "work/pack/more.csv": "",
        "secret.txt": "",
    }
    found = tree(files)
    assert found >= {"work/pack/digits.csv", "work/pack/more.csv"}
    assert "secret.txt" not in found


@pytest.mark.parametrize(
    "text",
    [
        "import importlib\nimportlib.import_module('beside')",
        "__import__('beside')",
        "from importlib import import_module\nimport_module('.beside', __package__)",
        "from . import beside",
        "import numpy, beside as b",
    ],
)
def test_ways_to_import(tree, text) -> None:
    files = {"work/homework.py": text, "work/beside.py": "", "work/other.py": ""}
    assert tree(files) == {"work/homework.py", "work/beside.py"}


def test_no_further_than_three_folders_above(tree) -> None:
    files = {"a/near.py": "", "far.py": ""}
    for name, text, seen in (
        ("a/b/c/d/net.py", "from ....near import x\n", {"a/near.py"}),
        ("a/b/c/d/net.py", "from .....far import x\n", set()),
        ("a/b/c/d/net.py", "import sys\nsys.path.insert(0, '')\nimport near, far\n", {"a/near.py"}),
    ):
        assert tree({**files, name: text}, name) == {name, *seen}
