"""What `--secret` and `--ssh` name: contents of secrets, sockets of SSH agents."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Mapping, Sequence
from typing import Any

from nbcontainers.errors import InvalidArgument


def secrets(given: Sequence[str] | Mapping[str, Any], read_env: Mapping[str, str]) -> dict[str, bytes]:
    """The secrets by name, of `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`, or of a mapping of contents."""
    if isinstance(given, Mapping):
        return {str(name): text if isinstance(text, bytes) else str(text).encode() for name, text in given.items()}
    return dict(_secret(text, read_env) for text in given)


def _secret(text: str, read_env: Mapping[str, str]) -> tuple[str, bytes]:
    keys = {"source": "src", "src": "src", "id": "id", "env": "env", "type": "type"}
    found: dict[str, str] = {}
    for part in text.split(","):
        key, _, content = part.partition("=")
        if key not in keys:
            raise InvalidArgument(
                f"--secret {text}: {key!r} is not known", hint="write id=NAME,src=FILE or id=NAME,env=VARIABLE"
            )
        found[keys[key]] = content
    name = found.get("id") or posixpath.basename(found.get("src", "")) or found.get("env", "")
    if not name:
        raise InvalidArgument(f"--secret {text} has no id", hint="write id=NAME,src=FILE or id=NAME,env=VARIABLE")
    is_env = "env" in found or (found.get("type") == "env")
    variable = found.get("env") or found.get("src") or name
    if is_env or ("src" not in found and name in read_env):
        if variable not in read_env:
            raise InvalidArgument(
                f"--secret {text}: there is no variable {variable}", hint="set it before, or write src=FILE"
            )
        return name, read_env[variable].encode("utf-8", "surrogateescape")
    try:
        with open(os.path.expanduser(found.get("src") or name), "rb") as file:
            return name, file.read()
    except OSError as error:
        raise InvalidArgument(
            f"--secret {text}: {error.strerror}", hint="write src= with a file that can be read"
        ) from None


def agents(given: Sequence[str], read_env: Mapping[str, str]) -> dict[str, str]:
    """Sockets by id, of `default`, `ID` or `ID=SOCKET`. InvalidArgument where there is none."""
    found = {}
    for text in given:
        id, _, path = text.partition("=")
        path = os.path.abspath(os.path.expanduser(path or read_env.get("SSH_AUTH_SOCK", "")))
        if not id or not os.path.exists(path) or not stat.S_ISSOCK(os.stat(path).st_mode):
            hint = "start an agent (ssh-agent) so that SSH_AUTH_SOCK is set, or write ID=SOCKET"
            raise InvalidArgument(f"--ssh {text}: there is no agent", hint=hint)
        found[id] = path
    return found
