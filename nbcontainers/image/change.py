"""`--change`: Dockerfile instructions that only change the config (docker import, docker commit)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from nbcontainers.errors import InvalidArgument

_PORT = re.compile(r"\d{1,5}(?:-\d{1,5})?(?:/(?:tcp|udp|sctp))?")
Config = dict[str, Any]


def apply(config: Config, changes: Sequence[str]) -> None:
    """Change `config` (the `config` object of an image config) by each instruction in turn."""
    for text in changes:
        word, _, rest = text.strip().partition(" ")
        instruction = INSTRUCTIONS.get(word.upper())
        if instruction is None:
            known = " ".join(INSTRUCTIONS)
            raise InvalidArgument(f"--change: {word!r} is no instruction that can be changed", hint=f"known: {known}")
        if not rest.strip():
            raise InvalidArgument(f"--change: {word.upper()} needs a value", hint=f"write --change '{word.upper()} …'")
        try:
            instruction(config, rest.strip())
        except ValueError as error:
            raise InvalidArgument(f"--change {text!r}: {error}", hint="it is written as in a Dockerfile") from None


def _command(text: str) -> list[str]:
    """A JSON array of texts, else a line for the shell."""
    if text.startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
    return ["/bin/sh", "-c", text]


def _cmd(config: Config, text: str) -> None:
    config["Cmd"] = _command(text)


def _entrypoint(config: Config, text: str) -> None:
    config["Entrypoint"] = _command(text)
    config.pop("Cmd", None)  # it was meant for the entry point before


def _pairs(text: str) -> list[tuple[str, str]]:
    """`K=V …` with quotes, or the old form `K V` for one."""
    words = shlex.split(text)
    if "=" not in words[0]:
        key, _, value = text.partition(" ")
        return [(key, value.strip())]
    if bad := [word for word in words if "=" not in word]:
        raise ValueError(f"{bad[0]!r} has no '='")
    return [(key, value) for key, _, value in (word.partition("=") for word in words)]


def _env(config: Config, text: str) -> None:
    changed = dict(_pairs(text))
    kept = [line for line in config.get("Env") or [] if line.partition("=")[0] not in changed]
    config["Env"] = kept + [f"{key}={value}" for key, value in changed.items()]


def _label(config: Config, text: str) -> None:
    config["Labels"] = (config.get("Labels") or {}) | dict(_pairs(text))


def _expose(config: Config, text: str) -> None:
    for port in text.split():
        if not _PORT.fullmatch(port):
            raise ValueError(f"{port!r} is no port")
        config.setdefault("ExposedPorts", {})[port if "/" in port else f"{port}/tcp"] = {}


def _volume(config: Config, text: str) -> None:
    words = _command(text) if text.startswith("[") else shlex.split(text)
    config["Volumes"] = (config.get("Volumes") or {}) | {path: {} for path in words}


def _workdir(config: Config, text: str) -> None:
    base = "" if text.startswith("/") else config.get("WorkingDir") or "/"
    config["WorkingDir"] = f"{base.rstrip('/')}/{text}" if base else text


def _user(config: Config, text: str) -> None:
    config["User"] = text


def _stop_signal(config: Config, text: str) -> None:
    config["StopSignal"] = text


def _on_build(config: Config, text: str) -> None:
    config.setdefault("OnBuild", []).append(text)


INSTRUCTIONS: dict[str, Callable[[Config, str], None]] = {
    "CMD": _cmd, "ENTRYPOINT": _entrypoint, "ENV": _env, "EXPOSE": _expose, "LABEL": _label, "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal, "USER": _user, "VOLUME": _volume, "WORKDIR": _workdir,
}  # fmt: skip
