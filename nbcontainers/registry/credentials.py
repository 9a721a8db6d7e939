"""Who we are at a registry: the files that podman and docker keep it in, and docker's credential helpers.

Files, in this order: $REGISTRY_AUTH_FILE alone if it is set, else $XDG_RUNTIME_DIR/containers/auth.json,
$XDG_CONFIG_HOME/containers/auth.json, $DOCKER_CONFIG/config.json (~/.docker), ~/.dockercfg. In each the longest name
wins: host/a/b, host/a, host; `credHelpers` and `credsStore` ask the program docker-credential-NAME.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from nbcontainers.errors import RegistryError
from nbcontainers.oci.reference import HUB

HUB_KEY = "https://index.docker.io/v1/"
MAX_FILE = 1 << 20
_HUBS = frozenset({HUB, "index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True)
class Credentials:
    """A user with a password, or a token that stands for one. Never shows either."""

    username: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    def to_json(self) -> dict[str, str]:
        """For the launcher's socket only: it holds the password."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, str]) -> Self:
        return cls(**document)

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def find(registry: str, repository: str = "") -> Credentials | None:
    """Ours for host[:port] and the repository's path there, or None.

    Raises RegistryError for a file that cannot be read and a helper that is missing or fails.
    """
    names = _names(registry, repository)
    for path in files():
        if found := _in_file(path, read(path), names):
            return found
    return None


def files() -> list[Path]:
    """Where credentials may be, in the order to look."""
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        return [Path(named)]
    home = Path.home()
    run = os.environ.get("XDG_RUNTIME_DIR")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    docker = Path(os.environ.get("DOCKER_CONFIG") or home / ".docker")
    podman = [Path(run, "containers/auth.json")] if run else []
    return [*podman, config / "containers/auth.json", docker / "config.json", home / ".dockercfg"]


def read(path: Path) -> dict[str, Any]:
    """A file of credentials in the newer form, `auths` inside; {} if there is none."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE + 1)
        document = json.loads(content) if content.strip() and len(content) <= MAX_FILE else {}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise _damaged(path, str(why)) from None
    if len(content) > MAX_FILE or not isinstance(document, dict):
        raise _damaged(path, "it is too large" if len(content) > MAX_FILE else "it is no JSON object")
    document = {"auths": document} if path.name == ".dockercfg" and "auths" not in document else document
    for key in ("auths", "credHelpers"):
        if not isinstance(document.get(key) or {}, dict):
            raise _damaged(path, f"{key} is no object")
    return document


def key(registry: str) -> str:
    """The name a registry's credentials are kept under, by docker and podman."""
    return HUB_KEY if registry in _HUBS else registry


def normal(name: str) -> str:
    """A key of `auths` as host[:port][/path]: docker also wrote URLs, of which only the host counts."""
    bare = name.removeprefix("https://").removeprefix("http://")
    if bare != name:
        bare = bare.partition("/")[0]
    host, slash, path = bare.rstrip("/").partition("/")
    if host in _HUBS and path in ("v1", "v2"):
        path = slash = ""
    return (HUB if host in _HUBS else host) + slash + path


def _names(registry: str, repository: str) -> list[str]:
    parts = [normal(registry), *filter(None, repository.split("/"))]
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _in_file(path: Path, document: Mapping[str, Any], names: list[str]) -> Credentials | None:
    host = names[-1]
    helpers = {normal(name): program for name, program in (document.get("credHelpers") or {}).items()}
    for name in names:
        if program := helpers.get(name):
            return _from_helper(str(program), key(name))
    if (store := document.get("credsStore")) and (found := _from_helper(str(store), key(host))):
        return found
    auths = {normal(name): entry for name, entry in (document.get("auths") or {}).items()}
    return next((found for name in names if (found := _entry(path, name, auths.get(name)))), None)


def _from_helper(program: str, name: str) -> Credentials | None:
    from nbcontainers.registry import helper

    return helper.get(program, name)


def _entry(path: Path, name: str, entry: Any) -> Credentials | None:
    """One of `auths`: {"auth": base64 of USER:PASSWORD}, or username and password apart, or identitytoken."""
    if not entry:
        return None
    if not isinstance(entry, dict):
        raise _damaged(path, f"auths[{name!r}] is no object")
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if auth := entry.get("auth"):
        try:
            user, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except (ValueError, TypeError):
            colon = ""
        if not colon:
            raise _damaged(path, f"auths[{name!r}].auth is not the base64 of USER:PASSWORD")
    token = str(entry.get("identitytoken") or "")
    return Credentials(user, password.rstrip("\0"), token) if user or token else None


def known() -> Iterator[tuple[Path, str]]:
    """Every file and key that holds credentials; for `logout`."""
    for path in files():
        document = read(path)
        for section in ("auths", "credHelpers"):
            yield from ((path, name) for name in document.get(section) or {})


def _damaged(path: Path, why: str) -> RegistryError:
    return RegistryError(f"credentials in {path} cannot be read: {why}", hint=f"mend {path}, or move it away")
