"""The file of the container: its parts fit this project; where Docker runs, it is built and run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib

import pytest

from compare.check.sandbox import ROOT

FILE = ROOT / "docs" / "check.Dockerfile"
INSTRUCTIONS = {"FROM", "RUN", "COPY", "USER", "WORKDIR", "ENTRYPOINT"}


def instructions() -> list[tuple[str, str]]:
    """Each instruction and its arguments."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).split("\n")
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line.strip()]


def test_its_instructions() -> None:
    found = instructions()
    assert found[0][0] == "FROM"
    assert {name for name, _ in found} <= INSTRUCTIONS
    users = [place for place, (name, _) in enumerate(found) if name == "USER"]
    assert users, "code of strangers is not to run as root"
    assert all(name != "RUN" for name, _ in found[users[0] :])


def test_what_it_installs() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    base = re.search(r"python:3\.(\d+)", dict(instructions())["FROM"])
    lowest = re.search(r">=3\.(\d+)", project["requires-python"])
    assert int(base[1]) >= int(lowest[1])
    runs = " ".join(arguments for name, arguments in instructions() if name == "RUN")
    assert "bubblewrap" in runs
    extras = re.search(r"/opt/nncompare\[(.*?)\]", runs)[1].split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    assert any(
        arguments == ". /opt/nncompare" for name, arguments in instructions() if name == "COPY"
    )


def test_what_it_copies() -> None:
    """All that the installation needs, and nothing else of a working folder."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = {rule[1:] for rule in rules if rule.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)
    setuptools, project = settings["tool"]["setuptools"], settings["project"]
    packages = {name.rstrip("*") for name in setuptools["packages"]["find"]["include"]}
    modules = {f"{name}.py" for name in setuptools.get("py-modules", ())}
    assert copied == {
        "pyproject.toml", project["readme"], *project["license-files"], *packages, *modules,
    }  # fmt: skip


def test_what_it_starts(command_line) -> None:
    program, *arguments = json.loads(dict(instructions())["ENTRYPOINT"])
    assert program == "nncompare"
    ended = command_line(*arguments, ROOT / "docs")  # the options are read before the folder
    assert "docs holds no Python files" in ended.err or "cannot be had here" in ended.err


def test_the_page_names_it() -> None:
    page = (ROOT / "docs" / "checking.md").read_text(encoding="utf-8")
    assert f"-f docs/{FILE.name}" in page
    assert f"[{FILE.name}]({FILE.name})" in page


@pytest.mark.slow
def test_it_is_built_and_checks() -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], check=False).returncode:
        pytest.skip("no Docker runs on this machine")
    subprocess.run(["docker", "build", "-f", FILE, "-t", "nncompare-check", ROOT], check=True)
    unconfined = [
        f"--security-opt={one}=unconfined" for one in ("seccomp", "apparmor", "systempaths")
    ]
    subprocess.run(
        ["docker", "run", "--rm", "--network=none", *unconfined,
         "-v", f"{ROOT}/examples:/homework:ro", "nncompare-check", "/homework/rows.py"],
        check=True,
    )  # fmt: skip
