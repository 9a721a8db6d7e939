"""Values of flags and arguments: booleans, durations, modes, ports, signals, platforms. ValueError says what is wrong."""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Sequence

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
_DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/([A-Za-z]+))?")
PROTOCOLS = ("tcp", "udp", "sctp")
_PLATFORM = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+){0,2}")
_ARCHITECTURES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm/v7", "armel": "arm/v6",
}  # fmt: skip
_KNOWN_OS = frozenset("linux windows darwin freebsd openbsd netbsd solaris aix android plan9 wasip1 js".split())


def boolean(text: str) -> bool:
    """Go's strconv.ParseBool."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"{text!r} is no boolean: write true or false")


def duration(text: str) -> int:
    """Nanoseconds of Go's duration form: `1m30s`, `500ms`, `0`. Nothing below 1ms but 0."""
    number = text.lstrip("+-") if text[:1] in "+-" and text[1:2] not in "+-" else text
    parts = list(_DURATION.finditer(number))
    if number != "0" and (not parts or "".join(part[0] for part in parts) != number):
        raise ValueError(f"{text!r} is no duration: write 30s, 500ms or 1m30s")
    total = sum(_nanoseconds(part[1], _UNITS[part[2]]) for part in parts)
    if text.startswith("-") and total:
        raise ValueError(f"{text!r} is negative: write 30s, 500ms or 1m30s")
    if 0 < total < 10**6:
        raise ValueError(f"{text!r} is less than 1ms")
    if total >= 2**63:
        raise ValueError(f"{text!r} is more than 292 years")
    return total


def _nanoseconds(number: str, unit: int) -> int:
    whole, _, fraction = number.partition(".")
    return int(whole or "0") * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)


def whole(text: str, base: int = 10, largest: int = 2**32 - 1) -> int:
    """A number without sign, in decimal or octal."""
    digits = "[0-7]+" if base == 8 else "[0-9]+"
    if not re.fullmatch(digits, text) or len(text) > 20 or int(text, base) > largest:
        raise ValueError(f"{text!r} is no {'octal ' if base == 8 else ''}number from 0 to {_shown(largest, base)}")
    return int(text, base)


def _shown(number: int, base: int) -> str:
    return f"{number:o}" if base == 8 else str(number)


def chmod(text: str, mode: int = 0, is_folder: bool = False) -> int:
    """The permission bits of `--chmod=text` for a file that had `mode`: octal, or chmod(1)'s `u=rwX,go=rX`."""
    if re.fullmatch("[0-7]+", text):
        return whole(text, 8, 0o7777)
    for part in text.split(","):
        clause = _CLAUSE.fullmatch(part)
        if not clause:
            raise ValueError(f"{text!r} is no mode: write octal digits like 755, or u=rwX,go=rX")
        for sign, letters in _ACTION.findall(clause[2]):
            mode = _changed(mode, clause[1], sign, letters, is_folder)
    return mode


def _changed(mode: int, who: str, sign: str, letters: str, is_folder: bool) -> int:
    users = "ugo" if "a" in who or not who else who
    bits = 0
    for shift, user in ((6, "u"), (3, "g"), (0, "o")):
        if user in users:
            bits |= _bits(mode, letters, is_folder) << shift
    if "s" in letters:
        bits |= (0o4000 if "u" in users else 0) | (0o2000 if "g" in users else 0)
    if "t" in letters and (not who or "o" in users or "a" in who):
        bits |= 0o1000
    if sign == "+":
        return mode | bits
    if sign == "-":
        return mode & ~bits
    kept = sum(0o7 << shift for shift, user in ((6, "u"), (3, "g"), (0, "o")) if user in users)
    special = (0o4000 if "u" in users else 0) | (0o2000 if "g" in users else 0) | (0o1000 if "o" in users else 0)
    return mode & ~(kept | special) | bits


def _bits(mode: int, letters: str, is_folder: bool) -> int:
    """The three bits that the letters mean; a single `u`, `g` or `o` copies."""
    if letters in ("u", "g", "o"):
        return mode >> {"u": 6, "g": 3, "o": 0}[letters] & 0o7
    execute = "x" in letters or ("X" in letters and (is_folder or bool(mode & 0o111)))
    return ("r" in letters) * 4 | ("w" in letters) * 2 | execute * 1


def ports(words: Sequence[str]) -> tuple[str, ...]:
    """EXPOSE's words as `80/tcp`, in order of port and without doubles: `80`, `80/udp`, `7000-7002/sctp`.

    A host address or host port before (`127.0.0.1:8080:80`) is left out, as Docker does.
    """
    found: set[tuple[int, str]] = set()
    for word in words:
        match = _PORT.fullmatch(word.rpartition(":")[2])
        if not match:
            raise ValueError(f"{word!r} is no port: write 80, 53/udp or 7000-7010")
        first, last, protocol = int(match[1]), int(match[2] or match[1]), (match[3] or "tcp").lower()
        if protocol not in PROTOCOLS:
            raise ValueError(f"{word!r}: the protocol {protocol} is not known: write tcp, udp or sctp")
        if not 0 <= first <= last <= 65535:
            raise ValueError(f"{word!r}: ports go from 0 to 65535, a range from the lower to the higher")
        found |= {(port, protocol) for port in range(first, last + 1)}
    return tuple(f"{port}/{protocol}" for port, protocol in sorted(found))


def signal(text: str) -> str:
    """A signal's number or name, as written. ValueError for one that Linux does not have."""
    name = text.upper().removeprefix("SIG")
    real_time = re.fullmatch(r"RTMIN(?:\+([0-9]|1[0-5]))?|RTMAX(?:-([0-9]|1[0-4]))?", name)
    known = name in _SIGNALS or bool(real_time)
    if not known and not (re.fullmatch("[0-9]{1,3}", name) and 0 < int(name) <= 64):
        raise ValueError(f"{text!r} is no signal: write SIGTERM, or a number from 1 to 64")
    return text


_SIGNALS = frozenset(one.name.removeprefix("SIG") for one in signals.Signals) | {
    "CLD",
    "IOT",
    "POLL",
    "STKFLT",
    "UNUSED",
}


def platform(text: str) -> str:
    """`os/architecture[/variant]` in its usual words: `linux/x86_64` is `linux/amd64`, `arm64` `linux/arm64`."""
    if not _PLATFORM.fullmatch(text):
        raise ValueError(f"{text!r} is no platform: write OS/ARCHITECTURE[/VARIANT], for example linux/amd64")
    parts = text.lower().split("/")
    if len(parts) == 1:
        parts = [parts[0], host_architecture()] if parts[0] in _KNOWN_OS else ["linux", parts[0]]
    system, architecture, *variant = parts
    name = "/".join([_ARCHITECTURES.get(architecture, architecture), *variant])
    return f"{system}/{'arm/v7' if name == 'arm' else 'arm64' if name in ('arm64/v8', 'arm64/8') else name}"


def host_architecture() -> str:
    """This machine's architecture in the words of the image-spec."""
    import os

    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "armv6l": "arm/v6", "i686": "386"}.get(
        machine, machine
    )


def platform_arguments(build: str, target: str) -> dict[str, str]:
    """The ARGs BUILDPLATFORM, BUILDOS, BUILDARCH, BUILDVARIANT and the same of TARGET."""
    found: dict[str, str] = {}
    for word, text in (("BUILD", build), ("TARGET", target)):
        system, architecture, variant = [*platform(text).split("/"), "", ""][:3]
        found |= {f"{word}PLATFORM": platform(text), f"{word}OS": system, f"{word}ARCH": architecture}
        found[f"{word}VARIANT"] = variant
    return found
