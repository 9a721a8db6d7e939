"""Binary exchange: what is copied, what is sealed, what is refused; frames that are nonsense; the order of things."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import socket
import threading
import time

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import ContainerFailed
from nbcontainers.experiment import exchange, order, receive
from nbcontainers.experiment.inside import binary, wire
from nbcontainers.experiment.memory import Memory


class Kept:
    """A sink in memory."""

    def __init__(self):
        self.restart()

    def restart(self):
        self.file, self.buffers = io.BytesIO(), []

    def write(self, data):
        self.file.write(data)

    def finish(self, buffers):
        self.buffers = buffers

    def load(self, *names):
        self.file.seek(0)
        return binary.load(names, self.file, self.buffers)


def local():
    def inner():
        return 7

    return inner


def test_large_buffers_travel_apart():
    numpy = pytest.importorskip("numpy")
    sink = Kept()
    binary.dump(
        {"large": numpy.zeros(10**6), "small": numpy.zeros(3), "f": numpy.asfortranarray(numpy.ones((500, 500)))}, sink
    )
    assert len(sink.file.getvalue()) < 2000
    assert [buffer.raw().nbytes for buffer in sink.buffers] == [8 * 10**6, 8 * 500 * 500]
    assert sink.load("large", "small", "f")["f"].flags.f_contiguous


def test_a_view_that_is_not_contiguous_is_copied():
    numpy = pytest.importorskip("numpy")
    sink = Kept()
    binary.dump({"view": numpy.arange(10**5)[::2]}, sink)
    assert sink.load("view")["view"].sum() == sum(range(0, 10**5, 2))


@pytest.mark.parametrize(
    ("value", "reason", "by_value"),
    [
        (threading.Lock(), "cannot pickle '_thread.lock' object", False),
        (local(), "local", True),
        (lambda: 1, "lambda", True),
    ],
)
def test_what_cannot_leave_is_named(monkeypatch, value, reason, by_value):
    monkeypatch.setattr(binary, "find_spec", lambda name: None)
    with pytest.raises(binary.NotPickled) as error:
        binary.dump({"fine": 1, "bad": value}, Kept())
    assert (error.value.name, error.value.by_value) == ("bad", by_value)
    assert reason in error.value.reason


def test_cloudpickle_takes_functions_by_value():
    pytest.importorskip("cloudpickle")
    sink = Kept()
    binary.dump({"f": local(), "g": lambda x: x + 1}, sink)
    loaded = sink.load("f", "g")
    assert (loaded["f"](), loaded["g"](1)) == (7, 2)


def test_the_word_main_alone_is_no_reason(monkeypatch):
    monkeypatch.setattr(binary, "find_spec", lambda name: None)
    sink = Kept()
    binary.dump({"text": "if __name__ == '__main__':"}, sink)
    assert sink.load("text") == {"text": "if __name__ == '__main__':"}


def test_nested_too_deeply():
    deep: list = []
    for _ in range(10**5):
        deep = [deep]
    with pytest.raises(binary.NotPickled, match="deep: it is nested too deeply for pickle"):
        binary.dump({"deep": deep}, Kept())


def test_the_memory_is_sealed_and_private():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(10**5)
    fixed = numpy.arange(10**5)
    fixed.flags.writeable = False
    with Memory() as memory:
        binary.dump({"array": array, "fixed": fixed}, memory)
        start, size = memory.seal({"code": ""})
        assert os.pread(memory.descriptor, size, start).startswith(b'{"code"')
        assert [(place % binary.ALIGNMENT, read_only) for place, _, read_only in memory.buffers] == [
            (0, False),
            (0, True),
        ]
        with pytest.raises(PermissionError):
            os.pwrite(memory.descriptor, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(memory.descriptor, 0)


def test_an_empty_memory_can_be_sealed():
    with Memory() as memory:
        binary.dump({}, memory)
        assert memory.seal({})[1] > 0


# -- frames ------------------------------------------------------------------------------------------------------------


def received(data: bytes, *, wanted=("a",), most=10**6):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        receiver = receive.Receiver(ours, list(wanted), most)
        sender = threading.Thread(target=send, args=(theirs, data))
        sender.start()
        try:
            frames, deadline = [], time.monotonic() + 10
            while not receiver.closed and time.monotonic() < deadline:
                frames += receiver.read()
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            sender.join()
        return receiver, frames


def send(connection: socket.socket, data: bytes) -> None:
    """All of it, as far as the receiver wants it."""
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


def head(kind: bytes, length: int) -> bytes:
    return wire.HEAD.pack(kind, length)


BEGIN = wire.pack(wire.BEGIN, {"names": ["a"]})
PICKLED = pickle.dumps([1, 2], 5)
OUTPUT = head(wire.PICKLE, len(PICKLED)) + PICKLED


def test_outputs_count_only_when_committed():
    receiver, _ = received(BEGIN + OUTPUT + head(wire.COMMIT, 0) + wire.pack(wire.END, {"status": "ok"}))
    assert receiver.outputs.committed
    assert receiver.outputs.load() == {"a": [1, 2]}
    assert receiver.end == {"status": "ok"}
    receiver, _ = received(BEGIN + OUTPUT)
    assert not receiver.outputs.committed
    receiver, _ = received(BEGIN + OUTPUT[:-3])
    assert not receiver.outputs.committed


def test_a_second_begin_makes_the_first_void():
    receiver, _ = received(BEGIN + head(wire.PICKLE, 3) + b"xxx" + BEGIN + OUTPUT + head(wire.COMMIT, 0))
    assert receiver.outputs.load() == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (head(b"Z", 0), "a frame of kind b'Z'"),
        (head(wire.PICKLE, 3) + b"abc", "a frame of kind b'P'"),
        (BEGIN + head(wire.COMMIT, 0) + OUTPUT, "a frame of kind b'P'"),
        (head(wire.SHOW, 2**40), f"a display of {2**40} bytes"),
        (head(wire.SHOW, 2) + b"[]", "a frame that is no JSON object"),
        (head(wire.SHOW, 2) + b"\xff{", "a frame that is no JSON object"),
        (head(wire.END, 50_000) + b"[" * 50_000, "a frame that is no JSON object"),
        (wire.pack(wire.BEGIN, {"names": ["b"]}), "outputs that were not asked for"),
        (wire.pack(wire.END, {}) + wire.pack(wire.SHOW, {}), "a frame after the last one"),
    ],
)
def test_nonsense_is_refused(data, reason):
    with pytest.raises(ContainerFailed) as error:
        received(data)
    assert error.value.message == f"the container's Python sent {reason}"


@pytest.mark.parametrize("length", [10**6 + 1, 2**62])
def test_outputs_are_bounded_before_memory_is_taken(length):
    with pytest.raises(ContainerFailed, match="larger than the memory that is free for them"):
        received(BEGIN + head(wire.BUFFER, length))


def test_bytes_may_come_one_by_one():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        receiver, frames = receive.Receiver(ours, ["a"], 10**6), []
        for byte in BEGIN + wire.pack(wire.SHOW, {"data": {}}) + head(wire.BUFFER, 5) + b"12345":
            theirs.send(bytes([byte]))
            frames += receiver.read()
        assert frames == [(wire.SHOW, {"data": {}})]
        assert bytes(receiver.outputs.buffers[0]) == b"12345"


# -- order -------------------------------------------------------------------------------------------------------------


class Seen:
    def __init__(self):
        self.all = []
        self.ordered = order.Ordered(
            lambda stream, data: self.all.append(data), lambda kind, doc: self.all.append(doc["n"])
        )

    def frame(self, number, out, err=0):
        self.ordered.frame(wire.SHOW, {"n": number, "stdout": out, "stderr": err})


def test_a_display_waits_for_the_text_before_it():
    seen = Seen()
    seen.frame(1, 3)
    seen.ordered.text("stdout", b"ab")
    assert seen.all == [b"ab"]
    seen.ordered.text("stdout", b"cdef")
    assert seen.all == [b"ab", b"c", 1, b"def"]


def test_text_after_a_display_waits_for_the_other_stream():
    seen = Seen()
    seen.frame(1, 1, 1)
    seen.ordered.text("stdout", b"xy")
    assert seen.all == [b"x"]
    seen.ordered.text("stderr", b"e")
    assert seen.all == [b"x", b"e", 1, b"y"]


def test_a_display_does_not_wait_for_ever(monkeypatch):
    seen = Seen()
    monkeypatch.setattr(order, "PATIENCE", 0.0)
    seen.frame(1, 1000)
    assert seen.all == [1]


def test_counts_that_are_no_numbers_hold_nothing_up():
    seen = Seen()
    seen.frame(1, "many")
    assert seen.all == [1]


# -- the folder --------------------------------------------------------------------------------------------------------


def test_the_folder_goes_with_its_notebook_and_prune_takes_what_is_left(tmp_path):
    engine = Engine(tmp_path, tmp_path, True)
    with exchange.Exchange(engine) as living:
        assert living.folder.stat().st_mode & 0o777 == 0o711
        assert living.folder.parent.stat().st_mode & 0o777 == 0o700
        left = living.folder.parent / "0123"
        left.mkdir()
        assert exchange.prune(engine) == [left]
        assert living.folder.exists()
    assert not (tmp_path / "exchange").exists()


def test_a_path_longer_than_a_socket_address(tmp_path):
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    with exchange.Exchange(Engine(deep, deep, True)) as long:
        assert (long.folder / exchange.SOCKET).is_socket()


def test_folders_made_and_pruned_at_once_are_never_mixed_up(tmp_path):
    """A new folder is not locked yet when another thread's prune looks at it."""
    engine = Engine(tmp_path / "root", tmp_path / "run", rootless=True)
    engine.run.mkdir()
    failures = []

    def make_many():
        try:
            for _ in range(150):
                with exchange.Exchange(engine) as made:
                    assert (made.folder / exchange.SOCKET).exists()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make_many) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert exchange.prune(engine) == []
