"""Parser directives: `# syntax=`, `# escape=` and `# check=` at the very top of a Dockerfile.

Dockerfile reference, «Parser directives»: nothing may stand before them, not even an empty line; each may be used once;
after the first line that is none, everything in their form is a comment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from nbcontainers.dockerfile.source import Source, near

_FORM = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*", re.ASCII)
_SLASHED = re.compile(r"//\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*", re.ASCII)
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


def syntax(content: bytes | str) -> str:
    """The frontend a file of any form asks for: `# syntax=`, `// syntax=` or a JSON object's `syntax`; '' for none.

    A first line `#!…` is passed over. What stands after the first space (arguments of the frontend) is left out.
    """
    text = content.decode("utf-8", "surrogateescape") if isinstance(content, bytes) else content
    text = text.removeprefix(BOM)
    if text.startswith("#!"):
        text = text.partition("\n")[2]
    for form in (_FORM, _SLASHED):
        found = _first(form, text.splitlines())
        if found:
            return found.partition(" ")[0]
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    value = document.get("syntax") if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""


def _first(form: re.Pattern[str], lines: Sequence[str]) -> str:
    seen = set()
    for line in lines:
        match = form.fullmatch(line)
        key = match[1].lower() if match else ""
        if match is None or key not in KNOWN or key in seen:
            return ""
        if key == "syntax":
            return match[2]
        seen.add(key)
    return ""
