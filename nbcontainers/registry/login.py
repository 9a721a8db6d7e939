"""Logging in and out: credentials checked against the registry, then kept where docker and podman find them too."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbcontainers.errors import InvalidArgument, NotFound, RegistryError
from nbcontainers.oci.reference import HUB, parse
from nbcontainers.registry import credentials as known
from nbcontainers.registry import helper
from nbcontainers.registry.credentials import Credentials
from nbcontainers.registry.endpoint import Endpoint
from nbcontainers.registry.settings import Settings

_LONGEST = 64 << 10
"""Characters of a password from the input."""


def login(settings: Settings, registry: str, username: str, password: str, *, tls_verify: bool | None = None) -> str:
    """Check them and keep them; returns where. Nothing is kept when the registry refuses them (RegistryError)."""
    name = named(registry)
    given = Credentials(username, password)
    check(settings, name, given, tls_verify=tls_verify)
    return store(name, given)


def named(registry: str) -> str:
    """host[:port][/path] of what somebody typed, which may be an address. Raises InvalidArgument."""
    name = known.normal(str(registry).strip()) or HUB
    host, _, path = name.partition("/")
    if parse(f"{host}/{path or 'x'}").domain != host:
        raise InvalidArgument(f"{registry!r} is no registry", hint="write its host, as registry.example.org:5000")
    return name


def check(settings: Settings, name: str, given: Credentials, *, tls_verify: bool | None = None) -> None:
    """Whether the registry takes them. One that asks nobody who he is takes everything."""
    insecure = None if tls_verify is None else not tls_verify
    source = settings.sources(f"{name}/x" if "/" not in name else name, insecure=insecure)[-1]._replace(path="")
    endpoint = Endpoint(source, settings, lambda: given)
    try:
        endpoint.ask("GET", "", "its API").close()
    except RegistryError as error:
        if error.status == 401:
            raise RegistryError(
                f"{name} does not accept the password of {given.username!r}",
                hint=f"%image login {name}; many registries want an access token in place of the password",
                status=401,
            ) from None
        raise
    finally:
        endpoint.close()


def ask(username: str, password: str, *, from_input: bool) -> tuple[str, str]:
    """User and password, from the input or by asking for what is missing.

    The input may have several lines, as the key files of some registries. Raises InvalidArgument where nobody can be
    asked, and for what is neither.
    """
    if from_input:
        if password or not username:
            raise InvalidArgument(
                "--password-stdin needs -u USER, and no -p", hint="%image login HOST -u USER --password-stdin"
            )
        password = sys.stdin.read(_LONGEST).rstrip("\r\n")
    elif not (username and password):
        username, password = _asked(username, password)
    if not username or not password or ":" in username or not username.isprintable():
        raise InvalidArgument(
            "a user name without ':' and a password are needed", hint="%image login HOST -u USER, and type the password"
        )
    return username, password


def _asked(username: str, password: str) -> tuple[str, str]:
    """By whoever sits before the terminal or the notebook, where ipykernel puts its own `getpass` in its place."""
    try:
        if sys.stdin.isatty() or getpass.getpass.__module__ != "getpass":
            username = username or input("User name: ").strip()
            return username, password or getpass.getpass("Password: ")
    except (NotImplementedError, EOFError):
        pass  # a notebook run by a program: there is nobody
    raise InvalidArgument(
        "login needs a user and a password",
        hint="%image login HOST -u USER --password-stdin, with the password as input",
    )


def store(name: str, given: Credentials) -> str:
    """Keep them: in the file that already has some for this name, else in docker's. Returns the file, or the helper."""
    path = _file_for(name)
    place = str(path)

    def change(document: dict[str, Any]) -> None:
        nonlocal place
        auths = document["auths"] = dict(document.get("auths") or {})
        for key in [key for key in auths if known.normal(key) == name]:
            del auths[key]
        program = _helper_for(document, name)
        if program:
            helper.store(program, known.key(name), given)
            place = f"docker-credential-{program}"
        auths[known.key(name)] = {} if program else {"auth": given.basic.removeprefix("Basic ")}

    _rewrite(path, change)
    return place


def logout(registry: str) -> list[str]:
    """Forget the credentials for a registry everywhere; returns where. Raises NotFound if there were none."""
    name = named(registry)
    places = [place for path in known.files() for place in _forget(path, name)]
    if not places:
        names = sorted({known.normal(key) for _, key in known.known()})
        hint = f"there are logins for {', '.join(names)}" if names else f"%image login {name}"
        raise NotFound(f"nobody is logged in at {name}", hint=hint)
    return places


def logout_all() -> list[str]:
    """Forget all credentials that can be found; returns where."""
    names = [(path, known.normal(key)) for path, key in known.known()]
    return [place for path, name in dict.fromkeys(names) for place in _forget(path, name)]


def _file_for(name: str) -> Path:
    files = [path for path in known.files() if path.name != ".dockercfg"] or known.files()
    holding = (path for path, key in known.known() if known.normal(key) == name and path in files)
    return next(holding, files[-1])


def _helper_for(document: dict[str, Any], name: str) -> str:
    helpers = {known.normal(key): program for key, program in (document.get("credHelpers") or {}).items()}
    return str(helpers.get(name) or document.get("credsStore") or "")


def _forget(path: Path, name: str) -> list[str]:
    """Out of one file, and out of the helper it names."""
    document = known.read(path)
    keys = [key for key in document.get("auths") or {} if known.normal(key) == name]
    program = _helper_for(document, name)
    places = []
    if program and helper.get(program, known.key(name)) is not None:
        helper.erase(program, known.key(name))
        places.append(f"docker-credential-{program}")
    if any(document["auths"][key] for key in keys):
        places.append(str(path))

    def change(document: dict[str, Any]) -> None:
        for key in keys:
            document["auths"].pop(key, None)

    if keys:
        _rewrite(path, change)
    return places


def _rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a file of credentials: what else it holds stays, it is readable by us alone, and there whole or as before."""
    path = Path(os.path.realpath(path))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            document = known.read(path)
            change(document)
            _replace(path, document["auths"] if path.name == ".dockercfg" else document)
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise RegistryError(
            f"credentials cannot be kept in {path}: {error.strerror}",
            hint="set DOCKER_CONFIG or REGISTRY_AUTH_FILE to a place of your own",
        ) from None


def _replace(path: Path, document: dict[str, Any]) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600 from its first byte on
    try:
        with open(descriptor, "w") as file:
            json.dump(document, file, indent="\t")
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
