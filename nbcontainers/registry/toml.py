"""Our settings file, read strictly: a key that nobody knows is a mistake, and is told with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nbcontainers.errors import InvalidArgument
from nbcontainers.oci import reference
from nbcontainers.registry.settings import Mirror, Registry

MAX_FILE = 1 << 20
_HOST = r"(?:[\w.*-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?"
_PLACE = re.compile(rf"{_HOST}(?:/[a-z0-9._/-]+)?")


class Wrong(Exception):
    """What is wrong, with the key that it is about."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(why)
        self.key = key


def read(path: Path, *, must_exist: bool = False) -> dict[str, Any]:
    """The keyword arguments for Settings that a file gives. Raises InvalidArgument with file, line and key."""
    if must_exist and not path.is_file():
        raise InvalidArgument(f"NBCONTAINERS_REGISTRIES names {path}, which is no file", hint="write it, or unset it")
    text = read_text(path)
    try:
        return {**interpret(parse(text, path)), "path": str(path)}
    except Wrong as wrong:
        where = _line(text, wrong.key)
        raise InvalidArgument(f"{path}{where}: {wrong}", hint=f"edit {path}; what it may say: {HELP}") from None


HELP = "search, aliases, registry, connect_timeout, stall_timeout, tries, backoff (see nbcontainers.registry.settings)"


def read_text(path: Path) -> str:
    """A settings file of a size that makes sense, or InvalidArgument."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise ValueError(f"larger than {MAX_FILE >> 20} MiB")
        return content.decode()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidArgument(f"{path} cannot be read: {why}", hint="mend the file, or move it away") from None


def parse(text: str, path: Path) -> dict[str, Any]:
    """TOML, or InvalidArgument with the line."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidArgument(f"{path} is not TOML: {error}", hint=f"edit {path}") from None


def interpret(document: Mapping[str, Any]) -> dict[str, Any]:
    """The file's keys as arguments for Settings. Raises Wrong."""
    said = checked(document, TOP, "")
    registries = said.pop("registry", {})
    return {**said, "registries": tuple(_registry(prefix, table) for prefix, table in registries.items())}


def _registry(prefix: str, table: Any) -> Registry:
    if not _PLACE.fullmatch(prefix):
        raise Wrong(prefix, f"[registry.{prefix!r}] is no host, host:port, *.domain or host/path")
    if not isinstance(table, Mapping):
        raise Wrong(prefix, f'registry is a table of tables: [registry."{prefix}"] needs keys')
    return Registry(prefix, **checked(table, REGISTRY, f'[registry."{prefix}"] '))


def checked(table: Mapping[str, Any], known: Mapping[str, Callable[[Any], Any]], where: str) -> dict[str, Any]:
    """Every value through the check of its key."""
    found = {}
    for key, value in table.items():
        if key not in known:
            raise Wrong(key, f"{where}{key} is no setting; there are {', '.join(known)}")
        try:
            found[key] = known[key](value)
        except ValueError as error:
            raise Wrong(key, f"{where}{key} {error}") from None
    return found


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise ValueError('must be a list of hosts, as ["docker.io"]')
    for one in value:
        if not re.fullmatch(_HOST, one):
            raise ValueError(f"has {one!r}, which is no host")
    return tuple(value)


def _aliases(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError('must be a table, as lab = "registry.lab:5000/science/lab"')
    for name, target in value.items():
        try:
            whole = reference.parse(target).repository
        except InvalidArgument as error:
            raise ValueError(f"gives {name!r} an impossible name: {error.message}") from None
        if whole != target:
            raise ValueError(f"gives {name!r} the name {target!r}; write the whole one, as {whole!r}, without a tag")
    return dict(value)


def _tables(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError('must be tables, as [registry."registry.lab:5000"]')
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 3600:
        raise ValueError("must be seconds, more than 0 and at most 3600")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 20:
        raise ValueError("must be a number from 1 to 20")
    return value


def _file(value: Any) -> str:
    if not isinstance(value, str) or not Path(value).expanduser().is_absolute():
        raise ValueError("must be the absolute path of a file")
    return str(Path(value).expanduser())


def _place(value: Any) -> str:
    if not isinstance(value, str) or not _PLACE.fullmatch(value):
        raise ValueError("must be host[:port][/path], without a scheme")
    return value.rstrip("/")


def _mirrors(value: Any) -> tuple[Mirror, ...]:
    if not isinstance(value, list):
        raise ValueError('must be a list, as ["mirror.lab"]')
    return tuple(_mirror({"location": one} if isinstance(one, str) else one) for one in value)


def _mirror(table: Any) -> Mirror:
    if not isinstance(table, Mapping) or "location" not in table:
        raise ValueError('has an entry that is neither "host" nor { location = "host", insecure = true }')
    return Mirror(**checked(table, _MIRROR, "mirrors: "))


def _pull(value: Any) -> str:
    """What may be asked of a mirror."""
    if value not in ("all", "digest-only", "tag-only"):
        raise ValueError("must be all, digest-only or tag-only")
    return str(value)


TOP: dict[str, Callable[[Any], Any]] = {
    "search": _texts, "aliases": _aliases, "registry": _tables,
    "connect_timeout": _seconds, "stall_timeout": _seconds, "tries": _count, "backoff": _seconds,
}  # fmt: skip
REGISTRY: dict[str, Callable[[Any], Any]] = {
    "location": _place, "insecure": _flag, "blocked": _flag, "ca": _file, "mirrors": _mirrors,
}  # fmt: skip
_MIRROR: dict[str, Callable[[Any], Any]] = {"location": _place, "insecure": _flag, "pull": _pull}


def _line(text: str, key: str) -> str:
    """Where the key stands, as `, line N`; nothing if it is not written as we look for it."""
    form = re.compile(rf"""(?:^|[\s{{,.\["']){re.escape(key)}["']?\s*[=\].]""")
    for number, line in enumerate(text.splitlines(), 1):
        if form.search(line.partition("#")[0]):
            return f", line {number}"
    return ""
