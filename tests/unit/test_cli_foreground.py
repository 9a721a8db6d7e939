"""What the command line says of a program (cli/foreground.py)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nbcontainers.cli.foreground import _status


@pytest.mark.parametrize(("detached", "status", "said"), [(True, 0, "c0ffee\n"), (False, 3, "")])
def test_a_detached_program_that_ended_at_once_is_no_failure_of_ours(
    capsys: pytest.CaptureFixture[str], detached: bool, status: int, said: str
) -> None:
    ended: Any = SimpleNamespace(id="c0ffee", name="web", exit_code=3)
    run: Any = SimpleNamespace(name="run")
    assert _status(run, ended, detached=detached) == status
    assert capsys.readouterr().out == said
