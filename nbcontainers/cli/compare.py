"""A comparison on the command line: how far it is stands on a terminal's last line, and is gone at the end."""

from __future__ import annotations

import sys
from typing import Any

from nbcontainers.cli.parser import Call
from nbcontainers.cli.verbs import Verb

_CLEAR = "\r\x1b[K"
"""To the first column, and nothing from there on: ECMA-48, EL."""


def run(verb: Verb, call: Call) -> Any:
    """What there is of one that was stopped is printed."""
    try:
        return _told(verb, call)
    except KeyboardInterrupt as interrupt:
        if (partial := getattr(interrupt, "comparison", None)) is not None:
            sys.stdout.write(f"{partial.text()}\n")
        raise


def _told(verb: Verb, call: Call) -> Any:
    if not sys.stderr.isatty():
        return verb.function(*call.arguments, **call.options)
    try:
        return verb.function(*call.arguments, **call.options, tell=write)
    finally:
        write("")


def write(words: str) -> None:
    """In place of what stood on the terminal's last line."""
    sys.stderr.write(f"{_CLEAR}{words}")
    sys.stderr.flush()
