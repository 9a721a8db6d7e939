"""What containers have written: one JSON line a record, `{"log", "stream", "time"}`, in the `log` of each folder."""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from nbcontainers import option as typed
from nbcontainers.container import logfile, logview, store
from nbcontainers.container.container import ENDED, Container
from nbcontainers.container.logindex import Index, parsed
from nbcontainers.container.options import bad
from nbcontainers.container.pattern import Pattern
from nbcontainers.container.session import Sink, to_sys
from nbcontainers.errors import InvalidArgument, InvalidState
from nbcontainers.view import Bundle, View, bundle

if TYPE_CHECKING:
    import pandas

    from nbcontainers.container.options import LogOptions

_IN_MEMORY = 4 << 20
"""Bytes of a log that is read at once; a longer one stays on the disk."""
_SOON_COUNTED = 32 << 20
"""Bytes in which lines are counted in a few hundredths of a second."""
_PAUSE_S = 0.1
_PIECE = 1 << 16
Line = dict[str, str]


class Choice(NamedTuple):
    """Which records are wanted. Times are RFC 3339 texts in UTC, which compare as texts; "" is no bound."""

    tail: int | None = None
    since: str = ""
    until: str = ""
    timestamps: bool = False
    names: bool = False
    stream: str = ""
    pattern: Pattern | None = None

    @classmethod
    def parse(cls, options: LogOptions) -> Self:
        """From Docker's words. Raises InvalidArgument."""
        tail = options.get("tail", "all")
        if tail != "all" and not str(tail).isdecimal():
            raise InvalidArgument(
                f"--tail: {tail!r} is no number of lines", hint="write a number, or all", option="tail"
            )
        since, until = (moment(options.get(name, ""), name) for name in ("since", "until"))
        show = bool(options.get("timestamps")), bool(options.get("names"))
        stream = options.get("stream", "")
        if stream not in ("", "stdout", "stderr"):
            raise InvalidArgument(f"--stream: {stream!r} is no stream", hint="write stdout or stderr", option="stream")
        return cls(None if tail == "all" else int(tail), since, until, *show, stream, _pattern(options))

    def wants(self, line: Line) -> bool:
        """But for the pattern."""
        within = (not self.since or line["time"] >= self.since) and (not self.until or line["time"] < self.until)
        return within and self.stream in ("", line["stream"])

    @property
    def reach(self) -> int | None:
        """How many lines from the end hold all that is wanted; None if only the whole log does."""
        return None if self.until or self.stream or self.pattern else self.tail

    @property
    def filters(self) -> bool:
        """Whether lines are left out, but for a tail."""
        return bool(self.since or self.until or self.stream or self.pattern)

    @property
    def over(self) -> bool:
        """Whether nothing that comes now is wanted any more."""
        return bool(self.until) and moment(str(time.time()), "until") >= self.until


def _pattern(options: LogOptions) -> Pattern | None:
    fixed, ignore_case = bool(options.get("fixed_strings")), bool(options.get("ignore_case"))
    if text := options.get("grep", ""):
        return Pattern(text, fixed=fixed, ignore_case=ignore_case)
    if fixed or ignore_case:
        name = "--fixed-strings" if fixed else "--ignore-case"
        raise InvalidArgument(f"{name}: there is nothing to search for", hint="add --grep PATTERN", option="grep")
    return None


def moment(text: Any, option: str) -> str:
    """What `option.moment` reads as text in UTC, cut to what log records have."""
    text = str(text)
    if not text:
        return ""
    try:
        return typed.moment(text).strftime("%Y-%m-%dT%H:%M:%S.%f")
    except ValueError as error:
        raise bad(option, str(error)) from None


class Records(Sequence[bytes]):
    """Those of a log that stays on the disk, as long as this lives: also when it is rotated, or its container removed.
    They are counted when somebody asks: all that is in a log now must be read for that."""

    def __init__(self, index: Index) -> None:
        self.numbered = index
        self.sizes = index.sizes()
        self.head, self.tail = index.edges(logview.HEAD, logview.TAIL)

    @cached_property
    def numbers(self) -> range:
        """Of all records, in the index."""
        end = self.numbered.count(self.sizes)
        return range(self.numbered.first, end)

    @property
    def roughly(self) -> int | None:
        """How many there are but for head and tail, to two digits; None where they may as well be counted."""
        ends, size = [*self.head, *self.tail], sum(self.sizes)
        known = sum(map(len, ends))
        if "numbers" in vars(self) or size < _SOON_COUNTED or known >= size:
            return None
        return round(float(f"{(size - known) * len(ends) / known:.2g}"))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            wanted = self.numbers[at]
            if wanted.step == 1:
                return list(self.numbered.records(wanted.start, wanted.stop))
            every = list(self)
            return [every[number - self.numbers.start] for number in wanted]
        number = self.numbers[at]
        return next(self.numbered.records(number, number + 1))

    def __iter__(self) -> Iterator[bytes]:
        return self.numbered.records(self.numbers.start, self.numbers.stop)


class Log(View, Sequence[Line]):
    """The records of a log; `str` is what the container wrote. Kept as they are on the disk: a million fit.

    `names` says of several containers whose record each is; `whole` says by id and name whose log this is, but for its tail.
    """

    def __init__(
        self, records: Sequence[bytes], names: Sequence[str] = (), *, timestamps: bool = False,
        whole: tuple[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.records = records
        self.names = names
        self.timestamps = timestamps
        self.whole = whole

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Log(self.records[index], self.names[index], timestamps=self.timestamps)
        line: Line = parsed(self.records[index]) or {"log": "", "stream": "", "time": ""}
        return {**line, "container": self.names[index]} if self.names else line

    def __iter__(self) -> Iterator[Line]:
        """Damaged records, which only a log that stays on the disk has, are left out."""
        for record, name in zip(self.records, self.names or repeat(""), strict=False):
            if line := parsed(record):
                yield {**line, "container": name} if self.names else line

    @property
    def stdout(self) -> str:
        return "".join(line["log"] for line in self if line["stream"] == "stdout")

    @property
    def stderr(self) -> str:
        return "".join(line["log"] for line in self if line["stream"] == "stderr")

    def __str__(self) -> str:
        return "".join(shown(line, timestamps=self.timestamps) for line in self).removesuffix("\n")

    def ends(self) -> tuple[Log, Log, int] | None:
        """The beginning and the end of a very long one, and about how many records are between; None of others."""
        records = self.records
        if not isinstance(records, Records) or (between := records.roughly) is None:
            return None
        first, last = (Log(some, timestamps=self.timestamps) for some in (records.head, records.tail))
        return first, last, between

    def text(self) -> str:
        """The beginning and the end of a long one: all of it would make a notebook unusable."""
        return logview.look(self).text()

    def html(self) -> str:
        return logview.look(self).html()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        return bundle(self, lambda: logview.look(self))

    def _live_(self) -> tuple[str, dict[str, Any]] | None:
        """In a page it goes on by id, and by name once another has taken that one's place."""
        return ("logs", dict(zip(("container", "name"), self.whole, strict=True))) if self.whole else None

    def __contains__(self, text: object) -> bool:
        return str(text) in str(self)

    def to_pandas(self) -> pandas.DataFrame:
        """Columns `time` (datetime, UTC), `stream` (stdout, stderr) and `log`, the line without its end; of several
        containers also `container`."""
        import pandas

        columns = ["time", *(["container"] if self.names else []), "stream", "log"]
        frame = pandas.DataFrame(([line[name] for name in columns] for line in self), columns=columns)
        frame["time"] = pandas.to_datetime(frame["time"], utc=True)
        frame["log"] = frame["log"].astype("str").str.removesuffix("\n")
        frame["stream"] = frame["stream"].astype("str")
        return frame


def shown(line: Line, *, timestamps: bool) -> str:
    when, whose = f"{line['time']} " if timestamps else "", f"{line['container']} | " if "container" in line else ""
    return f"{whose}{when}{line['log']}"


def logs(containers: Sequence[Container], options: LogOptions, sinks: Sinks | None) -> Log | None:
    """The log of one or several containers; with `sinks` it is written there, and with --follow what comes, too."""
    choice = Choice.parse(options)
    for one in containers:
        _check_kept(one)
    if choice.names or len(containers) > 1:
        choice = choice._replace(names=True)
    if sinks is None:
        return read_all(containers, choice)
    if options.get("follow"):
        follow(containers, choice, sinks)
    else:
        sinks.write(_records(containers, choice), choice)
    return None


def _check_kept(container: Container) -> None:
    """Raises InvalidState where nothing of what it writes is kept."""
    record = container.record
    if (record.get("log") or {}).get("driver") == "none":
        hint = f"container attach {record['name']} shows what it writes from now on"
        raise InvalidState(f"container {record['name']} has no log: it was made with --log-driver none", hint=hint)


def read(container: Container, choice: Choice) -> Log:
    """What one container has written so far."""
    return read_all([container], choice)


def read_all(containers: Sequence[Container], choice: Choice) -> Log:
    """What containers have written so far, in the order of time."""
    alone = containers[0] if len(containers) == 1 and not choice.names and not choice.filters else None
    whole = (alone.id, alone.name) if alone and not alone.kept else None
    if alone and choice.tail is None and (records := _on_disk(alone)) is not None:
        return Log(records, timestamps=choice.timestamps, whole=whole)
    found = list(_records(containers, choice))
    names = [name for _, name in found] if choice.names else ()
    return Log([record for record, _ in found], names, timestamps=choice.timestamps, whole=whole)


def _on_disk(container: Container) -> Records | None:
    """A long log; None for one that may as well be read."""
    index = Index.of(container, counted=False)
    if sum(index.sizes()) > _IN_MEMORY:
        return Records(index)
    index.close()
    return None


def _records(containers: Sequence[Container], choice: Choice) -> Iterable[tuple[bytes, str]]:
    """(record, name of its container), in the order of time."""
    return _merged([(wanted(_lines(one, choice), choice), one.name if choice.names else "") for one in containers])


def _merged(several: Sequence[tuple[Iterable[bytes], str]]) -> Iterable[tuple[bytes, str]]:
    named = [zip(records, repeat(name)) for records, name in several]
    return named[0] if len(named) == 1 else heapq.merge(*named, key=lambda pair: json.loads(pair[0])["time"])


def _lines(container: Container, choice: Choice) -> Iterable[bytes]:
    if container.kept:
        return container.kept.log[: container.kept.log.rfind(b"\n") + 1].splitlines(keepends=True)
    path = f"{store.folder(container.engine, container.id)}/log"
    store.read(container.engine, container.id, "container.json")  # NotFound, if there will be no file for that reason
    return logfile.lines(path) if choice.reach is None else logfile.last(path, choice.reach)


def wanted(records: Iterable[bytes], choice: Choice) -> Iterable[bytes]:
    """Those of `records` that were chosen."""
    found = _within(records, choice)
    if choice.tail is None:
        return found
    every = list(found)
    return every[len(every) - _tail_length(every, choice.tail) :]


def _within(records: Iterable[bytes], choice: Choice) -> Iterator[bytes]:
    """Without those that a killed monitor cut."""
    if choice.pattern:
        return _found(records, choice, choice.pattern)
    return (record for record in records if (line := parsed(record)) and choice.wants(line))


def _found(records: Iterable[bytes], choice: Choice, pattern: Pattern) -> Iterator[bytes]:
    """Those that the pattern is in, searched for in pieces."""
    piece: list[tuple[bytes, str]] = []
    size = 0
    for record in records:
        if pattern.may_match(record) and (line := parsed(record)) and choice.wants(line):
            piece.append((record, line["log"].removesuffix("\n")))
            size += len(record)
        if size > _PIECE:
            yield from _searched(piece, pattern)
            piece, size = [], 0
    yield from _searched(piece, pattern)


def _searched(piece: Sequence[tuple[bytes, str]], pattern: Pattern) -> Iterator[bytes]:
    return (piece[place][0] for place in pattern.among([text for _, text in piece]))


def _tail_length(records: Sequence[bytes], count: int) -> int:
    """How many records make the last `count` lines: a record without a line end goes on in the next."""
    taken = found = 0
    for record in reversed(records):
        if json.loads(record)["log"].endswith("\n") or not taken:
            found += 1
        if found > count:
            break
        taken += 1
    return taken


class Sinks:
    """Where a log is written out to, in pieces: a call for each of a million lines would take its time."""

    def __init__(self, stdout: Sink | None, stderr: Sink | None, tick: Callable[[], object] | None = None) -> None:
        self.sinks = {"stdout": stdout or to_sys("stdout"), "stderr": stderr or to_sys("stderr")}
        self.tick = tick
        self.stream, self.size = "stdout", 0
        self.waiting: list[str] = []

    def write(self, records: Iterable[tuple[bytes, str]], choice: Choice) -> None:
        for record, name in records:
            line: Line = json.loads(record)
            if line["stream"] != self.stream or self.size > _PIECE:
                self._empty()
                self.stream = line["stream"]
            text = shown({**line, "container": name} if choice.names else line, timestamps=choice.timestamps)
            self.waiting.append(text)
            self.size += len(text)
        self._empty()
        if self.tick:
            self.tick()

    def _empty(self) -> None:
        if text := "".join(self.waiting):
            self.sinks[self.stream](text.encode("utf-8", "surrogateescape"))
        self.waiting.clear()
        self.size = 0


def follow(containers: Sequence[Container], choice: Choice, sinks: Sinks) -> None:
    """Write the logs out, and what comes until every container has ended, or the time of --until is over."""
    names = {container: container.name if choice.names else "" for container in containers}
    tails = {one: logfile.Tail(f"{store.folder(one.engine, one.id)}/log") for one in containers if not one.kept}
    with ExitStack() as stack:
        for tail in tails.values():
            stack.enter_context(closing(tail))
        begun = [(tails[one].first(choice.reach) if one in tails else _lines(one, choice), one) for one in containers]
        sinks.write(_merged([(wanted(records, choice), names[one]) for records, one in begun]), choice)
        while tails and not choice.over:
            ended = [one for one in tails if one.removed or one.status in ENDED]  # asked before the last reading
            for container, tail in tails.items():
                records = _within(tail.read(), choice)
                sinks.write(((record, names[container]) for record in records), choice)
            for container in ended:
                del tails[container]
            if tails:
                time.sleep(_PAUSE_S)
