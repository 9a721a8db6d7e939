"""What a cell shows of a container: who it is, how it ended, what it used against what it was allowed.

The same facts three ways: `Card.text()`, `Card.html()` (inline styles only, no script, no address; it reads in order
with every style stripped) and the two together as a MIME bundle. Colours are the front end's: text and background are
inherited, lines and bars are half transparent, so that light and dark need no switch.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nbcontainers.cgroups.stats import cpu_limit, oom_cause
from nbcontainers.container.failure import signal_name
from nbcontainers.container.shade import shade
from nbcontainers.container.sparkline import WIDTH
from nbcontainers.container.trend import Trend
from nbcontainers.table import (
    AMBER,
    AS_IT_IS,
    BLUE,
    BORDER,
    BOX,
    HEAD,
    MONOSPACE,
    RED,
    amount,
    duration,
    ink,
    plain,
    safe,
    stored,
)

_LONGEST_COMMAND = 100
_HEALTH = {"starting": "health not known yet"}
_NEARLY_FULL = 0.9
_SHORT = 0.1
"""Seconds below which a share of processors would say more of the start than of the program."""


class Meter(NamedTuple):
    """One measured thing: `value` in words, the `part` of its limit that was used (None without a limit), a remark."""

    label: str
    value: str
    part: float | None = None
    note: str = ""
    colour: str = BLUE


@dataclass(frozen=True)
class Card:
    """The facts of one container.

    `status` is Docker's word (created, running, paused, exited); `exit` is the record of exit.json and `usage` the
    one in it (for a running container: its figures so far); `limits` has the form of the runtime-spec's
    `linux.resources`. What this host could not measure is left out, not shown as zero.
    """

    id: str
    name: str
    image: str
    command: Sequence[str] = ()
    status: str = "exited"
    exit: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    wall_s: float | None = None
    started_at: object = None
    reached: Sequence[str] = ()
    """Addresses and published ports while it runs."""
    health: str = ""
    """`starting`, `healthy` or `unhealthy`; "" without a check."""
    policy: str = "no"
    """Of restarts: `no`, `on-failure:3`, `always`, `unless-stopped`."""
    restarts: int = 0
    """How often the policy started it again since somebody did."""
    links: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By a word of `reached` the addresses that open it in a browser."""
    trend: Trend | None = None
    taken: float | None = None
    """When it was looked at (seconds since the epoch), of one that will change."""

    @property
    def oom_killed(self) -> bool:
        return bool(self.exit.get("oom_killed"))

    @property
    def colour(self) -> str:
        """Of the state's dot."""
        return shade(self.status, self.exit.get("exit_code"), self.health)

    @property
    def verdict(self) -> str:
        """How it is or how it ended, in words."""
        code = self.exit.get("exit_code")
        if self.status == "restarting":
            return f"restarting after exit {code}"
        if self.status != "exited":
            return f"{self.status}, {_HEALTH.get(self.health, self.health)}" if self.health else self.status
        if self.oom_killed:
            return f"killed: out of memory (exit {code})"
        if number := self.exit.get("signal"):
            return f"ended by {signal_name(number)} (exit {code})"
        if self.exit.get("reason") == "error":
            return f"could not start (exit {code})"
        return "exited 0" if code == 0 else f"failed: exit {code}"

    @property
    def why(self) -> str:
        """What its end was due to, beyond what the verdict says."""
        if self.oom_killed:
            limit = self.usage.get("memory_limit")
            said = {"limit": f"its limit of {amount(limit)}" if limit else "its limit", "host": "the host"}
            cause = oom_cause(dict(self.usage))
            return f"{said[cause]} had no more memory" if cause else ""
        error = self.exit.get("error")
        message = error.get("message") if isinstance(error, Mapping) else error
        return str(message or "")

    @property
    def when(self) -> str:
        return "" if self.taken is None else time.strftime("as of %Y-%m-%d %H:%M:%S UTC", time.gmtime(self.taken))

    @property
    def elapsed(self) -> float | None:
        wall = self.exit.get("wall_s", self.wall_s)
        return wall if isinstance(wall, (int, float)) else None

    @property
    def line(self) -> str:
        """The command, cut where it grows too long."""
        line = shlex.join(map(str, self.command))
        return line if len(line) <= _LONGEST_COMMAND else line[: _LONGEST_COMMAND - 1] + "…"

    def meters(self) -> list[Meter]:
        """What was measured, in the order shown."""
        found = (self._memory(), self._cpu(), self._pids(), self._io(), self._network(), self._restarts())
        return [meter for meter in found if meter]

    def _memory(self) -> Meter | None:
        peak, limit = self.usage.get("memory_peak"), self.usage.get("memory_limit")
        if peak is None:
            return None
        kills, hits = self.usage.get("oom_kills"), self.usage.get("memory_limit_hits")
        note = _count(kills, "OOM kill") if kills else f"met its limit {_count(hits, 'time')}" if hits else ""
        if not limit:
            return Meter("memory", f"{amount(peak)} peak", note=note or "no limit")
        part = min(peak / limit, 1.0)
        colour = RED if kills else AMBER if part > _NEARLY_FULL else BLUE
        return Meter("memory", f"{amount(peak)} peak of {amount(limit)}", part, note, colour)

    def _cpu(self) -> Meter | None:
        used = self.usage.get("cpu_s")
        if used is None:
            return None
        notes = []
        user, system = self.usage.get("user_s"), self.usage.get("system_s")
        if user is not None and system is not None:
            notes.append(f"user {duration(user)}, system {duration(system)}")
        throttled = self.usage.get("throttled_s")
        if throttled:
            notes.append(f"throttled {duration(throttled)}")
        allowed, elapsed = cpu_limit(self.limits), self.elapsed
        if not elapsed or elapsed < _SHORT:
            return Meter("cpu time", duration(used), note=" · ".join(notes))
        busy = used / elapsed
        share = f"{busy:.2g} of {_count(allowed, 'CPU')}" if allowed else f"{busy:.2g} CPUs"
        part = min(busy / allowed, 1.0) if allowed else None
        return Meter("cpu time", f"{duration(used)}, {share}", part, " · ".join(notes), AMBER if throttled else BLUE)

    def _pids(self) -> Meter | None:
        peak, limit = self.usage.get("pids_peak"), self.usage.get("pids_limit")
        if peak is None:
            return None
        if not limit:
            return Meter("processes", f"{peak} peak", note="no limit")
        part = min(peak / limit, 1.0)
        return Meter("processes", f"{peak} peak of {limit}", part, colour=RED if part == 1 else BLUE)

    def _io(self) -> Meter | None:
        read, written = self.usage.get("io_read_bytes"), self.usage.get("io_write_bytes")
        if read is None or written is None:
            return None
        return Meter("disk", f"{amount(read)} read, {amount(written)} written")

    def _network(self) -> Meter | None:
        received, sent = self.usage.get("net_rx_bytes"), self.usage.get("net_tx_bytes")
        if not received and not sent:
            return None
        return Meter("traffic", f"{amount(received or 0, stored)} received, {amount(sent or 0, stored)} sent")

    def _restarts(self) -> Meter | None:
        if self.policy == "no":
            return None
        return Meter("restarts", str(self.restarts), note=f"policy {self.policy}")

    def in_force(self) -> list[str]:
        """The limits the kernel confirmed, as options."""
        return list(_options(self.limits))

    def text(self) -> str:
        """A few lines for a terminal."""
        wall = f" after {duration(self.elapsed)}" if self.elapsed is not None else ""
        head = f"{self.name}  {self.id[:12]}  {self.image}  {self.verdict}{wall if self.status == 'exited' else ''}"
        if self.status != "exited" and self.elapsed is not None:
            head += f" for {duration(self.elapsed)}"
        lines = [head, *([f"  $ {self.line}"] if self.line else []), *([f"  {self.why}"] if self.why else [])]
        for meter in self.meters():
            note = f" ({meter.note})" if meter.note else ""
            lines.append(f"  {meter.label:<10} {_bar(meter.part)}{meter.value}{note}")
        lines += self._trend_text()
        if self.reached:
            words = (" ".join([word, *self.links.get(word, ())]) for word in self.reached)
            lines.append(f"  {'network':<10} {'  '.join(words)}")
        if limits := self.in_force():
            lines.append(f"  {'limits':<10} {'  '.join(limits)}")
        return "\n".join(map(plain, [*lines, *([f"  {self.when}"] if self.when else [])]))

    def _trend_text(self) -> list[str]:
        sparks = self.trend.sparks() if self.trend else []
        window = self.trend.window if self.trend else ""
        heads = [window, *[""] * len(sparks)]
        return [
            f"  {head:<10} {one.label:<7} {one.text}  {one.words}" for head, one in zip(heads, sparks, strict=False)
        ]

    def html(self) -> str:
        rows = "".join(_row(meter) for meter in self.meters())
        table = f'<table style="{_TABLE}"><tbody>{rows}</tbody></table>' if rows else ""
        inner = f"{self._head()}{self._command()}{self._why()}{table}{self._trend()}{self._feet()}"
        return f'<div {AS_IT_IS} style="{BOX}">{inner}</div>'

    def _why(self) -> str:
        return f'<div style="font-size: 12px; margin-bottom: 4px;">{safe(self.why)}</div>' if self.why else ""

    def _trend(self) -> str:
        sparks = self.trend.sparks() if self.trend else []
        if not sparks or not self.trend:
            return ""
        parts = "".join(
            f'<div style="width: {WIDTH}px;"><div style="font-size: 12px;"><b style="font-weight: 600;">{one.label}</b> '
            f'<span style="opacity: .7;">{safe(one.words)}</span></div>{one.svg}</div> '
            for one in sparks
        )
        window = f'<div style="font-size: 12px; opacity: .7; width: 100%;">{safe(self.trend.window)} </div>'
        return f'<div style="{_TREND}">{window}{parts}</div>'

    def _head(self) -> str:
        elapsed = "" if self.elapsed is None else f" · {duration(self.elapsed)}"
        return (
            f'<div style="{HEAD}">'
            f'<span style="color: {self.colour}; font-size: 15px;" aria-hidden="true">●</span> '
            f'<b style="font-weight: 600;">{safe(self.name)}</b> '
            f'<code style="{_CODE} opacity: .7;">{safe(self.id[:12])}</code> '
            f'<span style="opacity: .7;">{safe(self.image)}</span> '
            f'<span style="{_VERDICT}"><b style="font-weight: 600; color: {ink(self.colour)};">{safe(self.verdict)}</b>'
            f"{safe(elapsed)}</span></div>"
        )

    def _command(self) -> str:
        if not self.line:
            return ""
        return f'<div style="{_COMMAND}"><span style="opacity: .7;">$ </span>{safe(self.line)}</div>'

    def _feet(self) -> str:
        reached = " ".join(_chip(word) + "".join(map(_link, self.links.get(word, ()))) for word in self.reached)
        limits = " ".join(map(_chip, self.in_force()))
        when = f'<div style="font-size: 12px; opacity: .7;">{safe(self.when)}</div>' if self.when else ""
        return _foot("reached at", reached) + _foot("limits in force", limits) + when


_VERDICT = "margin-left: auto; padding-left: 20px;"
_CODE = f"font-family: {MONOSPACE}; font-size: 12px; background: none; color: inherit;"
_CHIP = f"border: 1px solid {BORDER}; border-radius: 4px; padding: 0 5px; white-space: nowrap;"
_COMMAND = (
    f"font-family: {MONOSPACE}; font-size: 12px; margin: 3px 0 6px; white-space: pre-wrap; overflow-wrap: anywhere;"
)
_FOOT = f"margin-top: 6px; padding-top: 6px; border-top: 1px solid {BORDER}; font-size: 12px; line-height: 1.9;"
_TREND = "display: flex; flex-wrap: wrap; column-gap: 18px; row-gap: 4px; align-items: end; margin-top: 6px;"
_LINK = (
    f"color: {ink('var(--jp-content-link-color, var(--vscode-textLink-foreground, #4493f8))')}; white-space: nowrap;"
)
_TABLE = "border-collapse: collapse; border: 0; margin: 0; font-size: 13px; color: inherit;"
_TRACK = "width: 110px; height: 6px; border-radius: 3px; overflow: hidden; background: rgba(128, 128, 128, .28);"


def _row(meter: Meter) -> str:
    cell = "padding: 1px 14px 1px 0; border: 0; text-align: left; vertical-align: middle; background: none;"
    note = f' <span style="opacity: .7;">· {safe(meter.note)}</span>' if meter.note else ""
    return (
        f'<tr style="background: none;"><td style="{cell} opacity: .7; white-space: nowrap;">{meter.label}</td>'
        f'<td style="{cell}">{_html_bar(meter)}</td>'
        f'<td style="{cell} font-variant-numeric: tabular-nums;">{safe(meter.value)}{note}</td></tr>'
    )


def _chip(word: str) -> str:
    return f'<code style="{_CODE} {_CHIP}">{safe(word)}</code>'


def _link(address: str) -> str:
    return f' <a href="{safe(address)}" target="_blank" rel="noopener" style="{_LINK}">{safe(address)}</a>'


def _foot(label: str, chips: str) -> str:
    return f'<div style="{_FOOT}"><span style="opacity: .7;">{label} </span>{chips}</div>' if chips else ""


def _html_bar(meter: Meter) -> str:
    if meter.part is None:
        return f'<div style="{_TRACK} background: none;"></div>'
    fill = f"width: {max(meter.part, 0.01):.1%}; height: 6px; background: {meter.colour};"
    return f'<div style="{_TRACK}" title="{meter.part:.0%}"><div style="{fill}"></div></div>'


def _bar(part: float | None, length: int = 12) -> str:
    if part is None:
        return ""
    full = round(part * length)
    return f"[{'#' * full}{'.' * (length - full)}] "


def _options(limits: Mapping[str, Any]) -> Iterator[str]:
    memory, cpu = limits.get("memory") or {}, limits.get("cpu") or {}
    for key, option in (("limit", "memory"), ("swap", "memory-swap"), ("reservation", "memory-reservation")):
        if (memory.get(key) or -1) >= 0:
            yield f"{option} {amount(memory[key])}"
    if (cpus := cpu_limit(limits)) is not None:
        yield f"cpus {cpus:g}"
    for key, option in (("shares", "cpu-shares"), ("cpus", "cpuset-cpus"), ("mems", "cpuset-mems")):
        if cpu.get(key):
            yield f"{option} {cpu[key]}"
    if ((limits.get("pids") or {}).get("limit") or -1) > 0:
        yield f"pids {limits['pids']['limit']}"
    for key, found in (limits.get("blockIO") or {}).items():
        for rate in found if isinstance(found, list) else ():
            unit = amount(rate["rate"]) if "Bps" in key else f"{rate['rate']} operations"
            yield f"{'write' if 'Write' in key else 'read'} {unit}/s of {rate['major']}:{rate['minor']}"


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'s' if number != 1 else ''}"
