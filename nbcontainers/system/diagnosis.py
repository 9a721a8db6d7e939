"""`system doctor`: what this host lacks for containers, each part tried, with the command that mends it."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from html import escape
from typing import TYPE_CHECKING, Any

from nbcontainers.container.host import Host
from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable
from nbcontainers.launcher import client, pause
from nbcontainers.linux import namespaces
from nbcontainers.monitor.files import rfc3339
from nbcontainers.system import findings, places
from nbcontainers.system.findings import LIMITED, MISSING, OK, Facts, Finding
from nbcontainers.table import AMBER, AS_IT_IS, BORDER, GREEN, MONOSPACE, RED, Row, ink, plain, safe
from nbcontainers.view import View

if TYPE_CHECKING:
    import pandas

_WIDTH, _STATE, _CHECK = 118, 9, 26
_SIGNS = {OK: ("✓", GREEN), LIMITED: ("!", AMBER), MISSING: ("✗", RED)}
_FIRST = {"pid": 0xEFFFFFFC, "cgroup": 0xEFFFFFFB, "uts": 0xEFFFFFFE, "ipc": 0xEFFFFFFF}
"""Inode numbers of the namespaces that the kernel starts with: linux/proc_ns.h."""
_SWITCHES = {
    "user.max_user_namespaces": "/proc/sys/user/max_user_namespaces",
    "kernel.unprivileged_userns_clone": "/proc/sys/kernel/unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns": "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
}
_CELL = "padding: 3px 12px 3px 0; border: 0; text-align: left; vertical-align: top;"


class Diagnosis(View):
    """One `Finding` a check, of the time `at` (RFC 3339, UTC)."""

    def __init__(self, found: list[Finding], *, rootless: bool, at: str) -> None:
        self.found = found
        self.rootless = rootless
        self.at = at

    @property
    def works(self) -> bool:
        """Whether containers of an image can run here, perhaps with limits."""
        return all(one.state != MISSING for one in self.found)

    @property
    def checks(self) -> list[Row]:
        """Rows: check, looked_at, found, state (ok, limited, missing), means, mends."""
        return [one.row for one in self.found]

    @property
    def verdict(self) -> str:
        who = "an ordinary user" if self.rootless else "root"
        if causes := [one.check for one in self.found if one.is_a_cause]:
            return f"containers cannot work here as {who}, because of: {', '.join(causes)}"
        limited = sum(one.state == LIMITED for one in self.found)
        return f"containers work here as {who}: {len(self.found)} checks" + (
            f", {limited} with limits" if limited else ""
        )

    def to_pandas(self) -> pandas.DataFrame:
        """A row a check; `state` is an ordered category: ok, limited, missing."""
        import pandas

        frame = pandas.DataFrame(self.checks, columns=list(Finding._fields))
        frame["state"] = pandas.Categorical(frame["state"], categories=[OK, LIMITED, MISSING], ordered=True)
        return frame

    def document(self) -> dict[str, Any]:
        return {"works": self.works, "rootless": self.rootless, "at": self.at, "checks": self.checks}

    def text(self) -> str:
        """A line a check, and what to do below those that are not ok."""
        return "\n".join([self.verdict, "", *map(_text, self.found), "", f"looked at {self._time}"])

    def html(self) -> str:
        rows = "".join(map(_html, self.found))
        colour = GREEN if self.works else RED
        return (
            f'<div {AS_IT_IS} style="font-size: 13px; max-width: 900px;">'
            f'<div><span style="color: {ink(colour)};" aria-hidden="true">● </span>'
            f'<b style="font-weight: 600;">{safe(self.verdict)}</b></div>'
            f'<table style="border-collapse: collapse; border: 0; margin: 6px 0;"><tbody>{rows}</tbody></table>'
            f'<div style="opacity: .75; font-size: 12px;">looked at {escape(self._time)}</div></div>'
        )

    @property
    def _time(self) -> str:
        return f"{self.at[:19].replace('T', ' ')} UTC"


def _text(one: Finding) -> str:
    """What is to be typed stays in one line, to be copied."""
    indent = " " * (_STATE + _CHECK)
    head = f"{one.state:<{_STATE}}{one.check:<{_CHECK}}"
    lines = textwrap.wrap(f"{head}{plain(one.found)} [{plain(one.looked_at)}]", _WIDTH, subsequent_indent=indent,
                          break_on_hyphens=False, break_long_words=False)  # fmt: skip
    if one.means:
        lines += textwrap.wrap(f"→ {plain(one.means)}", _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ")
    if one.mends:
        lines.append(f"{indent}→ {plain(one.mends)}")
    return "\n".join(lines)


def _html(one: Finding) -> str:
    sign, colour = _SIGNS[one.state]
    below = f"<div>→ {safe(one.means)}</div>" if one.means else ""
    if one.mends:
        below += f'<div style="font-family: {MONOSPACE}; font-size: 12px;">→ {safe(one.mends)}</div>'
    return (
        f'<tr style="background:none; border-top: 1px solid {BORDER};"><td style="{_CELL} white-space: nowrap;">'
        f'<span style="color: {ink(colour)};"><span aria-hidden="true">{sign} </span>{one.state}</span></td>'
        f'<td style="{_CELL} white-space: nowrap;">{safe(one.check)}</td>'
        f'<td style="{_CELL}">{safe(one.found)} <span style="opacity: .7;">[{safe(one.looked_at)}]</span>{below}</td></tr>'
    )


def of(engine: Engine) -> Diagnosis:
    """Quick, and nothing is left: an ordinary user's pause process goes again if it was made for this."""
    run = str(engine.run)
    needed = client.running() or not engine.rootless or pause.find(run) is not None
    try:
        return Diagnosis(findings.every(gather(engine)), rootless=engine.rootless, at=rfc3339(time.time_ns()))
    finally:
        if not needed:
            client.close()
            pause.end_if_unused(run)


def gather(engine: Engine) -> Facts:
    """What this process can read by itself, and what one of the launcher's tried."""
    refusal = _refused()
    tried = client.call(
        "nbcontainers.system.trial:everything", root=str(engine.root), rootless=engine.rootless, tried=not refusal
    )
    return {**_own(engine), **tried, "refusal": refusal, "hint": pause.hint()}


def _refused() -> str:
    """Why the launcher has no namespaces to work in; "" where it has."""
    try:
        client.call("os:getpid")
    except HostNotCapable as error:
        return error.message
    return ""


def _own(engine: Engine) -> Facts:
    """Of this very process: the launcher's are in a user namespace, where all looks better."""
    host = Host(rootless=engine.rootless)
    uid = os.geteuid()
    return {
        "rootless": engine.rootless,
        "root": str(engine.root),
        "python": os.path.realpath(client.interpreter()),
        "release": os.uname().release,
        "status": dict(line.split(":\t", 1) for line in _read("/proc/self/status").splitlines() if ":\t" in line),
        "place": places.find(os.environ),
        "outside": all(_inode(kind) in (number, 0) for kind, number in _FIRST.items()),
        "switches": {name: _read(path).strip() for name, path in _SWITCHES.items()},
        "raises_limits": host.raises_limits,
        "open_files": host.open_files,
        "login": pause.login(uid),
        "without_range": [path for path in ("/etc/subuid", "/etc/subgid") if not pause.subordinate(path, uid)],
        "helpers": [name for name in ("newuidmap", "newgidmap") if shutil.which(name)],
    }


def _inode(kind: str) -> int:
    """0 where the kernel has no such namespaces."""
    try:
        return os.stat(f"/proc/self/ns/{namespaces.FILES[kind]}").st_ino
    except FileNotFoundError:
        return 0


def _read(path: str) -> str:
    """Nothing for what this kernel does not have, or does not show."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
