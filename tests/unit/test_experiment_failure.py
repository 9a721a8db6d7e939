"""What a cell raises in the notebook, and what it tells to type."""

from __future__ import annotations

import pickle

import pytest

from nbcontainers.errors import ContainerFailed, Error, InvalidArgument
from nbcontainers.experiment import advice, api, failure, settings


@pytest.fixture(autouse=True)
def no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test may have left a shell, which colours its tracebacks."""
    monkeypatch.setattr(failure, "_colours", lambda: False)


def raised(*links, first_line=1, hint=""):
    return failure.raised({"chain": list(links)}, first_line=first_line, hint=hint, details={"exit_code": 1, "id": "x"})


def link(name, *bases, message="words", **more):
    return {"type": name, "module": "m", "bases": list(bases), "message": message, "notes": [], "frames": [], **more}


FRAME = {
    "file": "Cell In[3]", "line": 4, "function": "f", "repeated": 0, "omitted": 0,
    "source": [[1, "%%container"], [2, "def f():"], [3, "    x = 1"], [4, "    return x / 0"], [5, ""], [6, "f()"]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "base", "kind"),
    [
        ("ZeroDivisionError", "builtins:ZeroDivisionError", ZeroDivisionError),
        ("KeyError", "builtins:KeyError", KeyError),
        ("FileNotFoundError", "builtins:FileNotFoundError", OSError),
        ("UnicodeDecodeError", "builtins:UnicodeDecodeError", ValueError),
        ("JSONDecodeError", "json.decoder:JSONDecodeError", ValueError),
        ("KeyboardInterrupt", "builtins:KeyboardInterrupt", KeyboardInterrupt),
        ("Mine", "__main__:Mine", ContainerFailed),
        ("Unknown", "no.such.module:Unknown", ContainerFailed),
        ("SyntaxError", "builtins:SyntaxError", ContainerFailed),
        ("Odd", "os:getcwd", ContainerFailed),
    ],
)
def test_the_type_is_kept(name, base, kind):
    __import__("json")
    error = raised(link(name, base, "builtins:Exception"))
    assert type(error).__name__ == name
    assert isinstance(error, kind)
    assert isinstance(error, ContainerFailed)
    assert str(error) == "words"
    assert error.exit_code == 1
    assert isinstance(pickle.loads(pickle.dumps(error)), failure.CellFailed)
    assert name not in Error.kinds


def test_the_lines_are_ipythons(monkeypatch):
    error = raised(
        link("ZeroDivisionError", message="division by zero", frames=[FRAME]), first_line=2, hint="type this"
    )
    assert error._render_traceback_() == [
        "-" * 75,
        "ZeroDivisionError                         Traceback (most recent call last)",
        "Cell In[3], line 4, in f",
        "      2 def f():",
        "      3     x = 1",
        "----> 4     return x / 0",
        "      5 ",
        "      6 f()",
        "",
        "ZeroDivisionError: division by zero",
        "hint: type this",
    ]


def test_frames_of_libraries_take_one_line():
    frame = {**FRAME, "file": "/lib/x.py", "repeated": 2, "omitted": 7}
    lines = raised(link("E", frames=[frame]))._render_traceback_()
    assert lines[2:7] == [
        "[... 7 frames left out]",
        "",
        "File /lib/x.py:4, in f",
        "----> 4     return x / 0",
        "[... the same frame 2 times more]",
    ]


def test_a_syntax_error_has_a_caret():
    where = {"file": "Cell In[3]", "line": 3, "text": "  foo = = 3", "column": 9, "end": 10}
    error = raised(link("SyntaxError", "builtins:SyntaxError", message="invalid syntax", syntax=where))
    assert str(error) == "invalid syntax (Cell In[3], line 3)"
    assert error._render_traceback_() == [
        "  Cell In[3], line 3",
        "    foo = = 3",
        "          ^",
        "SyntaxError: invalid syntax",
    ]


def test_a_chain_begins_with_the_first():
    lines = raised(link("B", message="second", direct=True), link("A", message="first"))._render_traceback_()
    assert lines == [
        "-" * 75, "A: first", "", "The above exception was the direct cause of the following exception:", "", "B: second",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "description", [{}, {"chain": []}, {"chain": ["x"]}, {"chain": [{}]}, {"chain": [{"type": 5}]}]
)
def test_a_description_that_is_nonsense_is_still_an_error(description):
    error = failure.raised(description, first_line=1, hint="", details={})
    assert error._render_traceback_()


def test_an_error_without_lines_shows_its_message():
    assert failure.CellFailed("what", hint="do")._render_traceback_() == ["CellFailed: what", "hint: do"]


@pytest.mark.parametrize(
    ("end", "message", "hint"),
    [
        (
            {"status": "exit", "code": 3, "line": 4},
            "the code ended itself: sys.exit(3) in line 4 (exit status 3)",
            "leave sys.exit() out of a cell; raise an error instead",
        ),
        (
            {"status": "missing", "missing": ["b"], "defined": ["a"]},
            "b was never assigned, so nothing came back",
            "the code defined a",
        ),
        (
            {"status": "missing", "missing": ["b"], "defined": []},
            "b was never assigned, so nothing came back",
            "the code defined no name",
        ),
        (
            {"status": "missing", "missing": ["b"], "defined": [f"n{i}" for i in range(20)]},
            "b was never assigned, so nothing came back",
            "the code defined n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11 and 8 more",
        ),
        (
            {"status": "output", "name": "l", "reason": "no", "by_value": False},
            "l cannot be brought back: no",
            "pass the data it is made of: arrays, frames, numbers, text",
        ),
        ({}, "", ""),
    ],
)
def test_ends(end, message, hint):
    assert advice.for_end(end, []) == (message, hint)


def test_a_file_or_module_that_is_only_here(tmp_path, monkeypatch):
    (tmp_path / "data.csv").touch()
    (tmp_path / "mine.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    mount = f"where the container may not look; show it the folder with -v {tmp_path}:{tmp_path}:ro"
    assert advice._path("data.csv") == f"{tmp_path}/data.csv is here, {mount}"
    assert advice._path("nothing.csv") == ""
    assert advice._module("mine.sub") == f"mine.sub is in {tmp_path}, {mount}"
    assert advice._module("no_such_module_anywhere") == ""


# -- the verb's own checks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"inputs": ["no such"]}, "'no such' is no name of a variable", "type names, as -i frame,model"),
        ({"outputs": "1a"}, "'1a' is no name of a variable", "type names, as -i frame,model"),
        (
            {"inputs": ["frme"], "namespace": {"frame": 1}},
            "there is no variable frme to pass in",
            "did you mean frame?",
        ),
        ({"inputs": ["q"], "namespace": {}}, "there is no variable q to pass in", "assign it first: q = …"),
        ({"detach": True}, "python takes no --detach: the cell's outputs are waited for", "leave it out"),
        ({"tty": True}, "python takes no --tty: a cell has no terminal", "leave it out"),
    ],
)
def test_bad_words(given, message, hint):
    with pytest.raises(InvalidArgument) as error:
        api.python("1", **given)
    assert (error.value.message, error.value.hint) == (message, hint)


def test_an_input_that_cannot_be_pickled_is_refused_before_anything_starts():
    import threading

    with pytest.raises(InvalidArgument) as error:
        api.python("1", inputs={"fine": 1, "lock": threading.Lock()})
    assert error.value.message == "lock cannot be passed in: cannot pickle '_thread.lock' object"


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, None),
        ({"cpus": 0.5}, 1),
        ({"cpus": "1.5"}, 2),
        ({"cpuset_cpus": "0-2,5"}, 4),
        ({"cpus": 2, "cpuset_cpus": "0"}, 1),
    ],
)
def test_threads_follow_the_limit(options, count):
    assert settings.processors(options) == count
    environment = settings.environment({**options, "env": ["OMP_NUM_THREADS=9", "A=b"]})
    assert (f"PYTHON_CPU_COUNT={count}" in environment) is (count is not None)
    assert environment[-2:] == ["OMP_NUM_THREADS=9", "A=b"]


def test_the_options_on_the_line():
    from nbcontainers.cli.parser import Parser
    from nbcontainers.cli.signature import parameters

    parser = Parser("python", [one for one in parameters(api.python) if one.name != "code"])
    options = parser.parse(["-m", "512m", "--cpus", "1", "-i", "a,b", "-i", "c", "-o", "model", "-v", "/x:/x"]).options
    assert options["inputs"] == ["a,b", "c"]
    assert options["outputs"] == ["model"]
    assert list(api._names(options["inputs"])) == ["a", "b", "c"]
