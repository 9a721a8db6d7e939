"""What is said beside a result that is none the worse for it: by a face in its own way, else as Python's warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextvars import ContextVar


class Advice(UserWarning):
    """It works, but perhaps not as meant."""


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
