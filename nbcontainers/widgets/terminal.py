"""A real terminal in a cell: the kernel's half, beside terminal.js, which draws with xterm.js.

What a page shows is a `container.terminal.Terminal`, found by its key; after a restart of the kernel, by its container,
to which a new one is attached. The page can do nothing to the container but type.
"""

from __future__ import annotations

import gzip
import threading
from functools import cache
from importlib.resources import files
from typing import Any

from nbcontainers.container import terminal as terminals
from nbcontainers.widgets.feed import Feed
from nbcontainers.widgets.live import Binary, Live, action

VENDOR = ("xterm.mjs", "addon-fit.mjs", "xterm.css")
_again = threading.Lock()


class Terminal(Live):
    """One place of a page that shows a terminal. The arguments are those of `container.terminal.Terminal._live_`."""

    def __init__(self, key: str, how: str, container: str, title: str, over: bool = False) -> None:
        self.key, self.how, self.container, self.title, self.over = key, how, container, title, over
        self.terminal: terminals.Terminal | None = None
        self.feed: Feed | None = None

    @action(beside=True)
    def load(self) -> Binary:
        """xterm.js, its addon and its style, compressed: once a page."""
        return Binary(list(VENDOR), vendor())

    @action
    def find(self) -> dict[str, Any]:
        """Whether there is anything to show, and why not."""
        with _again:
            self.terminal = terminals.known(self.key) or self._attached()
        return {"known": self.terminal is not None, "why": "" if self.terminal or self.over else self._why()}

    @action
    def open(self, at: int, stream: str, rows: int, columns: int) -> dict[str, Any]:
        """Begin to show what was found, from `at` on where the page has it up to there of that `stream`."""
        terminal = self.terminal
        assert terminal is not None
        self.closed()
        terminal.resize(rows, columns)
        self.feed = Feed(terminal, self._say, at if stream == terminal.stream else None)
        self.feed.start()
        return {
            "stream": terminal.stream, "title": terminal.title, "state": terminal.state, "over": not terminal.running,
            "deaf": terminal.deaf, "ends": terminal.ends,
        }  # fmt: skip

    @action
    def type(self, text: str, binary: bool = False) -> None:
        """Keys, or with `binary` what xterm.js says of the mouse, a byte a letter."""
        if self.terminal and self.feed:
            self.terminal.write(text.encode("latin-1") if binary else text.encode())
            self.feed.key(text)

    @action
    def size(self, rows: int, columns: int) -> None:
        if self.terminal:
            self.terminal.resize(rows, columns)

    @action
    def drawn(self, at: int) -> None:
        """The page has drawn everything before `at`."""
        if self.feed:
            self.feed.acknowledge(at)

    @action
    def show(self, visible: bool) -> None:
        if self.feed:
            self.feed.show(visible)

    @action
    def drop(self) -> None:
        """Another place of the page has taken the screen over."""
        self.closed()

    @action
    def left(self) -> None:
        """The keys went elsewhere: a good moment for the notebook to keep a picture, as it may be saved now."""
        if terminal := self.terminal:
            self.settle(terminal, f"{terminal.stream} {terminal.tape.end} {terminal.running}")

    @action
    def hang_up(self) -> None:
        if self.terminal:
            self.terminal.close()

    def closed(self) -> None:
        if self.feed:
            self.feed.close()
            self.feed = None

    def _say(self, content: Any, buffers: list[bytes]) -> None:
        self.send(content, buffers)
        if "state" in content:  # the last word of a feed
            self.left()

    def _attached(self) -> terminals.Terminal | None:
        """Of a kernel before this one: its program runs on where it is a container's own."""
        from nbcontainers.container import opening
        from nbcontainers.container.container import find
        from nbcontainers.engine import default_engine
        from nbcontainers.errors import InvalidState, NotFound

        if self.how == "exec" or self.over:
            return None
        try:
            found = opening.attach(find(default_engine(), self.container))
        except (NotFound, InvalidState):  # it is gone, or does not run: `_why` says it
            return None
        terminals.remember(found, self.key)
        return found

    def _why(self) -> str:
        if self.how == "exec":
            return "an exec ends with the kernel that began it; this is the last picture"
        return "its container runs no more; this is the last picture"


@cache
def vendor() -> list[bytes]:
    folder = files("nbcontainers.widgets").joinpath("vendor")
    return [gzip.compress(folder.joinpath(name).read_bytes(), 9, mtime=0) for name in VENDOR]
