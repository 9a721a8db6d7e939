"""How a verb's parameters look on a command line.

A verb is a plain function in `OBJECT/api.py`; its signature is the only declaration of its options. Parameters
carry `Annotated[type, Option(...)]` or `Annotated[type, Argument(...)]`; the command line, the magics, the help
and the completion are all derived from that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, init=False)
class Option:
    """An option. The long flag is the parameter's name (`pids_limit` is `--pids-limit`); `flags` adds short ones.

    `metavar` names the value in help; `choices` and `complete` ("image", "container", "volume", "path", …) feed
    completion; `parse` turns text into the value and raises ValueError with a sentence for bad text. A parameter
    of type `bool` takes no value; one of type `list[…]` may be given many times.
    """

    flags: tuple[str, ...]
    help: str
    metavar: str
    choices: tuple[str, ...]
    complete: str
    parse: Callable[[str], Any] | None

    def __init__(
        self,
        *flags: str,
        help: str = "",
        metavar: str = "",
        choices: tuple[str, ...] = (),
        complete: str = "",
        parse: Callable[[str], Any] | None = None,
    ) -> None:
        for name, value in (
            ("flags", flags), ("help", help), ("metavar", metavar),
            ("choices", choices), ("complete", complete), ("parse", parse),
        ):  # fmt: skip
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Argument:
    """A positional word; a `*args` parameter takes all that remain. Options of `run` end at the first of them."""

    metavar: str
    help: str = ""
    complete: str = ""


Unasked = Annotated[bool, Option("-f", help="as Docker's: nothing is asked in any case")]
"""`--force` of the prune verbs: a notebook's cell cannot answer, so none of them asks."""

_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def size(text: str | int) -> int:
    """Bytes from Docker's size form: `1024`, `64k`, `256m`, `1.5g`, `2GiB` (units are powers of 1024)."""
    if isinstance(text, int):
        return _counted(text, text)
    number = text.strip().lower().removesuffix("ib").removesuffix("b") if text.strip()[-1:].isalpha() else text
    digits = number.rstrip("kmgt")
    try:
        return _counted(int(float(digits) * _UNITS[number[len(digits) :].strip()]), text)
    except (ValueError, KeyError, OverflowError):
        raise ValueError(f"{text!r} is no size; write 512k, 256m or 1.5g") from None


def _counted(number: int, text: str | int) -> int:
    """`number`, unless it is more than the kernel counts: it would keep another one without a word."""
    if number >= 2**63:
        raise ValueError(f"{text!r} is no size; write 512k, 256m or 1.5g")
    return number


def part(text: str | float) -> float:
    """A part of a whole: a number from 0 to 1, also as `95%`."""
    try:
        found = float(text.removesuffix("%")) / 100 if isinstance(text, str) and text.endswith("%") else float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ValueError(f"{text!r} is no part of a whole; write 0.95 or 95%")
    return found


def duration(text: str | float) -> float:
    """Seconds from Go's duration form: `10`, `1.5s`, `2m30s`, `500ms`, `1h`."""
    if isinstance(text, (int, float)):
        return float(text)
    import re

    parts = re.fullmatch(
        r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)(?:s|$))?(?:(\d+(?:\.\d+)?)ms)?", text
    )
    if not text or not parts:
        raise ValueError(f"{text!r} is no duration; write 10s, 500ms or 1m30s")
    hours, minutes, seconds, millis = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds + millis / 1000


def moment(text: str) -> datetime:
    """What somebody means by `10m` (ago), Unix seconds, or a date or time of RFC 3339, local unless it says otherwise; in
    UTC."""
    from datetime import UTC, datetime, timedelta

    try:
        if text.replace(".", "", 1).isdecimal():
            return datetime.fromtimestamp(float(text), UTC)
        if text[:1].isdecimal() and text[-1] in "smh":
            return datetime.now(UTC) - timedelta(seconds=duration(text))
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is no time; write 10m, 2026-11-22T10:00:00Z or Unix seconds") from None
