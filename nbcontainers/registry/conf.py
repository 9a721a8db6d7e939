"""Podman's registries.conf, version 2 (containers-registries.conf(5)), for hosts that have one and no file of ours.

Read are unqualified-search-registries, [aliases] and of [[registry]] prefix, location, insecure, blocked and
[[registry.mirror]] with location, insecure and pull-from-mirror. Its other keys are podman's alone and left to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nbcontainers.errors import InvalidArgument
from nbcontainers.registry import toml
from nbcontainers.registry.settings import Registry

SYSTEM = Path("/etc/containers")
_MIRROR = {"location": "location", "insecure": "insecure", "pull-from-mirror": "pull"}


def read() -> dict[str, Any]:
    """The keyword arguments for Settings; nothing where podman has no file. Raises InvalidArgument."""
    said: dict[str, Any] = {"registries": {}, "aliases": {}}
    for path in _files():
        _add(said, toml.parse(toml.read_text(path), path), path)
    return {**said, "registries": tuple(said["registries"].values())}


def _files() -> Iterator[Path]:
    """The user's file instead of the system's; then the pieces in registries.conf.d, the user's last."""
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "containers")
    named = [Path(name)] if (name := os.environ.get("CONTAINERS_REGISTRIES_CONF")) else []
    yield from [path for path in (*named, *(at / "registries.conf" for at in (user, SYSTEM))) if os.path.isfile(path)][
        :1
    ]
    for folder in (SYSTEM, user):
        yield from sorted((folder / "registries.conf.d").glob("*.conf"))


def _add(said: dict[str, Any], document: Mapping[str, Any], path: Path) -> None:
    """One file more. What it says is held to the same rules as our own file; an alias of "" takes one away."""
    if isinstance(document.get("registries"), Mapping):
        raise _wrong(path, "is of version 1, which podman gave up")
    try:
        aliases, search = document.get("aliases", {}), document.get("unqualified-search-registries")
        named = {name: target for name, target in aliases.items() if target != ""}
        found = toml.checked({"aliases": named, **({"search": search} if search else {})}, toml.TOP, "")
        kept = {name: target for name, target in said["aliases"].items() if name not in aliases}
        said.update(found, aliases={**kept, **found["aliases"]})
        for one in map(_registry, document.get("registry", [])):
            said["registries"][one.prefix] = one
    except (toml.Wrong, TypeError, ValueError, AttributeError) as error:
        raise _wrong(path, f"is not as containers-registries.conf(5) says: {error}") from None


def _registry(table: Mapping[str, Any]) -> Registry:
    """Its location is its name where it has no prefix."""
    prefix = table.get("prefix") or table.get("location")
    if not isinstance(prefix, str) or not prefix:
        raise ValueError("a [[registry]] has neither prefix nor location")
    said = {key: table[key] for key in ("location", "insecure", "blocked") if key in table}
    if said.get("location") in ("", prefix):
        del said["location"]
    said["mirrors"] = [{_MIRROR[key]: one[key] for key in one.keys() & _MIRROR} for one in table.get("mirror", [])]
    return Registry(prefix, **toml.checked(said, toml.REGISTRY, f"{prefix}: "))


def _wrong(path: Path, why: str) -> InvalidArgument:
    return InvalidArgument(
        f"{path} {why}", hint="mend it, or write a registries.toml of our own, which is read instead"
    )
