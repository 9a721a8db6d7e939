"""The host: no isolation. With the same limits where it is root or was given a cgroup, and without any (`host:unlimited`)."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from nbcontainers.cgroups import detect
from nbcontainers.compare import programs, rootfs
from nbcontainers.compare.conditions import bare_metal
from nbcontainers.compare.kinds.container import options_of
from nbcontainers.compare.target import Execute, Limits, Missing, Plan, Sink, Target
from nbcontainers.container import resources
from nbcontainers.container.host import this_host
from nbcontainers.launcher import client


class Host:
    """The program as a child of this process. Of another image than `host` its files are used, by chroot(1)."""

    kind = "host"

    def __init__(self, name: str, *, limited: bool) -> None:
        self.name = name
        self.limited = limited
        metal = "bare metal" if bare_metal() else "host"
        self.label = metal if limited else f"{metal}, no limits"

    def missing(self, plan: Plan) -> Missing | None:
        if not plan.on_host and plan.engine.rootless:
            return Missing(f"only root can run the files of {plan.image} without a container", "write --image host")
        if self.limited and (lacking := sorted(_needed(plan.limits) - _controllers(plan))):
            return Missing(f"no cgroup of ours has {', '.join(lacking)}", "write --on host:unlimited, or no limits")
        return None

    def facts(self) -> dict[str, str]:
        return {"kernel": os.uname().release, **({} if self.limited else {"limits": "none, as asked"})}

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[Execute]:
        scratch = plan.folder / self.name.replace(":", "-")
        scratch.mkdir(exist_ok=True)
        with _limited(plan, self.limited) as join, rootfs.entered(plan) as enter, programs.watched() as watch:
            inside = bool(enter)
            variables = plan.variables(*([] if inside else [str(scratch), str(plan.volume)]))

            def execute(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
                words = [*join, *enter, *command]
                return programs.run(
                    words, stdout, stderr, environment=variables, cwd=str(scratch), seconds=plan.seconds, watch=watch
                )

            yield execute

    def stored(self, plan: Plan) -> list[Path]:
        return [rootfs.made(plan).folder]

    def idle(self, plan: Plan) -> AbstractContextManager[list[int]] | None:
        return _sleeping() if plan.on_host else None


@contextmanager
def _sleeping() -> Iterator[list[int]]:
    process = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
    try:
        yield [process.pid]
    finally:
        process.kill()
        process.wait()


def _needed(limits: Limits) -> set[str]:
    asked = {"memory": limits.memory, "cpu": limits.cpus, "cpuset": limits.cpuset}
    return {name for name, value in asked.items() if value}


def _controllers(plan: Plan) -> frozenset[str]:
    return detect.controllers(rootless=plan.engine.rootless)


@contextmanager
def _limited(plan: Plan, wanted: bool) -> Iterator[list[str]]:
    """What comes before a command so that it runs in a cgroup with the limits; nothing where there are none."""
    if not wanted or not _needed(plan.limits):
        yield []
        return
    id = f"compare-{secrets.token_hex(6)}"
    there = f"{__name__}:"
    rootless = plan.engine.rootless
    wished = resources.asked(options_of(plan), this_host(rootless))
    record = client.call(f"{there}make", id=id, rootless=rootless, resources=wished)
    enter = _joining(record)
    try:
        with _inhabited(enter):
            yield enter
    finally:
        client.call(f"{there}remove", record=record)


@contextmanager
def _inhabited(enter: Sequence[str]) -> Iterator[None]:
    """A process that waits for our end lives in the cgroup too: `system prune` removes one in which nobody does."""
    with subprocess.Popen(
        [*enter, "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
    ) as process:
        try:
            yield
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _joining(record: dict[str, Any]) -> list[str]:
    """A shell that goes into the cgroup itself, and becomes the program: one exec is all that an execution pays for it."""
    joined = record.get("joined", [])
    folders = [path for name, path in record.get("v1", {}).items() if name in joined]
    files = [f"{folder}/cgroup.procs" for folder in dict.fromkeys([*folders, *filter(None, [record.get("v2")])])]
    writes = "".join(f"echo 0 >{shlex.quote(file)} || exit 125; " for file in files)
    return ["/bin/sh", "-c", f'{writes}exec "$@"', "sh"]


def make(id: str, rootless: bool, resources: dict[str, Any]) -> dict[str, Any]:
    """In a process of the launcher: a cgroup with the limits, each read back; its record."""
    cgroup = detect.default_cgroup(id, rootless=rootless)
    cgroup.create()
    try:
        cgroup.apply(resources)
    except BaseException:
        with suppress(Exception):
            cgroup.destroy()
        raise
    return cgroup.record


def remove(record: dict[str, Any]) -> None:
    """Also ends what the workload left in it."""
    detect.open_record(record).destroy()


NAMES: dict[str, Callable[[], Target]] = {
    "host": lambda: Host("host", limited=True),
    "host:unlimited": lambda: Host("host:unlimited", limited=False),
}
