"""What a stage knows while it is built: its image config and its variables; each instruction gives a new state.

Pure: RUN, COPY and ADD change only files, and the executor does that. The config's keys are the image-spec's, and
Docker's Healthcheck, OnBuild and Shell.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nbcontainers.dockerfile import instructions as i
from nbcontainers.dockerfile.variables import Scope

Config = Mapping[str, Any]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True)
class State:
    """`cmd_is_own`: CMD was set in this stage, so that ENTRYPOINT leaves it alone."""

    scope: Scope
    config: Config = field(default_factory=dict)
    author: str = ""
    cmd_is_own: bool = False

    @property
    def workdir(self) -> str:
        return self.config.get("WorkingDir") or "/"

    @property
    def user(self) -> str:
        return self.config.get("User") or ""

    @property
    def shell(self) -> tuple[str, ...]:
        return tuple(self.config.get("Shell") or SHELL)

    def path(self, text: str) -> str:
        """`text` as an absolute path in this stage; a slash at the end stays, and `.` gets one: it is a folder.

        An empty text (of a variable nobody set) is the working directory, as in BuildKit.
        """
        full = posixpath.normpath(posixpath.join("/", self.workdir, text)).replace("//", "/", 1)
        is_folder = text.endswith(("/", "/.", "/..")) or text in ("", ".", "..")
        return f"{full.rstrip('/')}/" if is_folder else full

    def after(self, one: i.Instruction) -> State:
        """The state once `one`, its variables put in, is done."""
        scope = self.scope.after(one)
        if isinstance(one, i.Maintainer):
            return replace(self, scope=scope, author=one.author)
        config = {**self.config, **self._changes(one)}
        if isinstance(one, i.Entrypoint) and not self.cmd_is_own:
            config.pop("Cmd", None)
        return replace(self, scope=scope, config=config, cmd_is_own=self.cmd_is_own or isinstance(one, i.Cmd))

    def _changes(self, one: i.Instruction) -> dict[str, Any]:
        """The keys of the config that an instruction sets."""
        old = self.config
        if isinstance(one, i.Env):
            return {"Env": with_pairs(old.get("Env") or [], one.pairs)}
        if isinstance(one, i.Label):
            return {"Labels": {**(old.get("Labels") or {}), **dict(one.pairs)}}
        if isinstance(one, i.Cmd):
            return {"Cmd": list(one.argv(self.shell))}
        if isinstance(one, i.Entrypoint):
            return {"Entrypoint": list(one.argv(self.shell)) or None}
        if isinstance(one, i.Workdir):
            return {"WorkingDir": self.path(one.path).rstrip("/") or "/"}
        if isinstance(one, i.Expose):
            return {"ExposedPorts": {**(old.get("ExposedPorts") or {}), **{port: {} for port in one.ports}}}
        if isinstance(one, i.Volume):
            return {"Volumes": {**(old.get("Volumes") or {}), **{path: {} for path in one.paths}}}
        if isinstance(one, i.Onbuild):
            return {"OnBuild": [*(old.get("OnBuild") or []), one.expression]}
        return _simple(one)


def _simple(one: i.Instruction) -> dict[str, Any]:
    if isinstance(one, i.User):
        return {"User": one.user}
    if isinstance(one, i.Stopsignal):
        return {"StopSignal": one.signal}
    if isinstance(one, i.Shell):
        return {"Shell": list(one.words)}
    if isinstance(one, i.Healthcheck):
        return {"Healthcheck": one.config()}
    return {}


def with_pairs(env: list[str], pairs: i.Pairs) -> list[str]:
    """`env` with each pair in the place of the variable of that name, new ones at the end."""
    changed = dict(pairs)
    names = [line.partition("=")[0] for line in env]
    kept = [f"{name}={changed[name]}" if name in changed else line for name, line in zip(names, env, strict=True)]
    return kept + [f"{name}={text}" for name, text in changed.items() if name not in names]


def begin(scope: Scope, config: Config | None, author: str = "") -> State:
    """The state after FROM: of a base image's `config`, or of `scratch` when there is none.

    The triggers of the base are taken out: they run once (`dockerfile.triggers`) and are not handed on.
    """
    start = {"Env": [f"PATH={PATH}"], "WorkingDir": "/"} if config is None else dict(config)
    start.pop("OnBuild", None)
    env = dict(line.partition("=")[::2] for line in start.get("Env") or [])
    return State(replace(scope, env=env, variables={**scope.variables, **env}), start, author)
