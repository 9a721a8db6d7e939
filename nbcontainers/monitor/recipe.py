"""A container's recipe: the ordered steps that surround the runtime, done forwards and undone backwards."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from nbcontainers.errors import CreateFailed, Error
from nbcontainers.monitor.steps import Action, Step


def action(step: Step) -> type[Action]:
    """The class a step names as `module:Class`."""
    module, _, name = step["step"].partition(":")
    found = sys.modules.get(module) or import_module(module)
    return getattr(found, name)  # type: ignore[no-any-return]


def perform(steps: Sequence[Step]) -> None:
    """Do all steps; if one fails, those before it are undone. Raises CreateFailed with exit code 125."""
    for done, step in enumerate(steps):
        try:
            action(step).do(step["args"])
        except (OSError, Error) as error:
            undo(steps[:done])
            raise _failure(step, error) from error


def undo(steps: Sequence[Step]) -> list[str]:
    """Undo all steps, the last first. What cannot be undone is reported, and the others still are."""
    failed = []
    for step in reversed(steps):
        try:
            action(step).undo(step["args"])
        except (OSError, Error) as error:
            failed.append(f"undo of {step['step']}: {error}")
    return failed


def describe(steps: Sequence[Step]) -> list[str]:
    """The steps in words, as they would be typed."""
    return [action(step).describe(step["args"]) for step in steps]


def _failure(step: Step, error: OSError | Error) -> Error:
    if isinstance(error, Error):
        return error
    return CreateFailed(
        f"{action(step).describe(step['args'])}: {error}",
        exit_code=125,
        stage=step["step"].partition(":")[2].lower(),
        syscall=getattr(error, "syscall", None),
        errno=error.errno,
        path=error.filename and str(error.filename),
    )
