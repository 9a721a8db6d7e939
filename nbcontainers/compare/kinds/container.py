"""Our own containers: each execution makes one, runs it to its end, and removes it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from nbcontainers.cgroups import detect
from nbcontainers.compare import programs
from nbcontainers.compare.target import Execute, Missing, Plan, Sink, Target
from nbcontainers.container import api
from nbcontainers.container.options import RunOptions
from nbcontainers.image.rootfs import layers
from nbcontainers.image.store import resolve
from nbcontainers.version import VERSION


class Container:
    """Docker's defaults: seccomp filter, capabilities, namespaces; no network but the loopback."""

    name = label = kind = "container"

    def missing(self, plan: Plan) -> Missing | None:
        asked = {"memory": plan.limits.memory, "cpu": plan.limits.cpus, "cpuset": plan.limits.cpuset}
        has = detect.controllers(rootless=plan.engine.rootless)
        if lacking := sorted(name for name, value in asked.items() if value and name not in has):
            return Missing(f"no cgroup of ours has {', '.join(lacking)}", "system doctor says how to get it")
        return None

    def facts(self) -> dict[str, str]:
        return {"version": f"nbcontainers {VERSION}"}

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[Execute]:
        options = options_of(plan)

        def execute(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
            done = api.run(plan.image, *command, stdout=stdout, stderr=stderr, tick=_bounded(plan.seconds),
                           engine=plan.engine, raise_error=False, **options)  # fmt: skip
            return done.exit_code if done.exit_code is not None else 125

        yield execute

    def idle(self, plan: Plan) -> AbstractContextManager[list[int]] | None:
        return _sleeping(plan)

    def stored(self, plan: Plan) -> list[Path]:
        """The unpacked layers."""
        return [Path(folder) for folder in layers(plan.engine, resolve(plan.engine, plan.image))]


def _bounded(seconds: float | None) -> Callable[[], object] | None:
    """What is called while it runs: raises TimedOut after the seconds, which ends it."""
    if seconds is None:
        return None
    deadline = time.monotonic() + seconds

    def look() -> None:
        if time.monotonic() > deadline:
            raise programs.late(seconds)

    return look


@contextmanager
def _sleeping(plan: Plan) -> Iterator[list[int]]:
    """The program, and its monitor."""
    options: RunOptions = {**options_of(plan), "detach": True}
    made = api.run(plan.image, "sleep", "600", engine=plan.engine, **options)
    try:
        monitor = json.loads((plan.engine.run / made.id / "monitor.json").read_bytes())["pid"]
        yield [pid for pid in (made.pid, monitor) if pid]
    finally:
        made.rm(force=True)


def options_of(plan: Plan) -> RunOptions:
    """Of `run`. Whoever the image says runs it, and where: root in `/`, as on targets that know no more than its files."""
    reached: RunOptions = {"network": ["none"]}
    if plan.published:
        reached = {"publish": [f"127.0.0.1:{port}:{port}" for port in plan.published]}
    return {
        "rm": True, **reached, "entrypoint": "", "user": "0", "workdir": "/", "volume": [f"{plan.volume}:/nbc-volume"],
        "env": plan.variables(), "pull": "never", "log_driver": "none", **plan.limits.options,
    }  # fmt: skip


NAMES: dict[str, Callable[[], Target]] = {"container": Container}
