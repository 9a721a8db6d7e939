"""Parser directives: `# syntax=`, `# escape=` and `# check=` at the very top of a Dockerfile.

Dockerfile reference, «Parser directives»: nothing may stand before them, not even an empty line; each may be used once;
after the first line that is none, everything in their form is a comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nbcontainers.dockerfile.source import Source, near

_FORM = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*", re.ASCII)
KNOWN = ("syntax", "escape", "check")
BOM = "\ufeff"


@dataclass(frozen=True)
class Check:
    """What `# check=` asks of the lint: rules to skip (`all` for every one), experimental ones to use, errors."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False


@dataclass(frozen=True)
class Directives:
    """The directives of one file; `lines` tells where each stood."""

    syntax: str = ""
    escape: str = "\\"
    check: Check = Check()
    lines: tuple[tuple[str, int], ...] = ()


def read(source: Source) -> Directives:
    """The directives at the top of a file (whose byte-order mark is gone already). BuildError for a bad one."""
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(source.lines, 1):
        match = _FORM.fullmatch(line.lstrip())
        key = match[1].lower() if match else ""
        if match is None or key not in KNOWN:
            break
        if key in found:
            raise source.error(
                f"only one {key} parser directive can be used", number, word=match[1],
                hint=f"keep one of the lines {found[key][1]} and {number}",
            )  # fmt: skip
        found[key] = match[2], number
    escape, line_of_escape = found.get("escape", ("\\", 1))
    if escape not in ("\\", "`"):
        raise source.error(
            f"invalid escape token {escape!r}", line_of_escape, word=escape, hint=r"write # escape=\ or # escape=`"
        )
    syntax = found.get("syntax", ("", 0))[0]
    lines = tuple((key, number) for key, (_, number) in found.items())
    return Directives(syntax, escape, check(source, *found["check"]) if "check" in found else Check(), lines)


def check(source: Source, value: str, line: int) -> Check:
    """`skip=A,B;error=true;experimental=all` of the directive in `line`."""
    parts: dict[str, str] = {}
    for part in value.split(";"):
        key, equals, text = part.strip().partition("=")
        key = key.strip().lower()
        if not equals or key not in ("skip", "error", "experimental"):
            hint = f"known: skip, error, experimental{near(key, ('skip', 'error', 'experimental'))}"
            raise source.error(f"invalid check option {part.strip()!r}", line, word=part.strip(), hint=hint)
        parts[key] = text.strip()
    error = parts.get("error", "false").lower()
    if error not in ("1", "t", "true", "0", "f", "false"):
        raise source.error(
            f"check: error={parts['error']} is no boolean", line, word=parts["error"], hint="write error=true"
        )
    return Check(_names(parts.get("skip", "")), _names(parts.get("experimental", "")), error in ("1", "t", "true"))


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())
