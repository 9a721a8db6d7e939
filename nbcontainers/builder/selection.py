"""Which files the sources of COPY and ADD mean: wildcards, links on the way, --exclude, --parents, .dockerignore.

Paths are relative to the root they are looked for in, and never leave it: `..` and links end there. A source that is
itself a link stands for what it points at; links inside a folder are copied as links (Dockerfile reference, «COPY»).
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches

from nbcontainers.dockerfile import pattern
from nbcontainers.dockerfile.ignore import Ignore, clean, read_line
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.linux import inroot

_MOST_LINKS = 40


@dataclass(frozen=True)
class Match:
    """One thing to copy: `path` where it is, `name` what it is called there where it goes, and whether it is a folder.

    `members` are the paths below a folder, relative to it, folders before what is in them. `above` (--parents): the
    folders on the way, with where they are.
    """

    path: str
    name: str
    is_folder: bool
    members: tuple[str, ...] = ()
    above: tuple[tuple[str, str], ...] = ()


@dataclass
class Root:
    """A folder seen from inside, without what is ignored."""

    path: str
    ignore: Ignore | None = None
    _states: dict[str, int] = field(default_factory=dict)
    _folder: int = -1

    def full(self, path: str) -> str:
        return f"{self.path}/{path}" if path else self.path

    def open(self, path: str) -> int:
        """A file of ours to read, whatever somebody makes of the folders on the way meanwhile (openat2(2))."""
        if self._folder < 0:
            self._folder = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return inroot.openat2(self._folder, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)

    def close(self) -> None:
        """Of what `open` needed."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def lstat(self, path: str) -> os.stat_result | None:
        """Of a path without links on the way; None for what is not there, or stays outside."""
        try:
            facts = os.lstat(self.full(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if self._outside(path, stat.S_ISDIR(facts.st_mode)) else facts

    def names(self, path: str) -> list[str]:
        """What is in a folder, sorted."""
        return [name for name, _ in self._entries(path)]

    def _entries(self, path: str) -> list[tuple[str, bool]]:
        """The names in a folder, sorted, and which are folders. One that has just gone is empty: its reader tells of it."""
        try:
            with os.scandir(self.full(path)) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(one for one in found if not self._outside(_below(path, one[0]), one[1]))

    def resolve(self, path: str, *, last: bool = True) -> str | None:
        """The path with its links followed inside the root (the last one too if `last`); None if it leads nowhere."""
        left = [part for part in path.split("/") if part not in ("", ".")][::-1]
        here: list[str] = []
        links = 0
        while left:
            part = left.pop()
            if part == "..":
                here[-1:] = []
                continue
            facts = self.lstat("/".join([*here, part]))
            if facts is None:
                return None
            if stat.S_ISLNK(facts.st_mode) and (left or last):
                links += 1
                target = os.readlink(self.full("/".join([*here, part])))
                here = [] if target.startswith("/") else here
                left += [one for one in target.split("/") if one not in ("", ".")][::-1]
                if links > _MOST_LINKS:
                    return None
            elif left and not stat.S_ISDIR(facts.st_mode):
                return None
            else:
                here.append(part)
        return "/".join(here)

    def below(self, path: str, exclude: Ignore | None = None) -> Iterator[str]:
        """Everything in a folder, relative to it, folders first, by name."""
        todo = [(name, is_folder, 0) for name, is_folder in self._entries(path)[::-1]]
        while todo:
            name, is_folder, above = todo.pop()
            state = exclude.state(name, above) if exclude else 0
            is_out = exclude is not None and exclude.excludes(state)
            if is_out and not (is_folder and exclude and exclude.may_take_back(name)):
                continue
            if not is_out:
                yield name
            if is_folder:
                todo += [(f"{name}/{one}", is_one, state) for one, is_one in self._entries(_below(path, name))[::-1]]

    def _outside(self, path: str, is_folder: bool) -> bool:
        """An ignored folder is still a way to what `!` brings back."""
        if self.ignore is None or not path:
            return False
        if not self.ignore.excludes(self._state(path)):
            return False
        return not (is_folder and self.ignore.may_take_back(path) and self._entries(path))

    def _state(self, path: str) -> int:
        known = self._states.get(path)
        if known is None and self.ignore is not None:
            above = path.rpartition("/")[0]
            known = self.ignore.state(path, self._state(above) if above else 0)
            self._states[path] = known
        return known or 0


def _below(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def select(root: Root, source: str, *, exclude: Sequence[str] = (), parents: bool = False) -> list[Match]:
    """What one source means. NotFound, with what is near, for a plain path that is not there; [] for a wildcard."""
    pivot, text = _pivoted(source, parents)
    if pattern.is_wild(pivot) or "**" in pivot:
        return _below_each(root, source, pivot, exclude)
    pivot = pattern.literal(pivot)
    wild = pattern.is_wild(text) or (parents and "**" in text)
    rules = _rules(exclude)
    found = _matching(root, text, parents) if wild else [_plain(root, text, source)]
    matches = []
    for path in found:
        if wild and rules and rules.ignored(path):
            continue
        if match := _match(root, path, rules, pivot if parents else None):
            matches.append(match)
    return matches


def _below_each(root: Root, source: str, pivot: str, exclude: Sequence[str]) -> list[Match]:
    """Of a wildcard before `/./`: what is below each folder that it means."""
    rest, found = source.partition("/./")[2], []
    for folder in _matching(root, pivot, deep=True):
        with suppress(NotFound):
            found += select(root, f"/{pattern.escape(folder)}/./{rest}", exclude=exclude, parents=True)
    return found


def _pivoted(source: str, parents: bool) -> tuple[str, str]:
    """The part before `/./`, which --parents leaves out, and the path as a whole, without `..` or slashes around."""
    before, dot, _ = source.partition("/./") if parents else ("", "", "")
    text = clean(f"/{source}").strip("/")
    return (clean(f"/{before}").strip("/") if dot else ""), text


def _rules(exclude: Sequence[str]) -> Ignore | None:
    rules = [rule for text in exclude if (rule := read_line(text))]
    return Ignore(rules) if rules else None


def _plain(root: Root, text: str, source: str) -> str:
    path = pattern.literal(text)
    if root.resolve(path) is None:
        raise missing(root, path, source)
    return path


def missing(root: Root, path: str, source: str) -> NotFound:
    """The error for a source that is not there: names in the same folder that are close, or what there is."""
    above = posixpath.dirname(path)
    while above and root.resolve(above) is None:
        above = posixpath.dirname(above)
    folder = root.resolve(above)
    facts = root.lstat(folder) if folder is not None else None
    names = root.names(folder or "") if facts and stat.S_ISDIR(facts.st_mode) else []
    wanted = path[len(above) :].strip("/").partition("/")[0]
    close = get_close_matches(wanted, names, 3, 0.5)
    shown = ", ".join(_below(above, name) for name in (close or names)[:6])
    try:
        ignored = root.ignore is not None and os.path.lexists(root.full(path))
    except ValueError:
        ignored = False
    hint = f"did you mean {shown}?" if close else f"there is {shown or 'nothing'} in {above or 'its root'}"
    if ".." in source.split("/"):
        hint = f"nothing above the context can be copied: give a folder further up as CONTEXT; {hint}"
    if ignored:
        hint = ".dockerignore leaves it out: add a line with ! and its path there"
    return NotFound(f"{source!r} is not there", hint=hint)


def _matching(root: Root, text: str, deep: bool) -> list[str]:
    """Paths that match a pattern; with `deep`, `**` stands for any number of folders."""
    parts = text.split("/")
    fixed = 0
    while fixed < len(parts) - 1 and not re.search(r"[*?\[\\]", parts[fixed]):
        fixed += 1
    start = "/".join(parts[:fixed])
    if start and root.resolve(start) is None:
        return []
    return sorted(_walked(root, start, parts[fixed:], deep), key=lambda path: path.split("/"))


def _walked(root: Root, start: str, parts: list[str], deep: bool) -> set[str]:
    found: set[str] = set()
    todo = [(start, 0)]
    while todo:
        path, at = todo.pop()
        if at == len(parts):
            found.add(path)
            continue
        real = root.resolve(path)
        facts = root.lstat(real) if real is not None else None
        if real is None or facts is None or not stat.S_ISDIR(facts.st_mode):
            continue
        names = root.names(real)
        if deep and parts[at] == "**":
            todo.append((path, at + 1))
            todo += [(_below(path, name), at) for name in names if _is_folder(root, _below(real, name))]
            if at == len(parts) - 1:
                todo += [(_below(path, name), at + 1) for name in names]
            continue
        match = _compiled(parts[at])
        todo += [(_below(path, name), at + 1) for name in names if match(name)]
    return found - {""}


def _compiled(text: str) -> pattern.Match:
    try:
        return pattern.compile(text)
    except ValueError as error:
        raise InvalidArgument(str(error), hint=r"write \[ or \\ for one of these characters themselves") from None


def _is_folder(root: Root, path: str) -> bool:
    facts = root.lstat(path)
    return facts is not None and stat.S_ISDIR(facts.st_mode)


def _match(root: Root, path: str, rules: Ignore | None, pivot: str | None) -> Match | None:
    """One path, its links followed; None for what a dangling link of a wildcard leads to."""
    real = root.resolve(path)
    facts = root.lstat(real) if real is not None else None
    if real is None or facts is None:
        return None
    is_folder = stat.S_ISDIR(facts.st_mode)
    members = tuple(root.below(real, rules)) if is_folder else ()
    if pivot is None:
        return Match(real, posixpath.basename(path), is_folder, members)
    name = path[len(pivot) :].lstrip("/") if pivot and (path + "/").startswith(f"{pivot}/") else path
    start = path[: len(path) - len(name)].strip("/")
    parts = name.split("/")[:-1]
    steps = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    above = tuple((step, root.resolve(_below(start, step)) or "") for step in steps)
    return Match(real, name, is_folder, members, above)
