"""`%%compare`, `%compare` and `nbcontainers compare`: the verb that need not be typed, completion, progress, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, cast

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from nbcontainers.cli import verbs
from nbcontainers.cli.main import main
from nbcontainers.compare import running
from nbcontainers.errors import InvalidArgument
from nbcontainers.magics import compare, extension


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setattr("nbcontainers.launcher.client.warm", lambda: None)
    shell = InteractiveShell.instance()
    extension.load(shell)
    yield shell
    extension.unload(shell)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[running.Asked]:
    """What was asked for; nothing is run."""
    found: list[running.Asked] = []

    def pretend(engine: Any, one: running.Asked, tell: Callable[[str], object]) -> str:
        found.append(one)
        for number in range(5):
            tell(f"round {number}")
        return "the comparison"

    monkeypatch.setattr(running, "compare", pretend)
    return found


def test_the_verb_that_need_not_be_typed() -> None:
    assert verbs.with_usual("compare", ["--on", "host"]) == ["run", "--on", "host"]
    assert verbs.with_usual("compare", ["sha256"]) == ["run", "sha256"]
    assert verbs.with_usual("compare", []) == ["run"]
    for words in (["run", "cpu"], ["targets"], ["--help"], ["help"]):
        assert verbs.with_usual("compare", words) == words
    assert verbs.with_usual("container", ["web"]) == ["web"]


def test_a_cell_is_the_script(shell: InteractiveShell, asked: list[running.Asked]) -> None:
    shown = shell.run_cell_magic("compare", "--on container,host -n 7 -m 64m --no-pin", "echo hi\n")
    assert shown == "the comparison"
    (one,) = asked
    assert one.workload.code == "echo hi\n"
    assert [target.name for target in one.targets] == ["container", "host"]
    assert (one.rounds, one.limits.memory, one.limits.cpuset) == (7, 64 << 20, "")


def test_a_line_names_a_workload(shell: InteractiveShell, asked: list[running.Asked]) -> None:
    shell.run_line_magic("compare", "sha256,fork --quick --seed 3")
    assert (asked[0].workload.axes, asked[0].rounds, asked[0].seed) == (("sha256", "fork"), 5, 3)


def test_the_command_line(asked: list[running.Asked], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--on", "host", "--script", "true", "-n", "5"]) == 0
    assert capsys.readouterr().out == "the comparison\n"
    assert asked[0].workload.code == "true"
    assert main(["compare"]) == 0
    assert capsys.readouterr().out.startswith("usage: nbcontainers compare VERB")


@pytest.mark.parametrize(
    ("line", "cell", "message"),
    [
        ("--on host", " \n", "the cell has nothing to run"),
        ("sha265", None, "there is no workload 'sha265'"),
        ("targets", "true", "%%compare targets reads no cell body"),
        ("-n 2", "true", "2 rounds give no interval"),
        ("--image", None, "--image needs a value"),
        ("--limits memory=1g", "true", "has no option --limits"),
        ("--script true", "true", "--script and a cell are two scripts"),
        ("--on host, container", "true", "a blank ends the list of targets"),
    ],
)
def test_what_is_refused(
    shell: InteractiveShell, asked: list[running.Asked], line: str, cell: str | None, message: str
) -> None:
    magic = shell.find_line_magic("compare")
    with pytest.raises(InvalidArgument) as caught:
        magic(line, cell) if cell is not None else magic(line)
    assert message in caught.value.message
    assert asked == []


def complete(shell: InteractiveShell, text: str) -> set[str]:
    with provisionalcompleter():
        return {text[: one.start] + one.text for one in shell.Completer.completions(text, len(text))}


def test_completion(shell: InteractiveShell) -> None:
    assert "%compare targets" in complete(shell, "%compare ta")
    assert "%%compare --on host,container:runc" in complete(shell, "%%compare --on host,container:r")
    assert "%%compare --on host:unlimited" in complete(shell, "%%compare --on ho")
    assert "%compare run sha256,fork" in complete(shell, "%compare run sha256,fo")
    assert "%%compare -m 64m --quick" in complete(shell, "%%compare -m 64m --qu")
    assert "%%compare --on" in complete(shell, "%%compare --o")
    assert "%compare --help" in complete(shell, "%compare --h")


def test_progress_is_one_area_of_low_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        compare, "publish_display_data",
        lambda data, transient, update: shown.append((data["text/plain"], update)),
    )  # fmt: skip
    now = iter([0.0, 1.0, 1.1, 1.2, 1.7, 9.0])
    monkeypatch.setattr(compare.time, "monotonic", lambda: next(now))
    area = compare.Area()
    for words in ("first", "too soon", "again too soon", "second"):
        area.tell(words)
    area.end("done")
    assert shown == [("first", False), ("second", True), ("done after 9 s", True)]


def test_nothing_is_shown_of_what_began_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(compare, "publish_display_data", lambda *a, **k: shown.append(a))
    compare.Area().end("stopped")
    assert shown == []


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody pressed the stop button after six of ten rounds."""

    class Partial:
        conditions: ClassVar = {"stopped": "6 of 10 rounds"}

        def text(self) -> str:
            return "what there is"

        def _repr_mimebundle_(self) -> dict[str, str]:
            return {"text/plain": self.text()}

    def stop(engine: Any, one: running.Asked, tell: Callable[[str], object]) -> None:
        tell("round 7 of 10")
        raise running.Stopped(cast(Any, Partial()))

    monkeypatch.setattr(running, "compare", stop)


def test_what_there_is_of_a_stopped_one_is_shown(
    shell: InteractiveShell, stopped: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("nbcontainers.widgets.kernel", lambda: "a kernel")
    monkeypatch.setattr(compare, "publish_display_data", lambda data, **_: shown.append(data["text/plain"]))
    with pytest.raises(KeyboardInterrupt, match="stopped: 6 of 10 rounds"):
        shell.run_cell_magic("compare", "--on host", "true")
    assert shown == ["round 7 of 10", "stopped after 0 s", "what there is"]


def test_on_a_terminal_it_says_how_far_it_is_on_the_last_line(
    shell: InteractiveShell, asked: list[running.Asked], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Where a display area cannot be changed each word would be a line."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    shell.run_line_magic("compare", "sha256")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.split("\r\x1b[K")[1:] == [*(f"round {number}" for number in range(5)), ""]


def test_the_command_line_prints_what_there_is_of_a_stopped_one(
    stopped: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--on", "host", "--script", "true"]) == 130
    assert capsys.readouterr().out == "what there is\n"
