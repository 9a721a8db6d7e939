"""What the guest's init is told: a shell script it reads in, beside it in the initramfs."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nbcontainers.vm.initramfs import Entry, archive, tool


@dataclass(frozen=True)
class Root:
    """What is mounted as the image's root: mount(8)'s words; with `overlay` below a layer in memory for what is written."""

    type: str
    source: str
    options: str
    overlay: bool = False


@dataclass(frozen=True)
class Process:
    """The command: words, variables, folder, ids; all as in an OCI process."""

    args: Sequence[str]
    env: Sequence[str]
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: Sequence[int] = ()
    hostname: str = "vm"


@dataclass(frozen=True)
class Request:
    """One run. `ports` is `virtio` or `uml`, `modules` the files' names in their order, `prepare` lines of sh(1)."""

    process: Process
    root: Root
    ports: str
    modules: Sequence[str] = ()
    reads: bool = False
    prepare: Sequence[str] = field(default=())

    def script(self) -> str:
        settings: Mapping[str, str] = {
            "PORTS": self.ports, "TYPE": self.root.type, "SOURCE": self.root.source, "OPTIONS": self.root.options,
            "OVERLAY": str(int(self.root.overlay)), "MODULES": " ".join(self.modules), "HOSTNAME": self.process.hostname, "INPUT": str(int(self.reads)),
        }  # fmt: skip
        lines = [f"{name}={shlex.quote(text)}" for name, text in settings.items()]
        lines += ["prepare() {", *self._prepare(), "}", f"program() {{ exec {shlex.join(self._command())} 9>&-; }}"]
        return "\n".join(lines) + "\n"

    def _prepare(self) -> list[str]:
        """Make the working folder, as a container does, and what else is wanted; a failing line says why."""
        cwd = shlex.quote(f"/root{self.process.cwd}")
        name = shlex.quote(self.process.hostname)
        lines = [
            "ip link set lo up",
            f"echo {name} >/root/etc/hostname",
            f"printf '127.0.0.1\\tlocalhost\\n::1\\tlocalhost\\n127.0.1.1\\t%s\\n' {name} >/root/etc/hosts",
            *self.prepare,
            f"PROBLEM={shlex.quote(f'no working folder {self.process.cwd}')}",
            f"mkdir -p {cwd} || return 1",
        ]
        return [f"    {line}" for line in lines]

    def _command(self) -> list[str]:
        one = self.process
        inside = ["/bin/nsenter", "-F", "-r/root", f"-w/root{one.cwd}"]
        ids = ["-G", str(one.gid), "-S", str(one.uid)] if (one.uid, one.gid) != (0, 0) else []
        groups: list[str] = []
        if one.groups:  # nsenter knows none, and drops all with -G
            groups = ["/bin/setpriv", "--regid", str(one.gid), "--groups", ",".join(map(str, one.groups))]
            ids = ["-S", str(one.uid)]
        return ["setsid", "env", "-i", *one.env, *groups, *inside, *ids, "--", *one.args]

    def archive(self) -> bytes:
        """To be appended to `initramfs.base`."""
        content = self.script().encode("utf-8", "surrogateescape")
        more = tool("setpriv", "util-linux") if self.process.groups else []
        return archive([Entry("request", stat.S_IFREG | 0o600, content), *more])
