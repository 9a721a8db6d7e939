"""podman and docker: `run --rm` of the same files, imported as an image of theirs that goes again."""

from __future__ import annotations

import os
import resource
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

from nbcontainers.cgroups.layout import layout
from nbcontainers.compare import programs, rootfs
from nbcontainers.compare.target import Execute, Missing, Plan, Sink, Target
from nbcontainers.errors import Error, HostNotCapable

_MOST = 1024
_SETTLES_S, _LOOK_S = 3.0, 0.02
_CONFIGURATION = '[engine]\nlock_type = "file"\n'
"""Its usual locks are a file in /dev/shm that stays."""
_LEFT = ("libpod_parent/conmon", "libpod_parent", "docker/buildkit", "docker")
"""cgroups these programs make above their containers' own and never remove."""


class _Engine:
    """What sleeps of it can be told while it is open."""

    def __init__(self) -> None:
        self._asleep: Callable[[], AbstractContextManager[list[int]]] | None = None

    def idle(self, plan: Plan) -> AbstractContextManager[list[int]] | None:
        """The program, and its conmon or containerd-shim; daemons that all containers share are not counted."""
        return self._asleep() if self._asleep else None


class Podman(_Engine):
    """With a store of its own in the plan's folder; its sockets are in /tmp, as a runroot has 50 characters at most."""

    name, label, kind = "container:podman", "container (podman)", "container"

    def missing(self, plan: Plan) -> Missing | None:
        if not shutil.which("podman"):
            return Missing("podman is not installed", "apt-get install podman")
        return (
            Missing("podman needs root here, for a store of its own", "compare as root")
            if plan.engine.rootless
            else None
        )

    def facts(self) -> dict[str, str]:
        return {"version": programs.version("podman", "--version"), "runtime": _runtime() or "its own choice"}

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[Execute]:
        if plan.published:
            raise HostNotCapable(
                "podman's bridge and its rules would stay on this host, so it is measured without a network"
            )
        store = plan.folder / "podman"
        archive, binds = rootfs.archive(plan)
        with _tidied(), tempfile.TemporaryDirectory(prefix="nbc-", dir="/tmp", ignore_cleanup_errors=True) as run:
            places = ("--root", f"{store}/root", "--runroot", f"{run}/run", "--tmpdir", f"{run}/tmp")
            (Path(run) / "containers.conf").write_text(_CONFIGURATION)
            settings = ("env", f"CONTAINERS_CONF={run}/containers.conf")
            podman = [*programs.PRIVATE, *settings, "podman", *places, "--cgroup-manager", "cgroupfs"]
            podman += ["--runtime", runtime] if (runtime := _runtime()) else []
            programs.output(*podman, "import", "-q", str(archive), "compare", doing="podman import")
            options = _options(plan, binds, _rlimits())
            self._asleep = partial(_sleeping, podman, options, "compare", "{{.State.Pid}} {{.State.ConmonPid}}")
            try:
                yield _runner(podman, plan, options, "compare")
            finally:
                self._asleep = None
                with suppress(Error):
                    programs.output(*podman, "rm", "--all", "--force")

    def stored(self, plan: Plan) -> list[Path]:
        return [plan.folder / "podman"]


class Docker(_Engine):
    """By the daemon that `docker` finds (DOCKER_HOST)."""

    name, label, kind = "container:docker", "container (docker)", "container"

    def missing(self, plan: Plan) -> Missing | None:
        if not _docker():
            return Missing("docker is not installed", "apt-get install docker.io")
        if not programs.version(_docker(), "version", "--format", "{{.Server.Version}}"):
            return Missing("no docker daemon answers", "start dockerd, or set DOCKER_HOST")
        return None

    def facts(self) -> dict[str, str]:
        return {"version": programs.version(_docker(), "version", "--format", "docker {{.Server.Version}}")}

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[Execute]:
        name = f"compare-{secrets.token_hex(6)}"
        archive, binds = rootfs.archive(plan)
        programs.output(_docker(), "import", str(archive), name, doing="docker import")
        options = _options(plan, binds, ("--log-driver", "none"))
        self._asleep, self._image = partial(_sleeping, [_docker()], options, name, "{{.State.Pid}}"), name
        try:
            yield _runner([_docker()], plan, options, name)
        finally:
            self._asleep = None
            with suppress(Error):
                programs.output(_docker(), "rmi", "--force", name)

    def stored(self, plan: Plan) -> list[Path]:
        """The folder of its one layer, where the daemon keeps it on this host."""
        there = "{{.GraphDriver.Data.UpperDir}}"
        folder = Path(programs.output(_docker(), "image", "inspect", "--format", there, self._image).strip())
        return [folder] if folder.is_absolute() and folder.is_dir() else []


def _options(plan: Plan, binds: Sequence[str], more: Sequence[str]) -> list[str]:
    """Of `run`."""
    options = ["--rm", "--pull", "never", "-v", f"{plan.volume}:/nbc-volume", *more]
    options += [] if plan.published else ["--network", "none"]
    options += [word for port in plan.published for word in ("-p", f"127.0.0.1:{port}:{port}")]
    options += [word for path in binds for word in ("-v", f"{path}:{path}:ro")]
    options += [word for key, value in plan.variables().items() for word in ("-e", f"{key}={value}")]
    options += ["-m", str(plan.limits.memory)] if plan.limits.memory is not None else []
    options += ["--cpus", f"{plan.limits.cpus:g}"] if plan.limits.cpus is not None else []
    return [*options, *(["--cpuset-cpus", plan.limits.cpuset] if plan.limits.cpuset else [])]


@contextmanager
def _sleeping(engine: Sequence[str], options: Sequence[str], image: str, format: str) -> Iterator[list[int]]:
    """A container in the background; `format` tells its processes, to which its shim is added if it is the parent."""
    name = f"compare-{secrets.token_hex(6)}"
    try:
        programs.output(*engine, "run", "--detach", "--name", name, *options, image, "sleep", "600")
        pids = [int(word) for word in programs.output(*engine, "inspect", "--format", format, name).split()]
        if not os.path.isdir(f"/proc/{pids[0]}"):
            raise HostNotCapable("its processes are not on this host")
        yield list(dict.fromkeys([*pids, _watcher(pids[0])]))
    finally:
        with suppress(Error):
            programs.output(*engine, "rm", "--force", name)


def _watcher(pid: int) -> int:
    """The parent: a container of containerd's has its shim there, one of podman's its conmon."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _runner(engine: Sequence[str], plan: Plan, options: Sequence[str], image: str) -> Execute:
    def execute(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
        name = f"compare-{secrets.token_hex(6)}"
        try:
            words = [*engine, "run", "--name", name, *options, image, *command]
            return programs.run(words, stdout, stderr, seconds=plan.seconds)
        except BaseException:  # the client is killed, and not what it started
            for words_ in (["kill", name], ["rm", "--force", name]):  # podman's rm alone waits for who ignores SIGTERM
                with suppress(Error):
                    programs.output(*engine, *words_)
            raise

    return execute


def _rlimits() -> list[str]:
    """podman's own are higher than what may be set without CAP_SYS_RESOURCE; these are no more than anybody has."""
    found = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    now = {name: min(_MOST, *(one for one in resource.getrlimit(number) if one >= 0)) for name, number in found.items()}
    return [word for name, most in now.items() for word in ("--ulimit", f"{name}={most}:{most}")]


def _runtime() -> str:
    """crun 1.8 refuses a host with cgroups of both kinds, so there podman is told to take runc, where that is installed."""
    return "runc" if layout().v1 and shutil.which("runc") else ""


def _docker() -> str:
    return shutil.which("docker") or ""


@contextmanager
def _tidied() -> Iterator[None]:
    """Remove the cgroups that were not there before, as soon as nobody is in them: a conmon outlives its container."""
    before = {path for path in _parents() if path.exists()}
    try:
        yield
    finally:
        deadline = time.monotonic() + _SETTLES_S
        while left := [path for path in _parents() if path not in before and path.exists()]:
            for path in left:
                with suppress(OSError):
                    path.rmdir()
            if time.monotonic() > deadline:
                break  # another's containers
            time.sleep(_LOOK_S)


def _parents() -> Iterator[Path]:
    top = Path("/sys/fs/cgroup")
    for name in _LEFT:
        yield from (folder / name for folder in (*(one for one in top.iterdir() if one.is_dir()), top))


NAMES: dict[str, Callable[[], Target]] = {"container:podman": Podman, "container:docker": Docker}
