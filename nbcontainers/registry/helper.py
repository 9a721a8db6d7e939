"""docker-credential-NAME: programs that keep credentials (docker-credential-helpers, Development).

A verb is the only argument, what it is about comes on the input; passwords are never in an argument list.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from nbcontainers.errors import RegistryError
from nbcontainers.registry.credentials import Credentials
from nbcontainers.registry.failure import clean

TIMEOUT_S = 30.0
_TOKEN_USER = "<token>"
_NOT_FOUND = "credentials not found"


def get(name: str, server: str) -> Credentials | None:
    """What the helper knows of `server`, or None. Raises RegistryError."""
    answer = _ask(name, "get", server)
    if answer is None:
        return None
    try:
        document: Any = json.loads(answer)
        user, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, KeyError, TypeError):
        raise _failed(name, "get", "its answer is not JSON with Username and Secret") from None
    return Credentials("", identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)


def store(name: str, server: str, credentials: Credentials) -> None:
    """Have the helper keep them. Raises RegistryError."""
    document = {"ServerURL": server, "Username": credentials.username, "Secret": credentials.password}
    _ask(name, "store", json.dumps(document))


def erase(name: str, server: str) -> bool:
    """Have the helper forget them; whether it knew any. Raises RegistryError."""
    return _ask(name, "erase", server) is not None


def _ask(name: str, verb: str, words: str) -> str | None:
    """The helper's output; None where it says that it has no such credentials."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise RegistryError(f"{name!r} is no name of a credential helper", hint="mend credsStore or credHelpers")
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(
            [program, verb], input=words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            errors="replace",
        )  # fmt: skip
    except FileNotFoundError:
        raise RegistryError(
            f"{program} is not installed, and the configuration names it",
            hint=f"install {program}, or remove credsStore or credHelpers from ~/.docker/config.json",
        ) from None
    except subprocess.TimeoutExpired:
        raise _failed(name, verb, f"no answer within {TIMEOUT_S:g} s") from None
    except OSError as error:
        raise _failed(name, verb, str(error.strerror)) from None
    if done.returncode == 0:
        return done.stdout
    if _NOT_FOUND in done.stdout + done.stderr:
        return None
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines() if verb != "store" else []
    raise _failed(name, verb, clean(lines[0]) if lines else f"exit status {done.returncode}")


def _failed(name: str, verb: str, why: str) -> RegistryError:
    program = f"docker-credential-{name}"
    return RegistryError(f"{program} {verb} failed: {why}", hint=f"try `{program} list` in a terminal")
