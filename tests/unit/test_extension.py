"""What `%load_ext` puts into a shell besides the magics, `%config NBContainers`, and that all of it goes again."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbcontainers import view, widgets
from nbcontainers.errors import InvalidArgument
from nbcontainers.magics import extension

EVENTS = ("pre_run_cell", "post_run_cell")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setattr("nbcontainers.launcher.client.warm", lambda: None)
    monkeypatch.setattr(widgets, "mode", "auto")
    shell = InteractiveShell.instance()
    extension.load(shell)
    yield shell
    shell.config.pop("NBContainers", None)
    extension.unload(shell)


def ours(shell: InteractiveShell) -> list[Any]:
    callbacks = shell.events.callbacks
    return [one for name in EVENTS for one in callbacks[name] if one.__module__.startswith("nbcontainers")]


def test_loading_again_changes_nothing_and_unloading_leaves_nothing(shell: InteractiveShell) -> None:
    for _ in range(2):
        extension.load(shell)
        assert view.live is widgets.bundle
        assert view.follow is not None
        assert not view.follow.wanted()  # a shell without a kernel
        assert len(ours(shell)) == len(EVENTS)
    extension.unload(shell)
    assert view.live is None
    assert view.follow is None
    assert ours(shell) == []
    assert widgets._page is None


def test_a_shell_without_a_kernel_has_no_live_views(shell: InteractiveShell) -> None:
    assert widgets.kernel() is None
    assert not widgets.wanted()
    shell.run_cell("%config NBContainers.widgets = 'on'")  # type: ignore[no-untyped-call]
    assert not widgets.wanted()


def test_config_says_what_each_setting_is_and_takes_only_what_it_may_be(
    shell: InteractiveShell, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        shell.run_line_magic("config", "NBContainers")
    for name in (
        "quiet",
        "raise_error",
        "keep",
        "warn_latest",
        "output_lines",
        "memory",
        "cpus",
        "progress_after",
        "widgets",
    ):
        assert f"NBContainers.{name}=" in said.getvalue()
    assert "Live views: in front ends (auto), wherever a kernel runs (on)" in said.getvalue()
    shell.run_line_magic("config", "NBContainers.progress_after = 0.2")
    assert view.patience == 0.2
    shell.run_line_magic("config", "NBContainers.widgets = 'off'")
    assert widgets.mode == "off"
    shell.run_line_magic("config", "NBContainers.widgets = 'sometimes'")
    assert "expected any of ['auto', 'on', 'off'], not the str 'sometimes'" in caplog.text
    assert widgets.mode == "off"


def test_a_setting_of_the_configuration_file_counts(shell: InteractiveShell) -> None:
    shell.config.NBContainers.widgets = "off"
    extension.load(shell)
    assert widgets.mode == "off"
    shell.config.pop("NBContainers")
    extension.load(shell)
    assert widgets.mode == "auto"
    assert view.patience == 1


@pytest.mark.parametrize("loaded", [False, True], ids=["lazy", "loaded"])
def test_ipythons_own_magic_of_a_name_of_ours_is_back_after_unloading(shell: InteractiveShell, loaded: bool) -> None:
    if loaded:
        shell.run_cell("%cd .")  # type: ignore[no-untyped-call] # with which IPython loads its own %system
    extension.unload(shell)
    assert shell.run_line_magic("system", "echo its own") == ["its own"]
    assert shell.run_cell_magic("system", "", "echo its own") == ["its own"]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("body", ["", "\n", "\nx\n"])
@pytest.mark.parametrize("line", ["network ls", "volume ls", "system df", "builder prune"])
def test_a_cell_of_what_reads_no_body_is_our_own_error(shell: InteractiveShell, line: str, body: str) -> None:
    """IPython's UsageError would pass nbmake and nbval."""
    error = shell.run_cell(f"%%{line}{body}").error_in_exec  # type: ignore[no-untyped-call]
    assert isinstance(error, InvalidArgument)
    assert error.message == f"%%{line} reads no cell body"
    assert error.hint.startswith(f"write it as a line with one %: %{line} …")
    assert ("IPython's own %%system is %%sx" in error.hint) is line.startswith("system")
