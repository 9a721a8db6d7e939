"""Trying again: after what may pass, with growing pauses, or when the registry says to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from nbcontainers.errors import RegistryError
from nbcontainers.registry.settings import Settings
from nbcontainers.registry.transport import Transport

LONGEST_S = 60.0
"""A registry that wants a longer pause than this is given up with its words."""

T = TypeVar("T")


def retried(transport: Transport, do: Callable[[], T]) -> T:
    """`do()`, again while its RegistryError says `retry`, as often and as slowly as the settings say.

    Not again once the tries themselves took longer than the stall time-out: who waits wants to know.
    """
    settings, spent = transport.settings, 0.0
    for number in range(settings.tries):
        began = time.monotonic()
        try:
            return do()
        except RegistryError as error:
            spent += time.monotonic() - began
            seconds = pause(settings, number + 1, error)
            last = number + 1 == settings.tries or spent > settings.stall_timeout
            if not error.retry or last or seconds > LONGEST_S:
                raise
        transport.wait(seconds)
    raise AssertionError("not reached")


def pause(settings: Settings, failures: int, error: RegistryError) -> float:
    """Seconds until the next try after so many failures: twice as many each time, or what the registry asks for."""
    return max(settings.backoff * 2.0 ** (failures - 1), float(error.details.get("after", 0.0)))
