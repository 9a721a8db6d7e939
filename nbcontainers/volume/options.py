"""What `volume create -o` says of the file system behind a volume (Docker's driver `local`): none, tmpfs, or a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.option import size

Options = dict[str, str]

_KEYS = ("type", "device", "o")
_FLAGS = ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "nodiratime", "relatime",
          "strictatime")  # fmt: skip
_BINDS = ("bind", "rbind")
_NUMBERS = ("uid", "gid", "nr_inodes")
_EXAMPLE = "-o type=tmpfs -o o=size=64m, or -o type=none -o o=bind -o device=/host/folder"


def pairs(option: str, given: Iterable[str] | Mapping[str, str] | None) -> dict[str, str]:
    """`["a=1"]` or a mapping as a dict. Raises InvalidArgument for what is no pair."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(key): str(value) for key, value in given.items()}
    found: dict[str, str] = {}
    for text in [given] if isinstance(given, str) else given:
        key, equals, value = str(text).partition("=")
        if not key or (not equals and option != "--label"):
            raise InvalidArgument(f"{option}: {text!r} is no pair", hint=f"write {option} KEY=VALUE")
        found[key] = f"{found[key]},{value}" if key == "o" and key in found else value
    return found


def check(given: Options) -> Options:
    """The options if they can work. Raises InvalidArgument, NotFound for a folder that is not there."""
    if unknown := sorted(given.keys() - set(_KEYS)):
        raise InvalidArgument(
            f"--opt: a local volume has no option {unknown[0]!r}", hint=f"write {', '.join(_KEYS)}, as in {_EXAMPLE}"
        )
    if not given:
        return {}
    kind, words = given.get("type", "none"), words_of(given)
    if kind == "tmpfs":
        for word in words:
            _check_tmpfs(word)
    elif kind in ("none", "bind", "") and {*words} & {*_BINDS}:
        _check_bind(given, words)
    elif kind in ("none", "bind", ""):
        raise InvalidArgument(f"--opt: type={kind} needs o=bind and a device", hint=f"write {_EXAMPLE}")
    else:
        raise InvalidArgument(
            f"--opt: volumes of type {kind} are not mounted by containers",
            hint=f"mount it on the host (mount -t {kind} …), then -o type=none -o o=bind -o device=/where/it/is",
        )
    return dict(given)


def words_of(given: Options) -> list[str]:
    """The words of `o`."""
    return [word for word in given.get("o", "").split(",") if word]


def is_tmpfs(given: Options) -> bool:
    return given.get("type") == "tmpfs"


def mount_words(given: Options) -> list[str]:
    """`o` as options of the runtime-spec, sizes in bytes."""
    found = []
    for word in words_of(given):
        key, _, value = word.partition("=")
        found.append(f"size={size(value)}" if key == "size" and not value.endswith("%") else word)
    return [word for word in found if word not in _BINDS]


def _check_tmpfs(word: str) -> None:
    key, equals, value = word.partition("=")
    known = word in _FLAGS or (
        bool(equals)
        and (
            (key == "size" and (value.removesuffix("%").isdecimal() if value.endswith("%") else _is_size(value)))
            or (key == "mode" and bool(value) and not set(value) - set("01234567"))
            or (key in _NUMBERS and value.isdecimal())
        )
    )
    if not known:
        raise InvalidArgument(
            f"--opt: {word!r} is no option of a tmpfs", hint="write o=size=64m,mode=700,uid=1000 or ro, noexec"
        )


def _is_size(value: str) -> bool:
    try:
        return size(value) > 0
    except ValueError:
        return False


def _check_bind(given: Options, words: list[str]) -> None:
    if unknown := [word for word in words if word not in (*_BINDS, *_FLAGS)]:
        raise InvalidArgument(
            f"--opt: {unknown[0]!r} is no option of a bind mount", hint=f"write o=bind, and {', '.join(_FLAGS[:6])} …"
        )
    device = given.get("device", "")
    if not device.startswith("/"):
        raise InvalidArgument(
            f"--opt: device={device} is no absolute path",
            hint="write -o device=/host/folder" if not device else f"write -o device=/{device.lstrip('./')}",
        )


def missing_device(name: str, device: str) -> NotFound:
    return NotFound(
        f"volume {name} is the folder {device}, which is not there", hint=f"type mkdir -p {device}", path=device
    )
