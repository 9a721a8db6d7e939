"""What is said beside a result that is none the worse for it: by a face in its own way, else as Python's warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from nbcontainers.errors import plain


class Advice(UserWarning):
    """It works, but perhaps not as meant. It may quote strangers, and drives no terminal all the same."""

    def __init__(self, text: str) -> None:
        super().__init__(plain(text))


class MovingTag(Advice):
    """A container was run of `latest`."""


advised: ContextVar[Callable[[Advice], object] | None] = ContextVar("advised", default=None)
"""How a face says it; Python's own warnings where there is none."""


def advise(advice: Advice, stacklevel: int = 1) -> None:
    """Say it. `stacklevel` as for warnings.warn: 1 is the line that calls us."""
    if say := advised.get():
        say(advice)
    else:
        warnings.warn(advice, stacklevel=stacklevel + 1)


def advise_left_out(what: str, facts: Mapping[str, Any], stacklevel: int = 1) -> None:
    """Say which files `what` lacks: `left_out` of them, of which `notes` tells (layer/pack.py). Nothing if it has all."""
    if count := facts["left_out"]:
        some = "; ".join(facts["notes"][:5])
        more = f"; and {count - 5} more" if count > 5 else ""
        advise(Advice(f"{what} lacks {count} of the files: {some}{more}"), stacklevel + 1)
