"""The magics in a real InteractiveShell: what they register and take away, help, errors, settings, laziness."""

from __future__ import annotations

import keyword
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import nbcontainers
from nbcontainers import widgets
from nbcontainers.cli import help, verbs
from nbcontainers.cli.parser import Call
from nbcontainers.errors import InvalidArgument
from nbcontainers.magics import extension, running, terminal
from nbcontainers.magics.magics import NBContainers


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setattr("nbcontainers.launcher.client.warm", lambda: None)
    shell = InteractiveShell.instance()
    extension.load(shell)
    yield shell
    extension.unload(shell)


def test_a_magic_for_every_object(shell: InteractiveShell) -> None:
    magics = shell.magics_manager.magics
    assert set(verbs.objects()) <= set(magics["line"])
    assert "container" in magics["cell"]


def test_unloading_takes_everything_away_and_loading_twice_adds_nothing() -> None:
    shell = InteractiveShell.instance()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbcontainers.launcher.client.warm", lambda: None)

        def count() -> tuple[Any, ...]:
            manager = shell.magics_manager
            tables = tuple(sorted(manager.magics[kind]) for kind in ("line", "cell"))
            lists = (shell.Completer.custom_matchers, shell.configurables, shell.input_transformers_cleanup)
            return (*tables, sorted(manager.registry), *map(len, lists), shell.events.callbacks)

        before = count()
        extension.load(shell)
        once = count()
        extension.load(shell)
        assert count() == once
        assert once != before
        extension.unload(shell)
        assert count() == before


def test_help_is_the_result_and_nothing_is_printed(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shown = shell.run_line_magic("container", "run --help")
    assert isinstance(shown, help.Help)
    assert shown.startswith("usage: %container run [OPTIONS] IMAGE [COMMAND...]\n")
    assert "  -o, --out NAME " in shown
    assert shell.run_line_magic("container", "").startswith("usage: %container VERB")
    assert capsys.readouterr() == ("", "")


def test_h_without_a_host_name_is_help(shell: InteractiveShell) -> None:
    assert str(shell.run_line_magic("container", "run -d -h")) == str(shell.run_line_magic("container", "run --help"))


def test_fill_reaches_the_body(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.user_ns["word"] = "hello"
    bodies: list[str | None] = []
    monkeypatch.setattr(running, "program", lambda settings, verb, call, cell, typed: bodies.append(cell))
    for options in ("", "--fill "):
        shell.run_cell_magic("container", f"run {options}mini", "echo {{ word }}\n")
    assert bodies == ["echo {{ word }}\n", "echo hello\n"]
    with pytest.raises(InvalidArgument, match="--fill: a line has no body"):
        shell.run_line_magic("container", "run --fill mini true")


def test_the_docstring_begins_with_the_usage_and_has_an_example_a_verb(shell: InteractiveShell) -> None:
    found = shell.object_inspect("%container")
    text = found["docstring"]
    assert text.splitlines()[0] == "usage: %container VERB [OPTIONS] [ARGUMENTS...]"
    for verb in verbs.verbs("container"):
        assert f"\n  %container {verb}" in text or f"%container {help.EXAMPLES[f'container {verb}']}" in text


def test_every_verb_has_a_summary_and_an_example() -> None:
    for object in verbs.objects():
        for name, verb in verbs.verbs(object).items():
            assert verb.summary, f"{object} {name} has no docstring"
            assert f"{object} {name}" in help.EXAMPLES


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run --memry 1g mini", "%container run has no option --memry"),
        ("rnu mini", "%container has no verb 'rnu'"),
        ("run", "%container run needs an IMAGE"),
        ("run mini {nobody}", "no variable is named 'nobody'"),
        ("ps # all", "starts no comment"),
        ("run -o 3x mini", "'3x' is no name of a variable"),
        ("run -m 1k mini", "--memory: 1k is below what can work"),
    ],
)
def test_mistakes_are_our_own_errors(shell: InteractiveShell, line: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        shell.run_line_magic("container", line)
    assert message in caught.value.message
    assert caught.value.hint


def test_an_error_is_short_and_fails_the_cell(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    result = shell.run_cell("%container rnu mini")
    assert isinstance(result.error_in_exec, InvalidArgument)
    shown = "".join(capsys.readouterr())
    assert "InvalidArgument: %container has no verb 'rnu'" in shown
    assert "hint: did you mean run? type %container --help" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("cell", ["%%container run mini", "%%container run mini\n", "%%container run mini\n\n  \n"])
def test_an_empty_body_is_our_own_error(shell: InteractiveShell, cell: str) -> None:
    error = shell.run_cell(cell).error_in_exec
    assert isinstance(error, InvalidArgument)
    assert error.message == "the body of %%container run is empty"
    assert error.hint == "write the script below the line, or type %container run IMAGE COMMAND"


def test_a_body_where_none_is_read(shell: InteractiveShell) -> None:
    error = shell.run_cell("%%container ps\nx\n").error_in_exec
    assert isinstance(error, InvalidArgument)
    assert error.message == "%%container ps reads no cell body"


def test_local_variables_are_seen(shell: InteractiveShell) -> None:
    shell.run_cell("def f():\n    inner = '--help'\n    return get_ipython().run_line_magic('container', '{inner}')")
    assert shell.user_ns["f"]().startswith("usage: %container VERB")


def test_out_keeps_the_result_and_a_semicolon_shows_nothing(shell: InteractiveShell) -> None:
    shell.run_cell("%container ps -o listed", store_history=True)
    assert len(shell.user_ns["listed"]) == 0
    assert shell.run_cell("%container ps;", store_history=True).result is None
    shell.run_cell("again = %container ps;", store_history=True)
    assert shell.user_ns["again"] == shell.user_ns["listed"]


def test_settings(shell: InteractiveShell) -> None:
    shell.run_cell("%config NBContainers.memory = '64m'")
    settings = next(one for one in shell.configurables if isinstance(one, NBContainers))
    assert settings.memory == "64m"
    extension.load(shell)
    assert next(one for one in shell.configurables if isinstance(one, NBContainers)).memory == "64m"
    shell.run_cell("%config NBContainers.memory = ''")


@pytest.mark.parametrize(("object", "name"), [(o, n) for o in verbs.objects() for n in verbs.verbs(o)])
def test_python_says_object_and_verb(object: str, name: str) -> None:
    verb = verbs.verbs(object)[name]
    assert getattr(getattr(nbcontainers, object), verb.function.__name__) is verb.function


def test_shortcuts_are_names_of_the_package() -> None:
    for word in nbcontainers.SHORTCUTS:
        if found := verbs.shortcut(word):
            assert getattr(nbcontainers, f"{word}_" if keyword.iskeyword(word) else word) is found.function
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        nbcontainers.nonsense  # noqa: B018


HEAVY = ("pandas", "numpy", "matplotlib", "ipywidgets", "asyncio")


def test_importing_costs_nothing() -> None:
    shown = run_python("import sys, nbcontainers; print(*[n for n in sys.modules if n.startswith('nbcontainers')])")
    assert set(shown.split()) == {"nbcontainers", "nbcontainers.version"}
    script = "import sys; before = set(sys.modules); import nbcontainers; print(*set(sys.modules) - before)"
    assert set(run_python(script).split()) <= {"nbcontainers", "nbcontainers.version", "__future__"}


def test_loading_imports_no_more_of_ipython_than_the_shell_has() -> None:
    script = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
import IPython.core.magics.extension
shell = InteractiveShell.instance()
import nbcontainers.launcher.client as client
client.warm = lambda: None
before = set(sys.modules)
began = time.process_time()
shell.run_line_magic("load_ext", "nbcontainers")
print(time.process_time() - began)
print(*{name for name in set(sys.modules) - before if not name.startswith("nbcontainers")})
"""
    seconds, _, modules = run_python(script).partition("\n")
    found = {name.partition(".")[0] for name in modules.split()}
    assert not found & {"IPython", "ipykernel", *HEAVY}
    assert float(seconds) < 0.1


def run_python(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("proxied", "notice"), [(False, "[nbcontainers] the stop button leaves it running\n"), (True, "")]
)
def test_a_cell_that_is_attached_says_how_it_is_left(
    proxied: bool, notice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a program without a word one saw nothing but a cell that is busy."""

    def attach(container: str, *, sig_proxy: bool, stdout: Any, stderr: Any, tick: Any) -> None:
        for _ in range(3):
            tick()
        stdout(b"out\n")

    verb = verbs.Verb("container", "attach", attach)
    running.streamed(NBContainers(InteractiveShell.instance()), verb, ["web"], {"sig_proxy": proxied})
    assert capsys.readouterr() == ("out\n", notice)


class Shell:
    """A terminal, as far as its cell knows one."""

    def __init__(self) -> None:
        self.running = True

    def close(self) -> None:
        self.running = False


def test_a_cell_that_is_run_again_hangs_up_and_what_ended_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widgets, "wanted", lambda: True)
    monkeypatch.setattr(terminal, "_opened", lambda *_: Shell())
    monkeypatch.setattr(terminal, "_shown", {})

    def run(cell: str, number: int) -> Shell:
        monkeypatch.setattr(terminal, "_cell", lambda: (cell, number))
        found: Shell = terminal.run(verbs.Verb("container", "exec", print), Call(), {})
        return found

    first, beside = run("a", 1), run("a", 1)
    assert all(one.running for one in (first, beside))
    again, other = run("a", 2), run("b", 3)
    assert [one.running for one in (first, beside, again, other)] == [False, False, True, True]
    other.running = False
    run("c", 4)
    assert set(terminal._shown) == {"a", "c"}
