"""What `network topology` returns: the networks as a drawing, as a tree of words, and as frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from nbcontainers.engine import Engine
from nbcontainers.network import frames, layout, telling
from nbcontainers.network.facts import Facts, of
from nbcontainers.network.path import Path, trace
from nbcontainers.network.svg import svg
from nbcontainers.table import AS_IT_IS, BORDER, HEAD, MONOSPACE, Table, safe
from nbcontainers.view import View

if TYPE_CHECKING:
    import pandas

MOST_CONTAINERS, MOST_NETWORKS = 200, 40
"""So many are drawn and told, running ones first; the tables have all."""
LARGEST, _MOST_WORDS = 272_000, 20_000
"""Characters of picture and words in a cell, and of words below the picture."""

_BOX = f"margin: 4px 0; padding: 10px 14px; border: 1px solid {BORDER}; border-radius: 6px; font-size: 13px; line-height: 1.5;"
_PICTURE = "overflow: auto; max-height: 880px; margin-top: 4px;"
_WORDS = f"font-family: {MONOSPACE}; font-size: 11.5px; line-height: 1.45; overflow: auto; max-height: 420px; margin: 4px 0 0; background: none; white-space: pre;"
_SUMMARY = "cursor: pointer; opacity: .75; font-size: 12px;"


class Topology(View):
    """The networks of one moment, and how to reach what is on them.

    `facts` is everything that was read; `path` is the way to one published port, if one was asked for. `links`, `ports`
    and `interfaces` are tables, and `to_pandas()` is the first as a DataFrame.
    """

    def __init__(self, facts: Facts, names: Sequence[str] = (), port: str = "") -> None:
        self.facts = facts
        self.names = list(names)
        self.port = port
        self.path: Path | None = trace(facts, port) if port else None

    @cached_property
    def _drawn(self) -> tuple[Facts, str, str]:
        """What is shown, its picture and its words: of as many containers as fit into a cell."""
        found: tuple[Facts, str, str] | None = None
        for most in (MOST_CONTAINERS, 100, 50, 25):
            shown = self._first(most)
            found = shown, self._picture(shown), telling.text(shown)
            if len(found[1]) + len(found[2]) + min(len(found[2]), _MOST_WORDS) <= LARGEST:
                break
        assert found
        return found

    @property
    def shown(self) -> Facts:
        """The part of the facts that is drawn and told."""
        return self._drawn[0]

    @property
    def picture(self) -> str:
        """The drawing alone, as SVG."""
        return self._drawn[1]

    @property
    def words(self) -> str:
        """The tree alone."""
        return self._drawn[2]

    def _first(self, most: int) -> Facts:
        """What is drawn and told: so many containers, that which a way leads to among them."""
        facts = self.facts
        ahead = [one for one in facts.containers if self.path and one.id == self.path.container.id]
        chosen = [*ahead, *(one for one in facts.containers if one not in ahead)][:most]
        return replace(facts, containers=tuple(chosen), networks=tuple(facts.networks[:MOST_NETWORKS]))

    @property
    def left(self) -> str:
        """What is not shown, in words; "" where everything is."""
        containers = len(self.facts.containers) - len(self.shown.containers)
        networks = len(self.facts.networks) - len(self.shown.networks)
        found = [_count(number, noun) for number, noun in ((networks, "network"), (containers, "container")) if number]
        return f"… and {' and '.join(found)} more, which .links has" if found else ""

    @property
    def links(self) -> Table:
        return frames.links(self.facts)

    @property
    def ports(self) -> Table:
        return frames.ports(self.facts)

    @property
    def interfaces(self) -> Table:
        return frames.interfaces(self.facts)

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each network of each container: see `links`."""
        return self.links.to_pandas()

    def document(self) -> dict[str, Any]:
        """For `--format json`: the rows of the tables, and the hops of the way that was asked for."""
        tables = {"links": self.links.rows, "ports": self.ports.rows, "interfaces": self.interfaces.rows}
        way = {"path": [hop.words for hop in self.path.hops]} if self.path else {}
        return {"host": self.facts.name, "time": self.facts.time, **tables, **way}

    @property
    def heading(self) -> str:
        """`3 networks, 5 containers (4 run), 2 published ports`."""
        runs = sum(one.lives for one in self.facts.containers)
        ports = sum(port.count for one in self.facts.containers for port in one.ports)
        stopped = f" ({runs} run)" if runs < len(self.facts.containers) else ""
        words = (_count(len(self.facts.networks), "network"), _count(len(self.facts.containers), "container") + stopped)
        return ", ".join([*words, *([_count(ports, "published port")] if ports else [])])

    def text(self) -> str:
        """The way first, if one was asked for, then the tree."""
        way = [self.path.text()] if self.path else []
        return "\n".join([self.heading, *way, self.words, *([self.left] if self.left else [])])

    def _picture(self, shown: Facts) -> str:
        label = f"networks of {self.facts.name}: {self.heading}"
        return svg(layout.draw(shown), self.path.lit() if self.path else None, label)

    def html(self) -> str:
        head = (
            f'<div style="{HEAD}"><b style="font-weight: 600;">networks</b> '
            f'<span style="opacity: .75;">{safe(self.heading)} · on {safe(self.facts.name)} at '
            f"{safe(self.facts.time[:19])}Z</span></div>"
        ) + (f'<div style="opacity: .75; font-size: 12px;">{safe(self.left)}</div>' if self.left else "")
        return (
            f'<div {AS_IT_IS} style="{_BOX}">{head}{self._way()}<div style="{_PICTURE}" tabindex="0">{self.picture}</div>'
            f'<details style="margin-top: 4px;"><summary style="{_SUMMARY}">the same in words</summary>'
            f'<pre style="{_WORDS}">{escape(_cut(self.words))}</pre></details></div>'
        )

    def _way(self) -> str:
        if self.path is None:
            return ""
        steps = "".join(f"<li>{safe(hop.words)}</li>\n" for hop in self.path.hops)
        title = f'<div style="margin-top: 6px; font-weight: 600;">{safe(self.path.title)}</div>'
        return f'{title}<ol style="margin: 2px 0 6px; padding-left: 26px;">{steps}</ol>'

    def _live_(self) -> tuple[str, dict[str, Any]]:
        return "topology", {"networks": self.names, "port": self.port}


def read(engine: Engine, names: Sequence[str], port: str = "") -> Topology:
    """As everything is now. Raises NotFound for a network or a port that is not there."""
    return Topology(facts(engine, names), names, port)


def facts(engine: Engine, names: Sequence[str]) -> Facts:
    """Read in one process of the launcher."""
    from nbcontainers.launcher import client

    root, run = str(engine.root), str(engine.run)
    return of(client.call("nbcontainers.network.survey:survey", root=root, run=run, names=list(names)))


def _cut(words: str) -> str:
    """Below a picture that says the same; whole in the text."""
    if len(words) <= _MOST_WORDS:
        return words
    return words[:_MOST_WORDS].rpartition("\n")[0] + "\n… .text() has it all"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
