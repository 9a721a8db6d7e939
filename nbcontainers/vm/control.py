"""What a guest says on its port `control`, and what it is told there: the words are in vm/keeper.py.

Its root may say anything, at any time and for ever. So a word counts where it can be true, once a command; lines, marks and
numbers have a most. Then nothing of ours grows by what it says, and no time it was given gets longer.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence

from nbcontainers.vm import boot
from nbcontainers.vm.lanes import Lane

_LINE = 4096
_MARK, _MARKS = 200, 64
_STATUSES = {str(status): status for status in range(256)}
_CHUNK = 1 << 16


class Guest:
    """`ready`, `problem` (why it started no command) and `marks` are what it has said so far, `lanes` know the rest."""

    def __init__(self, control: socket.socket, lanes: Sequence[Lane]) -> None:
        self.control = control
        self.lanes = {str(lane.number): lane for lane in lanes}
        self.ready = False
        self.problem = ""
        self.marks: list[str] = []
        self.orders = bytearray()
        """What it has not been told yet."""
        self._rest = b""

    def hear(self, data: bytes) -> Iterator[tuple[str, Lane]]:
        """The words of whole lines that were believed, and whose they are: ready, failed, started, exit."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_LINE]
        for line in lines:
            word, _, text = line[:_LINE].decode(errors="replace").strip().partition(" ")
            number, _, status = text.partition(" ")
            if word == "mark":
                self.mark([text])
            elif word == "ready" and not self.ready:
                self.ready = True
                yield word, self.lanes["0"]
            elif word == "failed" and not self.problem and not self.lanes["0"].started:
                self.problem = text or "it does not say why"
                yield word, self.lanes["0"]
            elif (lane := self.lanes.get(number)) and lane.busy and self._says(lane, word, status):
                yield word, lane

    def _says(self, lane: Lane, word: str, status: str) -> bool:
        """Whether its command has just been started, or ended."""
        if word == "started" and not lane.started and not self.problem:
            lane.started = True
            return True
        if word == "exit" and lane.started and lane.exit_code is None and status in _STATUSES:
            lane.ended(_STATUSES[status])
            return True
        if word == "took" and lane.asked:
            self.ask(lane)
        elif word == "reading":
            lane.reading = True
        elif word == "idle":
            lane.idle = lane.exit_code is not None
        return False

    def mark(self, lines: Iterable[str]) -> bool:
        """Keep those that tell a time; whether there are any."""
        found = [line for line in lines if len(line) < _MARK and boot.is_mark(line)][: _MARKS - len(self.marks)]
        self.marks += found
        return bool(found)

    def order(self, words: str, content: bytes = b"") -> None:
        self.orders += f"{words}\n".encode() + content

    def ask(self, lane: Lane) -> None:
        """The next part of what the lane is to run, or that it may be run."""
        part = lane.part()
        lane.asked = bool(part)
        if part:
            self.order(f"part {lane.number} {len(part)}", part)
        else:
            self.order(f"exec {lane.number}")

    def speak(self) -> None:
        try:
            with memoryview(self.orders) as view:
                sent = self.control.send(view[:_CHUNK])
            del self.orders[:sent]
        except BlockingIOError:
            return
        except OSError:  # it has gone
            self.orders.clear()
