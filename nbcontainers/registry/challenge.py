"""WWW-Authenticate, read by the grammar of RFC 9110 (11.6.1): schemes with parameters, several in one header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

MAX_LENGTH = 16 << 10
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NEXT = re.compile(
    rf"""[\s,]*(?:
        (?P<key>{_TOKEN})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_TOKEN}))(?=\s*(?:,|$))
        |(?P<scheme>{_TOKEN})(?:\s+(?P<token68>[A-Za-z0-9._~+/-]+=*)(?=\s*(?:,|$)))?(?=\s|,|$)
    )""",
    re.VERBOSE | re.DOTALL,
)


class Challenge(NamedTuple):
    """One way to authenticate: `scheme` in lower case, `parameters` by lower-case name."""

    scheme: str
    parameters: Mapping[str, str]


def parse(headers: Iterable[str]) -> list[Challenge]:
    """The challenges of all WWW-Authenticate headers; what follows a mistake in one is left out."""
    return [challenge for header in headers for challenge in _of_one(header[:MAX_LENGTH])]


def _of_one(header: str) -> Iterator[Challenge]:
    scheme, at = "", 0
    parameters: dict[str, str] = {}
    while match := _NEXT.match(header, at):
        at = match.end()
        if match["key"]:
            parameters.setdefault(match["key"].lower(), _value(match))
            continue
        if scheme:
            yield Challenge(scheme, parameters)
        scheme, parameters = match["scheme"].lower(), {}
    if scheme:
        yield Challenge(scheme, parameters)


def _value(match: re.Match[str]) -> str:
    return match["plain"] if match["quoted"] is None else re.sub(r"\\(.)", r"\1", match["quoted"], flags=re.DOTALL)
