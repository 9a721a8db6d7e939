"""One verb, one place: the command line, the magics and Python call the very same function."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

import nbcontainers
from nbcontainers.cli import verbs

PAIRS = [(object, name) for object in verbs.objects() for name in verbs.verbs(object)]


@pytest.fixture(scope="module")
def shell() -> InteractiveShell:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "nbcontainers")
    return shell


def test_the_objects_of_the_design_are_there() -> None:
    assert {"container", "image", "system"} <= set(verbs.objects())


def test_the_verbs_of_the_issue_are_there() -> None:
    runs = (
        "run create start ps ls inspect rm wait kill stop top stats logs exec commit diff export restart pause unpause "
        "rename update attach cp port prune healthcheck"
    )
    images = "pull push ls inspect history tag rm save load import export search-tags tags outdated login logout prune diff tree df"
    assert set(runs.split()) <= set(verbs.verbs("container"))
    assert set(images.split()) <= set(verbs.verbs("image"))
    assert {"prune", "info", "df", "events", "doctor"} <= set(verbs.verbs("system"))
    assert {"run", "fetch-kernel"} <= set(verbs.verbs("vm"))


@pytest.mark.parametrize(("object", "name"), PAIRS, ids=lambda value: value)
def test_python_has_the_verb(object: str, name: str) -> None:
    api = importlib.import_module(f"nbcontainers.{object}.api")
    python = name.replace("-", "_")
    function = getattr(api, python, None) or getattr(api, f"{python}_")
    assert verbs.verbs(object)[name].function is function
    assert inspect.getdoc(function), "a verb without a docstring has no help"


def test_no_module_takes_the_place_of_a_verb() -> None:
    """Importing nbcontainers/image/pull.py, or a folder pull, would make a module of `nbcontainers.image.pull`."""
    folder = Path(nbcontainers.__file__).parent
    places = [folder / o / f"{n.replace('-', '_')}{end}" for o, n in PAIRS for end in (".py", "")]
    assert [str(place) for place in places if place.exists()] == []


@pytest.mark.parametrize(("object", "name"), PAIRS, ids=lambda value: value)
def test_the_magic_has_the_verb(shell: InteractiveShell, object: str, name: str) -> None:
    magic = shell.find_line_magic(object)
    assert magic.verb(name, f"%{object}").function is verbs.verbs(object)[name].function


@pytest.mark.parametrize(("object", "name"), PAIRS, ids=lambda value: value)
def test_both_faces_know_the_same_options(shell: InteractiveShell, object: str, name: str) -> None:
    """The notebook adds a few of its own; it leaves none out."""
    verb = verbs.verbs(object)[name]
    magic = shell.find_line_magic(object).parser(name)
    assert [parameter.name for parameter in verb.parameters] == [parameter.name for parameter in magic.parameters]


@pytest.mark.parametrize(("object", "name"), PAIRS, ids=lambda value: value)
def test_the_verb_has_help_on_the_command_line(object: str, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbcontainers", object, name, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first = done.stdout.lower().splitlines()[0]
    assert "usage" in first
    assert f"{object} {name}" in first


def test_the_shortcuts_are_the_verbs() -> None:
    for word, (object, name) in nbcontainers.SHORTCUTS.items():
        if object in verbs.objects() and name in verbs.verbs(object):
            python = f"{word}_" if word in ("exec", "import") else word
            assert getattr(nbcontainers, python) is verbs.verbs(object)[name].function
