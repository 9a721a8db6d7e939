"""`RUN --mount=type=…,key=value,…`. Keys and defaults are those of the Dockerfile reference, «RUN --mount».

Also read are buildah's `z`, `Z` and `relabel=`, which set SELinux's labels that our mounts do not need.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbcontainers import option
from nbcontainers.dockerfile import value
from nbcontainers.dockerfile.source import near

SHARING = ("shared", "private", "locked")
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_FLAGS = ("readonly", "readwrite", "required")
_LABELS = ("z", "relabel")
_BIND = frozenset("type from source target readonly readwrite".split())
KEYS = {
    "bind": _BIND,
    "cache": _BIND | frozenset("id sharing mode uid gid".split()),
    "tmpfs": frozenset("type target size readonly readwrite from source".split()),
    "secret": frozenset("type id source target env required mode uid gid readonly readwrite".split()),
    "ssh": frozenset("type id target required mode uid gid from source readonly readwrite".split()),
}
ALL = frozenset().union(*KEYS.values())
_FIELD = re.compile(r'"((?:[^"]|"")*)"(?=,|\Z)|([^",\n]*)(?=,|\Z)')


@dataclass(frozen=True)
class Mount:
    """One mount. '' and None mean «not given»; the properties below give the defaults of each type."""

    type: str = "bind"
    target: str = ""
    source: str = ""
    from_: str = ""
    id: str = ""
    sharing: str = ""
    size: int = 0
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    required: bool = False
    env: str = ""
    read_only: bool = True

    @property
    def key(self) -> str:
        """The name of the cache, secret or agent."""
        if self.type == "ssh":
            return self.id or "default"
        if self.type == "secret":
            return self.id or self.source or posixpath.basename(self.target) or self.env
        return self.id or self.target

    def path(self, workdir: str = "/", number: int = 0) -> str:
        """Where it is mounted ('' for a secret that is only a variable); `number` counts the ssh mounts of a RUN."""
        if self.target:
            return posixpath.normpath(posixpath.join("/", workdir, self.target))
        if self.type == "secret":
            return "" if self.env else f"/run/secrets/{posixpath.basename(self.key)}"
        return f"/run/buildkit/ssh_agent.{number}" if self.type == "ssh" else ""

    @property
    def permissions(self) -> int:
        return {"cache": 0o755, "secret": 0o400, "ssh": 0o600}.get(self.type, 0o755) if self.mode is None else self.mode


def fields(text: str) -> list[tuple[str, str | None]]:
    """(key in lower case and its long form, value or None) of a comma-separated text with CSV's quotes."""
    found: list[tuple[str, str | None]] = []
    at = 0
    while at <= len(text):
        match = _FIELD.match(text, at)
        if not match or not text:
            raise ValueError(f"--mount={text}: fields are key=value with commas between them")
        field = match[1].replace('""', '"') if match[1] is not None else match[2]
        key, equals, content = field.partition("=")
        found.append((_ALIASES.get(key.lower(), key.lower()), content if equals else None))
        at = match.end() + 1
    return found


def parse(text: str, expand: Callable[[str], str] | None) -> Mount | None:
    """A mount, its values expanded by `expand`. Without one, what can be checked is checked, and None given back."""
    given = [(key, content) for key, content in fields(text) if key not in _LABELS]
    for key, content in given:
        if key not in ALL:
            raise ValueError(f"--mount: {key!r} is no key of a mount{near(key, [*sorted(ALL), *_ALIASES])}")
        if content is None and key not in _FLAGS:
            raise ValueError(f"--mount: {key!r} needs a value: write {key}=VALUE")
        if key == "from" and re.search(r"\$.", content or ""):
            raise ValueError(
                f"--mount: from={content} cannot hold a variable: name a stage FROM ${{…}} AS … and use that"
            )
    if expand is None:
        return None
    values = {key: None if content is None else expand(content) for key, content in given}
    kind = (values.get("type") or "bind").lower() if "type" in values else "bind"
    if kind not in KEYS:
        raise ValueError(
            f"--mount: {values['type']!r} is no type of mount{near(kind, KEYS)}: known are {' '.join(KEYS)}"
        )
    for key in values:
        if key not in KEYS[kind]:
            raise ValueError(f"--mount: {key!r} is no key of type={kind}; it has {' '.join(sorted(KEYS[kind]))}")
    return _made(kind, values)


def _made(kind: str, values: dict[str, str | None]) -> Mount:
    settings: dict[str, Any] = {"type": kind, "read_only": kind not in ("cache", "tmpfs")}
    for key, text in values.items():
        try:
            settings |= _setting(key, text)
        except ValueError as error:
            raise ValueError(f"--mount: {key}: {error}") from None
    mount = Mount(**settings)
    if kind in ("bind", "cache", "tmpfs") and not mount.target:
        raise ValueError(f"--mount: type={kind} needs a target: write target=PATH")
    if kind == "secret" and not (mount.id or mount.source or mount.target):
        raise ValueError("--mount: type=secret needs an id: write id=NAME")
    if kind == "secret" and mount.id and mount.source:
        raise ValueError("--mount: type=secret takes id or source, not both")
    return mount


def _setting(key: str, text: str | None) -> dict[str, Any]:
    """What one key sets; a flag without a value is true."""
    if key == "type":
        return {}
    if key in _FLAGS:
        yes = True if text is None else value.boolean(text)
        return {"required": yes} if key == "required" else {"read_only": yes == (key == "readonly")}
    content = text or ""
    if key == "sharing":
        if content.lower() not in SHARING:
            raise ValueError(f"{content!r} is not known{near(content, SHARING)}: write {', '.join(SHARING)}")
        return {"sharing": content.lower()}
    if key == "size":
        return {"size": option.size(content)}
    if key == "mode":
        return {"mode": value.whole(content, 8)}
    if key in ("uid", "gid"):
        return {key: value.whole(content)}
    return {"from_" if key == "from" else key: content}
