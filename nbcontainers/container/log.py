"""What a container wrote: one JSON line a record, `{"log", "stream", "time"}`, in its folder's `log`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.container.session import Sink, to_sys
from nbcontainers.errors import InvalidArgument

if TYPE_CHECKING:
    import pandas

_PAUSE = 0.1
Line = dict[str, str]


class Choice(NamedTuple):
    """Which records are wanted. Times are RFC 3339 texts in UTC, which compare as texts; "" is no bound."""

    tail: int | None = None
    since: str = ""
    until: str = ""
    timestamps: bool = False

    @classmethod
    def parse(cls, *, tail: int | str, since: str, until: str, timestamps: bool) -> Self:
        """From Docker's words. Raises InvalidArgument."""
        if tail != "all" and not str(tail).isdecimal():
            raise InvalidArgument(
                f"--tail: {tail!r} is no number of lines", hint="write a number, or all", option="tail"
            )
        last = None if tail == "all" else int(tail)
        return cls(last, moment(since, "since"), moment(until, "until"), timestamps)

    def wants(self, line: Line) -> bool:
        return (not self.since or line["time"] >= self.since) and (not self.until or line["time"] < self.until)


def moment(text: str, option: str) -> str:
    """`10m` (ago), Unix seconds or an RFC 3339 time as text in UTC, cut to what log records have."""
    if not text:
        return ""
    text = str(text)
    from datetime import UTC, datetime, timedelta

    from nbcontainers.option import duration

    try:
        if text.replace(".", "", 1).isdecimal():
            found = datetime.fromtimestamp(float(text), UTC)
        elif text[0].isdecimal() and text[-1] in "smh":
            found = datetime.now(UTC) - timedelta(seconds=duration(text))
        else:
            found = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidArgument(
            f"--{option}: {text!r} is no time", hint="write 10m, 2026-11-22T10:00:00Z or Unix seconds", option=option
        ) from None
    return found.strftime("%Y-%m-%dT%H:%M:%S.%f")


class Log(Sequence[Line]):
    """The records of a log; as text it is what the container wrote."""

    def __init__(self, lines: list[Line], *, timestamps: bool = False) -> None:
        self.lines = lines
        self.timestamps = timestamps

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: Any) -> Any:
        return Log(self.lines[index], timestamps=self.timestamps) if isinstance(index, slice) else self.lines[index]

    @property
    def stdout(self) -> str:
        return "".join(line["log"] for line in self.lines if line["stream"] == "stdout")

    @property
    def stderr(self) -> str:
        return "".join(line["log"] for line in self.lines if line["stream"] == "stderr")

    def __str__(self) -> str:
        return "".join(shown(line, timestamps=self.timestamps) for line in self.lines).removesuffix("\n")

    __repr__ = __str__

    def __contains__(self, text: object) -> bool:
        return str(text) in str(self)

    def to_pandas(self) -> pandas.DataFrame:
        """Columns `time` (datetime, UTC), `stream` (stdout, stderr) and `log`, the line without its end."""
        import pandas

        frame = pandas.DataFrame(self.lines, columns=["time", "stream", "log"])
        frame["time"] = pandas.to_datetime(frame["time"], utc=True)
        frame["log"] = frame["log"].str.removesuffix("\n")
        return frame


def shown(line: Line, *, timestamps: bool) -> str:
    return f"{line['time']} {line['log']}" if timestamps else line["log"]


def read(container: Container, choice: Choice) -> Log:
    """What was written so far."""
    return chosen(container.kept.log if container.kept else b"".join(_files(container)), choice)


def chosen(data: bytes, choice: Choice) -> Log:
    lines = [line for line in records(data) if choice.wants(line)]
    if choice.tail is not None:
        lines = lines[len(lines) - _tail_length(lines, choice.tail) :]
    return Log(lines, timestamps=choice.timestamps)


def _files(container: Container) -> Iterator[bytes]:
    """The log that was full, if there is one, and the present one."""
    path = f"{store.folder(container.engine, container.id)}/log"
    for name in (f"{path}.1", path):
        try:
            with open(name, "rb") as file:
                yield file.read()
        except FileNotFoundError:
            store.read(container.engine, container.id, "container.json")  # NotFound, if that is why


def records(data: bytes) -> Iterator[Line]:
    """The whole records in `data`; the end of one being written is left out."""
    for line in data[: data.rfind(b"\n") + 1].splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # cut by a killed monitor
            continue


def _tail_length(lines: list[Line], count: int) -> int:
    """How many records make the last `count` lines: a record without a line end goes on in the next."""
    taken = found = 0
    for line in reversed(lines):
        if line["log"].endswith("\n") or not taken:
            found += 1
        if found > count:
            break
        taken += 1
    return taken


class Sinks(NamedTuple):
    """Where a log is written out to."""

    stdout: Sink
    stderr: Sink
    tick: Callable[[], object] | None = None

    def write(self, lines: Sequence[Line], *, timestamps: bool) -> None:
        for line in lines:
            text = shown(line, timestamps=timestamps).encode("utf-8", "surrogateescape")
            (self.stderr if line["stream"] == "stderr" else self.stdout)(text)


def stream(
    container: Container,
    choice: Choice,
    stdout: Sink | None,
    stderr: Sink | None,
    tick: Callable[[], object] | None,
    *,
    follow: bool,
) -> None:
    """Write the log out, and with `follow` what comes until the container ends."""
    sinks = Sinks(stdout or to_sys("stdout"), stderr or to_sys("stderr"), tick)
    if not follow or container.kept:
        sinks.write(read(container, choice), timestamps=choice.timestamps)
        return
    tail = Tail(f"{store.folder(container.engine, container.id)}/log")
    sinks.write(chosen(tail.before() + tail.read(), choice), timestamps=choice.timestamps)
    ended = False
    while not ended:
        ended = container.removed or container.status in ("exited", "dead", "created")  # asked before the last reading
        lines = [line for line in records(tail.read()) if choice.wants(line)]
        sinks.write(lines, timestamps=choice.timestamps)
        if tick:
            tick()
        if not ended:
            time.sleep(_PAUSE)


class Tail:
    """The end of a growing log, also when it is full and a new one takes its place."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file: IO[bytes] | None = None
        self.left = b""

    def before(self) -> bytes:
        """The log that was full before this one."""
        try:
            with open(f"{self.path}.1", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def read(self) -> bytes:
        """The whole records that are new."""
        data = self.left + (self.file.read() if self.file else b"")
        try:
            status = os.stat(self.path)
            if self.file is None or status.st_ino != os.fstat(self.file.fileno()).st_ino:
                self.file = open(self.path, "rb")  # noqa: SIM115 - the old one is closed with its last reference
                data += self.file.read()
        except FileNotFoundError:
            pass
        end = data.rfind(b"\n") + 1
        self.left = data[end:]
        return data[:end]
