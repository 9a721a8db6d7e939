"""A container's recipe: the ordered steps that surround the runtime, done forwards and undone backwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from nbcontainers.errors import CreateFailed, Error
from nbcontainers.monitor.steps import Action, Step


def action(step: Step) -> type[Action]:
    """The class a step names as `module:Class`."""
    module, _, name = step["step"].partition(":")
    found = sys.modules.get(module) or import_module(module)
    return getattr(found, name)  # type: ignore[no-any-return]


Kept = list[tuple[int, list[int]]]
"""(index of a step, the descriptors it wants kept open)."""


def perform(steps: Sequence[Step]) -> Kept:
    """Do all steps; if one fails, those before it are undone. Raises CreateFailed with exit code 125."""
    kept: Kept = []
    for done, step in enumerate(steps):
        try:
            if descriptors := action(step).do(step["args"]):
                kept.append((done, list(descriptors)))
        except (OSError, Error) as error:
            undo(steps[:done])
            raise _failure(step, error) from error
    return kept


def serve(steps: Sequence[Step], kept: Kept, watch: Any) -> list[int]:
    """Have steps answer in the event loop `watch`; returns the descriptors at which a sleeping monitor must wake."""
    waking: list[int] = []
    for index, descriptors in kept:
        if answer := getattr(action(steps[index]), "serve", None):
            waking += answer(steps[index]["args"], descriptors, watch)
    return waking


def notes(steps: Sequence[Step]) -> list[str]:
    """What steps changed on the host besides, for whoever starts the container to know."""
    said = (getattr(action(step), "notes", None) for step in steps)
    return [note for step, tell in zip(steps, said, strict=True) if tell for note in tell(step["args"])]


def keep_for_us(kept: Kept, *, inheritable: bool = False) -> None:
    """Close what steps wanted kept open to the programs we start; `inheritable` before we become another ourselves."""
    for _, descriptors in kept:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, inheritable)


def release(kept: Kept) -> None:
    """Close what steps wanted kept open, before they are undone: a port is free when its container has ended."""
    for _, descriptors in kept:
        for descriptor in descriptors:
            os.close(descriptor)


def undo(steps: Sequence[Step]) -> list[str]:
    """Undo all steps, the last first. What cannot be undone is reported, and the others still are."""
    failed = []
    for step in reversed(steps):
        try:
            action(step).undo(step["args"])
        except (OSError, Error) as error:
            failed.append(f"undo of {step['step']}: {error}")
    return failed


def forget(steps: Sequence[Step]) -> list[str]:
    """The container goes for good, and with it what steps keep for it alone: an anonymous volume."""
    failed = []
    for step in steps:
        try:
            if drop := getattr(action(step), "forget", None):
                drop(step["args"])
        except (OSError, Error) as error:
            failed.append(f"{step['step']}: {error}")
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
