"""Trying again: after what may pass, with growing pauses, or when the registry says to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nbcontainers.errors import RegistryError
from nbcontainers.registry.transport import Transport

LONGEST_S = 60.0
"""A registry that wants a longer pause than this is given up with its words."""

T = TypeVar("T")


def retried(transport: Transport, do: Callable[[], T]) -> T:
    """`do()`, again while its RegistryError says `retry`, as often and as slowly as the settings say."""
    settings = transport.settings
    for number in range(settings.tries):
        try:
            return do()
        except RegistryError as error:
            pause = max(settings.backoff * 2**number, error.details.get("after", 0.0))
            if not error.retry or number + 1 == settings.tries or pause > LONGEST_S:
                raise
        transport.wait(pause)
    raise AssertionError("not reached")
