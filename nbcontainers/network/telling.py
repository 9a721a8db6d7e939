"""A topology as an indented tree: every fact of the drawing, and the networks' own order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nbcontainers.network import wording
from nbcontainers.network.facts import Container, Endpoint, Facts, Group
from nbcontainers.table import plain

_WIDEST = 150
_KINDS = ("bridge", "host", "macvlan", "none", "lost")


class Branch(NamedTuple):
    """A line and what hangs on it."""

    words: Sequence[str]
    below: Sequence[Branch] = ()


def text(facts: Facts) -> str:
    """The whole tree."""
    root = Branch([f"host {facts.name}", f"at {facts.time[:19]}Z"], list(_host(facts)))
    return "\n".join(_lines(root))


def _lines(branch: Branch, first: str = "", rest: str = "") -> Iterator[str]:
    """A branch, its facts in lines that a terminal can show, and what hangs on it."""
    below = list(branch.below)
    lines = _wrapped([plain(word) for word in branch.words], _WIDEST - len(first))
    yield first + lines[0]
    yield from (f"{rest}{'│  ' if below else '   '}{line}" for line in lines[1:])
    for number, one in enumerate(below, 1):
        last = number == len(below)
        yield from _lines(one, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _wrapped(words: Sequence[str], room: int) -> list[str]:
    found = [words[0]]
    for word in words[1:]:
        longer = f"{found[-1]} · {word}"
        if len(longer) <= room:
            found[-1] = longer
        else:
            found.append(word)
    return found


def _host(facts: Facts) -> Iterator[Branch]:
    for one in facts.interfaces:
        yield Branch(wording.interface(one, facts.plugged.get(one.number, 0)))
    groups: dict[str, list[Branch]] = {kind: [] for kind in _KINDS}
    for group in facts.groups():
        groups[group.kind].append(_group(group, facts))
    if facts.user:
        inner = [Branch(wording.interface(one)) for one in facts.user.interfaces]
        yield Branch(wording.user_host(facts.user), [*inner, *groups.pop("bridge")])
    for several in groups.values():
        yield from several
    if apart := wording.isolation(facts.networks):
        yield Branch([apart])


def _group(one: Group, facts: Facts) -> Branch:
    visitors = [
        Branch([f"{other.name}, which is at {facts.home(other)}", *_short(end)]) for other, end in one.visitors
    ]  # fmt: skip
    words = wording.network(one.network) if one.network else [wording.ALONE[one.kind]]
    return Branch(words, [*(_container(other, facts) for other in one.homes), *visitors])


def _short(end: Endpoint) -> list[str]:
    """By which interface; everything else is told where the container is."""
    return [f"by {end.interface.name}", *end.addresses] if end.interface else ["not plugged in"]


def _container(one: Container, facts: Facts) -> Branch:
    ends = [Branch(wording.endpoint(end)) for end in one.endpoints]
    ports = [
        Branch([f"port {head}", *rest])
        for head, *rest in (wording.port(port, user=bool(facts.user)) for port in one.ports)
    ]
    lodgers = [_container(other, facts) for other in facts.sharing(one.id)]
    words = wording.container(one, facts)
    if len(ends) == 1:  # with one network it is a line
        return Branch([*words, *ends[0].words], [*ports, *lodgers])
    return Branch(words, [*ends, *ports, *lodgers])
