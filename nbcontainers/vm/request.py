"""What the guest's init is told: a shell script it reads in, beside it in the initramfs."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nbcontainers.vm.hardware import LANES, PORTS
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
class Command:
    """What one lane is to carry. `reads` is yes, never (its input is open, and nothing comes) or "" (it has none); `size`
    of its terminal (rows, columns), None for none; `before` a line of sh(1) outside of the image."""

    process: Process
    reads: str = ""
    size: tuple[int, int] | None = None
    before: str = ":"

    def script(self, token: str) -> str:
        """`token` is what its output is to end with."""
        size = f"rows {self.size[0]} cols {self.size[1]}" if self.size else ""
        settings = {"TOKEN": token, "READS": self.reads, "SIZE": size}
        return f"{_settings(settings)}program() {{ {self.before} && exec {shlex.join(self._words())} 8<&- 9>&-; }}\n"

    def _words(self) -> list[str]:
        one = self.process
        inside = ["/bin/nsenter", "-F", "-r/root", f"-w/root{one.cwd}"]
        ids = ["-G", str(one.gid), "-S", str(one.uid)] if (one.uid, one.gid) != (0, 0) else []
        groups: list[str] = []
        if one.groups:  # nsenter knows none, and drops all with -G
            groups = ["/bin/setpriv", "--regid", str(one.gid), "--groups", ",".join(map(str, one.groups))]
            ids = ["-S", str(one.uid)]
        controls = ["-c"] if self.size else []
        return ["setsid", *controls, "env", "-i", *one.env, *groups, *inside, *ids, "--", *one.args]


@dataclass(frozen=True)
class Request:
    """One machine, and its own command. `ports` is `virtio` or `uml`, `modules` the files' names in their order, `prepare`
    lines of sh(1); one that `stays` may be asked for commands of any user."""

    command: Command
    root: Root
    ports: str
    modules: Sequence[str] = ()
    prepare: Sequence[str] = field(default=())
    stays: bool = False

    @property
    def process(self) -> Process:
        return self.command.process

    def script(self) -> str:
        settings = {
            "PORTS": self.ports, "NAMES": " ".join(PORTS), "LANES": str(LANES), "TYPE": self.root.type,
            "SOURCE": self.root.source, "OPTIONS": self.root.options, "MODULES": " ".join(self.modules),
            "OVERLAY": str(int(self.root.overlay)),
            "HOSTNAME": self.process.hostname,
        }  # fmt: skip
        return _settings(settings) + "\n".join(["prepare() {", *self._prepare(), "}"]) + "\n"

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

    def archive(self, token: str) -> bytes:
        """To be appended to `initramfs.base`."""
        files = {"request": self.script(), "run/session.0": self.command.script(token)}
        entries = [
            Entry(name, stat.S_IFREG | 0o600, text.encode("utf-8", "surrogateescape")) for name, text in files.items()
        ]
        more = tool("setpriv", "util-linux") if self.process.groups or self.stays else []
        return archive([*entries, *more])


def _settings(settings: Mapping[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(text)}\n" for name, text in settings.items())
