"""crun and runc on a bundle: the configuration that our own run writes, on a root file system that was unpacked before."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from nbcontainers.compare import hybrid, programs, rootfs
from nbcontainers.compare.kinds.container import options_of
from nbcontainers.compare.target import Execute, Missing, Plan, Sink, Target
from nbcontainers.container import api
from nbcontainers.errors import Error, HostNotCapable

_NAMESPACES = ("pid", "mount", "network", "uts", "ipc", "cgroup")  # crun 1.8 and runc 1.1 know no more
_VERSION = "1.0.2"
"""Of the runtime-spec: crun 1.8 takes no later one."""


class Bundle:
    """No overlay, no image store, no logging: a root file system of its own in a plain folder."""

    kind = "container"

    def __init__(self, program: str) -> None:
        self.program = program
        self.name = f"container:{program}"
        self.label = f"container ({program})"
        self._asleep: Callable[[], AbstractContextManager[list[int]]] | None = None

    def missing(self, plan: Plan) -> Missing | None:
        if not shutil.which(self.program):
            return Missing(f"{self.program} is not installed", f"apt-get install {self.program}")
        return Missing(f"{self.program} needs root here", "compare as root") if plan.engine.rootless else None

    def facts(self) -> dict[str, str]:
        return {
            "version": programs.version(self.program, "--version"),
            "root": "a plain folder, no overlay: what is written stays for the next execution",
        }

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[Execute]:
        if plan.published:
            raise HostNotCapable(f"{self.program} makes no network: that is the affair of who calls it")
        folder = plan.folder / self.program
        folder.mkdir()
        config = configured(plan)
        (folder / "rootfs").symlink_to(rootfs.made(plan).folder)
        with self._private(folder) as private:
            runtime = [*private, self.program, "--root", str(folder / "state")]

            def execute(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
                config["process"]["args"] = list(command)
                (folder / "config.json").write_text(json.dumps(config))
                id = f"compare-{secrets.token_hex(6)}"
                words = [*runtime, "run", "--bundle", str(folder), id]
                try:
                    return programs.run(words, stdout, stderr, seconds=plan.seconds)
                except BaseException:
                    with suppress(Error):
                        programs.output(*runtime, "delete", "--force", id)
                    raise

            self._asleep = partial(_sleeping, runtime, folder, config)
            try:
                yield execute
            finally:
                self._asleep = None

    @contextmanager
    def _private(self, folder: Path) -> Iterator[Sequence[str]]:
        """What comes before it, so that nothing it mounts stays."""
        if self.program == "crun" and hybrid.needed():
            (folder / "cgroup").mkdir()
            with hybrid.entered(folder / "cgroup") as enter:
                yield enter
        else:
            yield programs.PRIVATE

    def stored(self, plan: Plan) -> list[Path]:
        return [rootfs.made(plan).folder]

    def idle(self, plan: Plan) -> AbstractContextManager[list[int]] | None:
        """Its one process, for nothing watches it. While it is open."""
        return self._asleep() if self._asleep else None


@contextmanager
def _sleeping(runtime: Sequence[str], folder: Path, config: dict[str, Any]) -> Iterator[list[int]]:
    config["process"]["args"] = ["sleep", "600"]
    (folder / "config.json").write_text(json.dumps(config))
    id = f"compare-{secrets.token_hex(6)}"
    try:
        programs.output(*runtime, "run", "--detach", "--bundle", str(folder), id)
        yield [json.loads(programs.output(*runtime, "state", id))["pid"]]
    finally:
        with suppress(Error):
            programs.output(*runtime, "delete", "--force", id)


def configured(plan: Plan) -> dict[str, Any]:
    """Of our own container: the same seccomp rules, capabilities and limits; its file system is prepared here."""
    made = api.create(plan.image, "/bin/true", engine=plan.engine, **options_of(plan))
    try:
        config: dict[str, Any] = json.loads((plan.engine.containers / made.id / "config.json").read_text())
    finally:
        made.rm(force=True)
    root = rootfs.made(plan)
    config["ociVersion"] = _VERSION
    config["root"] = {"path": str(root.folder), "readonly": False}
    config["process"]["terminal"] = False
    config.pop("annotations", None)
    config.pop("hooks", None)
    config["linux"]["namespaces"] = [{"type": kind} for kind in _NAMESPACES]
    for key in ("timeOffsets", "cgroupsPath"):
        config["linux"].pop(key, None)
    binds = [_bind(path, path, "ro") for path in root.binds] + [_bind(str(plan.volume), "/nbc-volume", "rw")]
    config["mounts"] = [mount for mount in config["mounts"] if mount.get("type") != "bind"] + binds
    return config


def _bind(source: str, target: str, mode: str) -> dict[str, Any]:
    return {"destination": target, "source": source, "type": "bind", "options": ["rbind", mode]}


NAMES: dict[str, Callable[[], Target]] = {
    f"container:{program}": lambda program=program: Bundle(program)  # type: ignore[misc]
    for program in ("crun", "runc")
}
