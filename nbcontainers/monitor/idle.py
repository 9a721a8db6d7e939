"""The sleeping monitor: waits until anything happens, then executes the whole program (see `settle`).

It runs compiled in a bare interpreter and imports nothing that is not built in, because every page counts: resident
memory is what an idle container costs. After each look around it gives back the pages of program text that it no
longer needs; they are clean and come back from the page cache by themselves.
"""

import _signal  # type: ignore[import-not-found]
import posix
import select
import time
from sys import byteorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

LOOK_MS = 10_000
BUSY = 0.01
_MADV_DONTNEED = 4


def main(arguments: "list[str]") -> "NoReturn":
    """`arguments`: descriptors; the file of the CPU time; its units a second; when to act (time.monotonic, or never),
    the seconds to the next time after that, how many words the command for it has, and those: none means that the
    whole program is to act; at last the command to become."""
    descriptors, cpu, unit, due, every, words, *rest = arguments
    check, wake = rest[: int(words)], rest[int(words) :]
    told: list[str] = []
    try:
        duty = Duty(float(due), float(every), check) if due else None
        wait([int(text) for text in descriptors.split(",") if text], cpu, int(unit), wake, duty, told)
    finally:  # whatever went wrong here, the whole program knows how to go on
        become(wake, *told)


class Duty:
    """What is to be done at times: `check` is a command for it; its exit status other than 0 wakes the monitor."""

    def __init__(self, due: float, every: float, check: "list[str]") -> None:
        self.due, self.every, self.check = due, every, check
        self.pid = self.pidfd = 0

    def start(self, poll: "select.poll") -> bool:
        """Start the check. False where there is none: then it is time to wake up."""
        if not self.check:
            return False
        self.pid = posix.posix_spawn("/proc/self/exe", self.check, posix.environ)
        self.pidfd = posix.pidfd_open(self.pid)
        poll.register(self.pidfd, select.POLLIN)
        return True

    def end(self, poll: "select.poll") -> bool:
        """After the check; False where it changed something."""
        poll.unregister(self.pidfd)
        posix.close(self.pidfd)
        _, status = posix.waitpid(self.pid, 0)
        self.pid, self.due = 0, time.monotonic() + self.every
        return not status

    def words(self) -> "list[str]":
        """What the whole program must know of it."""
        return [f"due={self.due}", f"check={self.pid}"]


def wait(
    descriptors: "list[int]", cpu: str, unit: int, wake: "list[str]", duty: "Duty | None", told: "list[str]"
) -> None:
    """Until one of `descriptors` has something, the container uses the processor again, or a duty wakes us."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, lambda *_: become(wake, *(duty.words() if duty else ()), "stop"))
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGTERM, _signal.SIGINT))
    forget = forgetting()
    before, used = time.monotonic(), cpu_time(cpu)
    first = True  # a look for the sake of what only the first one needs, such as the loader: a tenth of our pages
    while True:
        for call, function, where in forget:
            call(function, where)
        ready = [found[0] for found in poll.poll(0 if first else patience(duty))]
        if duty and duty.pid and ready == [duty.pidfd]:
            going = duty.end(poll)
        elif duty and not duty.pid and not ready and time.monotonic() >= duty.due:
            going = duty.start(poll)
        else:
            now, used_now = time.monotonic(), cpu_time(cpu)
            busy = not first and not (duty and duty.pid) and used_now - used > (now - before) * unit * BUSY
            going, first = not ready and not busy, False
        if not going:
            told += duty.words() if duty else []
            return
        before, used = time.monotonic(), cpu_time(cpu)


def patience(duty: "Duty | None") -> float:
    """Milliseconds until the next look."""
    if duty is None or duty.pid:
        return LOOK_MS
    return min(LOOK_MS, max(0.0, (duty.due - time.monotonic()) * 1000 + 1))


def become(wake: "list[str]", *more: str) -> "NoReturn":
    """Execute the whole program in our place, with signals kept for it."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTERM, _signal.SIGINT))
    posix.execv("/proc/self/exe", [*wake, *more])
    raise AssertionError("not reached")


def cpu_time(path: str) -> int:
    """The first number in the file; 0 if it has gone."""
    try:
        descriptor = posix.open(path, posix.O_RDONLY)
    except OSError:
        return 0
    try:
        words = posix.read(descriptor, 64).split()
    finally:
        posix.close(descriptor)
    return next((int(word) for word in words if word.isdigit()), 0)


def forgetting() -> "list[tuple[Callable[..., Any], int, tuple[Any, ...]]]":
    """The calls that give back the pages of program text; none where this Python cannot make them.

    One process_madvise(2) for all is best (allowed since Linux 6.13), because between several madvise(2) the first
    pages come back. The ctypes package would cost a third of a megabyte, so its C part is used alone.
    """
    try:
        import _ctypes

        address = type("address", (_ctypes._SimpleCData,), {"_type_": "P"})
        length = type("length", (_ctypes._SimpleCData,), {"_type_": "L"})
        libc = _ctypes.dlopen(None, 2)  # type: ignore[arg-type]
        call, found = _ctypes.call_function, sorted(text(), key=_size)
        vector = b"".join([number.to_bytes(8, byteorder) for mapping in found for number in mapping])
        at_once = (posix.pidfd_open(posix.getpid()), vector, length(len(found)), _MADV_DONTNEED, 0)
        try:
            function = _ctypes.dlsym(libc, "process_madvise")  # glibc 2.36
            if call(function, at_once) > 0:
                return [(call, function, at_once)]
        except OSError:
            pass
        madvise = _ctypes.dlsym(libc, "madvise")
        return [(call, madvise, (address(at), length(size), _MADV_DONTNEED)) for at, size in found]
    except (ImportError, AttributeError, OSError, TypeError):
        return []


def _size(mapping: "tuple[int, int]") -> int:
    return mapping[1]


def text() -> "Iterator[tuple[int, int]]":
    """(address, size) of the mappings of files that are never written: code, and the constants beside it.

    A read-only mapping may also be RELRO, which the loader wrote to; its pages would be lost. So of those only the
    ones are taken that lie before the code, or between the code and another read-only mapping of the same file.
    """
    before, here = ("", "", 0, 0), ("", "", 0, 0)
    for after in mappings():
        path, mode, at, size = here
        code = mode == "r-xp"
        headers = mode == "r--p" and after[:2] == (path, "r-xp") and before[0] != path
        constants = mode == "r--p" and before[:2] == (path, "r-xp") and after[:2] == (path, "r--p")
        if path and (code or headers or constants):
            yield at, size
        before, here = here, after


def mappings() -> "Iterator[tuple[str, str, int, int]]":
    """(file, permissions, address, size) of /proc/self/maps, read in small pieces; one empty entry at the end."""
    descriptor = posix.open("/proc/self/maps", posix.O_RDONLY)
    rest = b""
    while piece := posix.read(descriptor, 1024):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            words = line.decode("utf-8", "surrogateescape").split(None, 5)
            start, _, end = words[0].partition("-")
            path = words[5] if len(words) > 5 and words[5].startswith("/") else ""
            yield path, words[1], int(start, 16), int(end, 16) - int(start, 16)
    posix.close(descriptor)
    yield "", "", 0, 0
