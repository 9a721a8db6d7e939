"""RUN: a container of its own over the stage's layers, its changes in a folder that outlives it.

It is a container as every other one (`container ps` shows it while it runs) that its monitor removes when it ends; only
its upper folder is the builder's, and becomes the new layer.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nbcontainers.builder import pretence
from nbcontainers.builder.agent import Agent
from nbcontainers.container import networking, spec, store, users
from nbcontainers.container.host import this_host
from nbcontainers.container.mounts import Mounted
from nbcontainers.container.options import RunOptions
from nbcontainers.container.running import MONITOR
from nbcontainers.container.session import Session, Streams
from nbcontainers.dockerfile.instructions import PIPES, Run
from nbcontainers.dockerfile.mount import Mount
from nbcontainers.dockerfile.state import PATH, State
from nbcontainers.engine import Engine
from nbcontainers.errors import BuildError
from nbcontainers.image import parts as roots
from nbcontainers.image import rootfs, scratch, work
from nbcontainers.image.making import Added, Below
from nbcontainers.launcher import client
from nbcontainers.monitor.files import rfc3339

HOSTNAME = "build"
LABEL = "io.nbcontainers.build"
_MOUNTING = "nbcontainers.builder.mounting"
_EMPTY = "empty"


class Shown(NamedTuple):
    """What a bind mount shows: a `folder`, or `lowers` (top first); `name` for errors; a `digest` of its files."""

    name: str
    digest: str
    folder: str = ""
    lowers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What holds for every RUN of a build: options of `run`, the secrets by name, sockets of SSH agents by id."""

    options: RunOptions
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    agents: Mapping[str, str] = field(default_factory=dict)


class Cancelled(Exception):
    """The build is over for another reason."""


class Runner:
    """Runs the commands of one build. `cancelled` is asked ten times a second; `shown` says what a mount's from is."""

    def __init__(
        self, engine: Engine, settings: Settings, shown: Callable[[Mount, ExitStack], Shown],
        cancelled: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.engine, self.settings, self.shown, self.cancelled = engine, settings, shown, cancelled

    def run(
        self, one: Run, state: State, lowers: Sequence[str], layers: Below,
        output: Callable[[bytes], object], epoch: int | None,
    ) -> Added:  # fmt: skip
        """Carry out a RUN and make its layer. Raises Failed with the exit record, CreateFailed, Cancelled."""
        with ExitStack() as stack:
            place = stack.enter_context(scratch.folder(self.engine))
            below = list(lowers) or [str(_empty(place))]
            with client.reserved(MONITOR) as ready:
                id = ready.name if ready else store.new_id()
                parts = _Parts(self, stack, place, id, state)
                for number, mount in enumerate(one.mounts or ()):
                    parts.add(number, mount)
                if script := one.script:
                    parts.script(script.name, script.body)
                document, record, steps = self._container(id, one, state, below, place, parts)
            ended = self._follow(id, record, document, steps, parts.files, output, ready)
            if ended.get("exit_code"):
                raise Failed(ended)
            skip = [mount["destination"] for mount in document["mounts"]]
            return work.call(  # type: ignore[no-any-return]
                "nbcontainers.builder.copying:finish", place=work.place(self.engine),
                parts=roots.of(steps, f"{store.folder(self.engine, id)}/rootfs", skip, userxattr=self.engine.rootless),
                below=layers, scratch=str(place), epoch=epoch,
            )  # fmt: skip

    def _container(
        self, id: str, one: Run, state: State, below: list[str], place: Path, parts: _Parts
    ) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
        """config.json, container.json and the recipe."""
        engine = self.engine
        options = self._options(one)
        image = {"WorkingDir": state.workdir}
        net = networking.plan(engine, options, image, id)
        options = {**options, "network": [net.namespace]}
        identity = users.resolve(state.user, below)
        host = this_host(engine.rootless)
        if host.one_id and pretence.has_apt(below):
            parts.apt()
        folder = store.folder(engine, id)
        files = {where: f"{folder}/{path}" for where, path in store.FILES.items()}
        basis = spec.Basis(id, image, identity, host, parts.mounts, files, netns=net.path)
        argv = list(one.argv(state.shell))
        document = spec.build(options, argv, basis)
        document["process"]["env"] = self._environment(state, identity.home, parts)
        if host.one_id and (profile := document["linux"].get("seccomp")):
            document["linux"]["seccomp"] = pretence.profile(profile)
        record = {
            "id": id, "name": f"build-{id[:8]}", "image": "", "image_digest": "", "command": argv,
            "created": rfc3339(time.time_ns()), "labels": {LABEL: "run"}, "remove": True, "tty": False,
            "stop_signal": int(signal.SIGKILL), "stop_timeout": 0, "hostname": HOSTNAME, "volumes": [],
            "anonymous_volumes": [], "layers": below, "client": os.getpid(), "interactive": False, **net.record,
        }  # fmt: skip
        parts.files = {"/etc/hostname": f"{HOSTNAME}\n", **networking.texts(net, record, HOSTNAME)}
        root = rootfs.steps(below, f"{folder}/rootfs", rootless=engine.rootless, place=str(place))
        return document, record, [*root, *parts.steps, *net.steps]

    def _options(self, one: Run) -> RunOptions:
        options: RunOptions = {
            **self.settings.options, "hostname": HOSTNAME, "security_opt": ["no-new-privileges=false"],
        }  # fmt: skip
        if one.network != "default":
            options["network"] = [one.network]
        if one.security == "insecure":
            options["privileged"] = True
        return options

    def _environment(self, state: State, home: str, parts: _Parts) -> list[str]:
        found = {"PATH": PATH, "HOME": home, **parts.defaults, **state.scope.environment(), **parts.variables}
        return [f"{name}={text}" for name, text in found.items()]

    def _follow(
        self, id: str, record: dict[str, Any], document: dict[str, Any], steps: list[Any], files: dict[str, str],
        output: Callable[[bytes], object], ready: client.Ready | None,
    ) -> dict[str, Any]:  # fmt: skip
        engine = self.engine
        store.create(engine, record, document, steps, files)
        try:
            channel = client.spawn(
                MONITOR, ready=ready, root=str(engine.root), run=str(engine.run), id=id, attach=True, fresh=True
            )
            with Session(channel, Streams(stdout=output, stderr=output, tick=self._check)) as session:
                try:
                    return session.wait()
                except Cancelled:
                    session.end()
                    raise
        except BaseException:
            if os.path.isdir(store.folder(engine, id)) and not store.state(engine, id):
                store.remove(engine, id, anonymous_volumes=True)
            raise

    def _check(self) -> None:
        if self.cancelled():
            raise Cancelled


class Failed(Exception):
    """The command ended with a status other than 0; `ended` is its exit record."""

    def __init__(self, ended: dict[str, Any]) -> None:
        super().__init__(ended.get("exit_code"))
        self.ended = ended


class _Parts:
    """The mounts of one RUN: entries of config.json, steps of the recipe, variables."""

    def __init__(self, runner: Runner, stack: ExitStack, place: Path, id: str, state: State) -> None:
        self.runner, self.stack, self.place, self.id, self.state = runner, stack, place, id, state
        self.mounts: list[Mounted] = []
        self.steps: list[dict[str, Any]] = []
        self.variables: dict[str, str] = {}
        self.defaults: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self._caches: dict[str, str] = {}
        self._secrets: Path | None = None
        self._agents = 0

    def add(self, number: int, mount: Mount) -> None:
        """One --mount."""
        target = mount.path(self.state.workdir, self._agents)
        self._agents += mount.type == "ssh"
        {"bind": self._shown, "cache": self._cache, "tmpfs": self._tmpfs, "secret": self._secret, "ssh": self._agent}[
            mount.type
        ](number, mount, target)

    def script(self, name: str, body: str) -> None:
        """The here-document that is run as it is."""
        folder = self.place / "mounts/pipes"
        folder.mkdir(mode=0o755)
        file = folder / name
        file.write_bytes(body.encode("utf-8", "surrogateescape"))
        file.chmod(0o755)
        self._bind(str(folder), PIPES, read_only=True)

    def apt(self) -> None:
        """apt's configuration for a namespace of one id."""
        self._bind(pretence.apt_conf(self.place / "mounts"), pretence.APT, read_only=True)
        self.defaults["APT_CONFIG"] = pretence.APT

    def _shown(self, number: int, mount: Mount, target: str) -> None:
        here = self._shown_at(number, self.runner.shown(mount, self.stack), mount.source, read_only=mount.read_only)
        self._bind(here, target, read_only=mount.read_only)

    def _shown_at(self, number: int, found: Shown, source: str, *, read_only: bool) -> str:
        """A step that shows a part of a stage, an image or a context; where."""
        here, lowers = f"{self.place}/mounts/{number}", found.lowers or (found.folder,)
        folder, whole = lowers[0], []
        if len(lowers) > 1 or not read_only:
            folder, own = f"{here}.base", "" if read_only else f"{here}.own"
            whole = rootfs.steps(lowers, folder, rootless=self.runner.engine.rootless, place=own)
        args = {"folder": folder, "steps": whole, "source": source, "name": found.name, "target": here}
        self.steps.append({"step": f"{_MOUNTING}:Show", "args": args})
        return here

    def _cache(self, number: int, mount: Mount, target: str) -> None:
        seed, key = "", mount.key
        if mount.from_:  # what begins with other files is another cache, as for BuildKit
            found = self.runner.shown(mount, self.stack)
            seed, key = self._shown_at(number, found, mount.source, read_only=True), f"{key} {found.digest}"
        folder = self.locked_cache(key, mount.sharing)
        args = {"folder": folder, "mode": mount.permissions, "uid": mount.uid, "gid": mount.gid, "seed": seed}
        self.steps.append({"step": f"{_MOUNTING}:Cache", "args": args})
        self._bind(folder, target, read_only=mount.read_only)

    def locked_cache(self, key: str, sharing: str) -> str:
        """The folder of a cache mount, held until the RUN is over as `sharing` of the first mount of it says."""
        if key not in self._caches:
            self._caches[key] = self._hold(key, sharing)
        return self._caches[key]

    def _hold(self, key: str, sharing: str) -> str:
        """A private cache that somebody has is another folder."""
        place = self.runner.engine.cache / "mounts"
        place.mkdir(mode=0o700, exist_ok=True)
        name = hashlib.sha256(os.fsencode(key)).hexdigest()[:32]
        for number in range(1, 1000):
            folder = str(place / (name if number == 1 else f"{name}-{number}"))
            lock = os.open(f"{folder}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self.stack.callback(os.close, lock)
            if sharing != "private":
                self._wait(lock, fcntl.LOCK_EX if sharing == "locked" else fcntl.LOCK_SH)
                return folder
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return folder
        raise BuildError(f"there are 999 private caches {key}", hint="builder prune removes them")

    def _wait(self, lock: int, how: int) -> None:
        """For a lock that another build may have for long; ours may end meanwhile."""
        while True:
            try:
                fcntl.flock(lock, how | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if self.runner.cancelled():
                    raise Cancelled from None
                time.sleep(0.05)

    def _tmpfs(self, number: int, mount: Mount, target: str) -> None:
        words = [
            "nosuid",
            "nodev",
            *([f"size={mount.size}"] if mount.size else []),
            *(["ro"] if mount.read_only else []),
        ]
        self._mount({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": words})

    def _secret(self, number: int, mount: Mount, target: str) -> None:
        content = self.runner.settings.secrets.get(mount.key)
        if content is None:
            if mount.required:
                hint = f"pass it: --secret id={mount.key},src=FILE or --secret id={mount.key},env=NAME"
                raise BuildError(f"the secret {mount.key} is required and was not given", hint=hint)
            return
        if mount.env:
            self.variables[mount.env] = content.decode("utf-8", "surrogateescape")
        if not target:
            return
        if self._secrets is None:
            self._secrets = self.stack.enter_context(scratch.secrets(self.runner.engine))
        path = self._secrets / str(number)
        path.write_bytes(content)
        self._bind_owned(path, mount, target, read_only=True)

    def _agent(self, number: int, mount: Mount, target: str) -> None:
        """A socket with the mode and owner asked for, behind which the agent is."""
        socket = self.runner.settings.agents.get(mount.key)
        if socket is None:
            if mount.required:
                hint = f"pass it: --ssh {mount.key} for the agent of SSH_AUTH_SOCK, or --ssh {mount.key}=SOCKET"
                raise BuildError(f"the SSH agent {mount.key} is required and was not given", hint=hint)
            return
        path = self.place / f"mounts/{number}.agent"
        self.stack.callback(Agent(path, socket).close)
        self._bind_owned(path, mount, target, read_only=False)
        self.variables.setdefault("SSH_AUTH_SOCK", target)

    def _bind_owned(self, path: Path, mount: Mount, target: str, *, read_only: bool) -> None:
        """A file or socket with the mode and owner that the mount asks for."""
        args = {"path": str(path), "mode": mount.permissions, "uid": mount.uid, "gid": mount.gid}
        self.steps.append({"step": f"{_MOUNTING}:Secret", "args": args})
        self._bind(str(path), target, read_only=read_only)

    def _bind(self, source: str, target: str, *, read_only: bool) -> None:
        words = ["rbind", "rprivate", *(["ro", "rro"] if read_only else [])]
        self._mount({"destination": target, "type": "bind", "source": source, "options": words})

    def _mount(self, document: dict[str, Any]) -> None:
        target = document["destination"]
        if target == "/" or f"{target}/".startswith("/proc/"):
            raise BuildError(
                f"--mount: nothing can be mounted on {target}", hint="choose a folder of its own as target"
            )
        self.mounts = [one for one in self.mounts if one.target != target] + [Mounted(document)]
        self.mounts.sort(key=lambda one: one.target.count("/"))


def _empty(place: Path) -> Path:
    """overlayfs wants a layer below, even if there is nothing in it."""
    folder = place / "root" / _EMPTY
    folder.mkdir(mode=0o755)
    return folder
