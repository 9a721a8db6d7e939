"""A machine's keeper without a machine: what a guest may say, times, ends, folders."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, InvalidState, NameInUse
from nbcontainers.linux import process
from nbcontainers.monitor import protocol
from nbcontainers.monitor.log import Log
from nbcontainers.monitor.peers import Peer
from nbcontainers.vm import children, ending, executing, hardware, jail, sweeping, words
from nbcontainers.vm.control import Guest
from nbcontainers.vm.keeper import Keeper
from nbcontainers.vm.lanes import Lane
from nbcontainers.vm.machine import Machine
from nbcontainers.vm.places import Places
from nbcontainers.vm.writing import Writing

MARK = "[    1.250000] nbcontainers: init"


@pytest.fixture
def guest() -> Iterator[Guest]:
    """One whose lanes 0 and 1 have a command."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        lanes = [Lane(number, {}, 100) for number in range(hardware.LANES)]
        for lane in lanes[:2]:
            lane.begin(None, "0123456789abcdef", reads=True, terminal=False)
        yield Guest(ours, lanes)


def heard(guest: Guest, data: bytes) -> list[tuple[str, int]]:
    return [(word, lane.number) for word, lane in guest.hear(data)]


def test_each_word_counts_once_and_where_it_can_be_true(guest: Guest) -> None:
    assert heard(guest, b"exit 0 0\nidle 1\nready\nrea") == [("ready", 0)]
    assert heard(guest, b"dy\nstarted 0\nstarted 0\nfailed so\n") == [("started", 0)]
    assert not guest.lanes["1"].idle
    assert heard(guest, b"started 1\nstarted 2\nexit 0 3\nexit 0 4\nstarted 0\n") == [("started", 1), ("exit", 0)]
    assert guest.lanes["0"].exit_code == 3
    assert not guest.problem


def test_a_machine_that_has_failed_starts_nothing(guest: Guest) -> None:
    assert heard(guest, b"failed no folder\nfailed again\nstarted 0\n") == [("failed", 0)]
    assert guest.problem == "no folder"


@pytest.mark.parametrize(
    "line",
    ["exit 0 256", "exit 0 99999", f"exit 0 {'1' * 5000}", "exit 0 ¹", f"exit {'9' * 5000} 1", "exit 0 ", "\ufffd"],
)
def test_numbers_that_cannot_be_are_no_words(guest: Guest, line: str) -> None:
    assert heard(guest, b"started 0\n") == [("started", 0)]
    assert heard(guest, f"{line}\n".encode()) == []


def test_nothing_grows_by_what_is_said(guest: Guest) -> None:
    begun = time.process_time()
    for _ in range(16):
        assert heard(guest, b"x" * 65536) == []
    assert heard(guest, b"\n" * 65536 + f"mark {MARK}\n".encode() * 999) == []
    assert heard(guest, f"mark {MARK}{'x' * 300}\nmark nonsense\n".encode()) == []
    assert guest.marks == [MARK] * 64
    assert not guest.mark([MARK])
    assert len(guest._rest) <= 4096
    assert time.process_time() - begun < 1


def test_a_script_is_sent_as_often_as_it_has_parts(guest: Guest) -> None:
    lane = guest.lanes["1"]
    lane.script = b"x" * 150
    guest.ask(lane)
    assert heard(guest, b"took 0\n" + b"took 1\n" * 99) == []
    assert guest.orders == b"part 1 100\n" + b"x" * 100 + b"part 1 50\n" + b"x" * 50 + b"exec 1\n"


def test_a_kernels_log_without_lines_or_with_endless_numbers(tmp_path: Path) -> None:
    writing = Writing(str(tmp_path))
    for _ in range(4):
        assert writing.kernel(b"x" * 65536) == []
    assert len(writing._rest) <= 1 << 14
    assert writing.kernel(b"\n6,1,%b,-;late\n6,1,1,-;next\n" % (b"9" * 5000)) == ["[    0.000001] next"]
    writing.close()


@pytest.fixture
def keeper() -> Keeper:
    """As much of one as keeps times."""
    one = object.__new__(Keeper)
    one.lanes, one.kill_at, one.stop_at, one.ending = [], 0.0, 0.0, 0
    one.times = {"started": 1.0}
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()
    one.guest = Guest(ours, [])
    return one


def test_times_of_a_month_are_waited_for_in_pieces(keeper: Keeper) -> None:
    assert keeper.patience() is None
    keeper.kill_at = time.monotonic() + 30 * 86400
    patience = keeper.patience()
    assert patience is not None
    assert patience < 2**31
    keeper.kill_at = 1.0
    assert keeper.patience() == 0


def test_of_two_ends_that_are_asked_for_the_earlier_one_counts(keeper: Keeper) -> None:
    keeper.stop(15, 5.0)
    first = keeper.stop_at
    keeper.stop(15, 500.0)
    assert keeper.stop_at == first
    keeper.stop(15, 0.0)
    assert keeper.stop_at < first
    keeper.within(5.0)
    due = keeper.kill_at
    keeper.within(50.0)
    assert keeper.kill_at == due


def become(keeper: int, prepare: Callable[[], dict[str, str]]) -> tuple[int, bytes]:
    """(status, what it wrote) of a child that is to become true(1)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        children._become(keeper, ["true"], [], writer, prepare)
    os.close(writer)
    with open(reader, "rb") as output:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.read()


def test_a_child_does_nothing_without_its_keeper_and_nothing_but_its_program(tmp_path: Path) -> None:
    def fail() -> dict[str, str]:
        raise RuntimeError("no such thing \udcff")

    def touch() -> dict[str, str]:
        (tmp_path / "touched").touch()
        return {}

    ours = process.pidfd_open(os.getpid())
    assert become(ours, dict) == (0, b"")
    assert become(ours, fail) == (127, b"true: no such thing ?\n")
    with subprocess.Popen(["true"]) as keeper:
        dead = process.pidfd_open(keeper.pid)
    assert become(dead, touch) == (127, b"")
    assert list(tmp_path.iterdir()) == []
    os.close(ours)
    os.close(dead)


def test_what_a_guest_of_qemu_writes_is_in_the_machines_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "setpgid", lambda *_: None)
    monkeypatch.setattr(jail, "confine", lambda plan: None)
    assert children._prepare({"kind": hardware.TCG, "folder": "/f"}) == {"TMPDIR": "/f"}


def test_a_client_that_does_not_read_keeps_nobody_waiting(keeper: Keeper) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    keeper.peers = [Peer(ours.detach()) for ours, _ in pairs]
    data = b"x" * (1 << 20)
    for peer in keeper.peers:
        peer.send(data)
    received = bytearray()

    def read() -> None:
        while len(received) < len(data):
            received.extend(pairs[1][1].recv(1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    begun = time.monotonic()
    keeper.deliver(0.3)
    reader.join()
    assert received == data
    assert 0.2 < time.monotonic() - begun < 5
    pairs[0][1].close()  # it has died
    keeper.deliver(None)
    assert [peer.gone for peer in keeper.peers] == [True, False]
    for peer in keeper.peers:
        peer.close()
    pairs[1][1].close()


@pytest.mark.parametrize("farewell", [True, False])
def test_a_client_that_said_farewell_has_not_died(
    keeper: Keeper, farewell: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[Keeper] = []
    monkeypatch.setattr(Keeper, "kill", lambda self: killed.append(self))
    ours, theirs = socket.socketpair()
    keeper.owner = Peer(ours.detach(), owner=True)
    keeper.peers, keeper.waiting, keeper.wishes = [keeper.owner], [], []
    if farewell:
        theirs.send(protocol.frame(protocol.DETACH))
    theirs.close()
    keeper.owner.send(b"output")  # before it was heard
    assert keeper.gone(keeper.peers[0])
    assert len(killed) == (not farewell)


@pytest.fixture
def one(tmp_path: Path) -> Places:
    return Places(str(tmp_path / "root"), str(tmp_path / "run"), "0123456789ab")


def left(one: Places) -> list[str]:
    """Files and folders but those that hold them."""
    return [
        path.name
        for path in Path(one.root).parent.rglob("*")
        if path.name not in {"root", "run", "vm", ".vm", "machines"}
    ]


def test_a_machine_that_could_not_be_made_leaves_nothing(one: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = {"root": one.root, "run": one.run, "record": {"id": one.id, "name": "box", "remove": False}}
    lock = sweeping.make(plan, one)
    assert one.status == "booting"
    other = Places(one.root, one.run, "f" * 12)
    before = left(one)
    with pytest.raises(NameInUse):
        sweeping.make(plan, other)
    assert left(one) == before
    os.close(lock)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Places, "write", full)
    with pytest.raises(OSError, match="No space"):
        sweeping.make({**plan, "record": {**plan["record"], "name": "other"}}, other)  # type: ignore[dict-item]
    assert sorted(left(one)) == ["0123456789ab", "machine.json"]  # swept, but for its record


def test_what_was_killed_while_it_was_made_or_forgotten_is_swept(one: Places) -> None:
    for folder in (one.folder, one.live, one.record, f"{one.root}/machines/.gone"):
        os.makedirs(folder)
    assert sweeping.tidy(one.root, one.run) == [one.id]
    assert left(one) == []


def test_who_looks_at_a_dead_machine_does_not_see_who_looks_as_well(one: Places) -> None:
    os.makedirs(one.folder)
    looking = os.open(one.folder, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    assert one.status == "dead"
    os.close(looking)


class Kept:
    """A machine whose keeper is this test: `end` is what happens in a moment."""

    def __init__(self, one: Places) -> None:
        self.places = one
        for folder in (one.folder, one.live, one.record):
            os.makedirs(folder)
        one.write("machine.json", {"id": one.id, "name": "box"})
        engine = Engine(Path(one.root), Path(one.run), False)
        self.machine = Machine(one.id, "mini", (), "uml", "", "6", 1, 1, name="box", engine=engine)
        self.lock = os.open(one.folder, os.O_RDONLY)
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def in_a_moment(self, *acts: Callable[[], object]) -> threading.Thread:
        def act() -> None:
            time.sleep(0.1)
            for one in acts:
                one()

        thread = threading.Thread(target=act)
        thread.start()
        return thread

    def end(self) -> None:
        self.places.write("exit.json", {"exit_code": 7})
        os.close(self.lock)


@pytest.fixture
def kept(one: Places) -> Kept:
    return Kept(one)


@pytest.mark.parametrize("queued", [False, True])
def test_one_that_is_just_ending_is_waited_for(kept: Kept, queued: bool) -> None:
    kept.places.write("state.json", {"pid": 1, "started_at": "now"})
    acts = [kept.end]
    if queued:
        listener = socket.socket(socket.AF_UNIX)
        place = os.open(kept.places.live, os.O_PATH)
        listener.bind(f"/proc/self/fd/{place}/monitor.sock")
        os.close(place)
        listener.listen()
        acts.insert(0, listener.close)
    thread = kept.in_a_moment(*acts)
    assert ending.stop([kept.machine, kept.machine], 1, None) == ["box", "box"]
    thread.join()
    assert ending.wait(kept.machine) == 7
    with pytest.raises(InvalidState, match="is not running: it is exited"):
        ending.kill(kept.machine, "KILL")


def test_one_that_does_not_end_is_said_and_keeps_nobody_from_others(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "_PATIENCE_S", 0.2)
    kept.places.write("state.json", {"pid": 1, "started_at": "now"})
    other = Kept(Places(str(tmp_path / "root"), str(tmp_path / "run"), "f" * 12))
    thread = other.in_a_moment(other.end)
    with pytest.raises(InvalidState, match="the virtual machine box is still ending"):
        ending.stop([kept.machine, other.machine], 1, None)
    assert other.machine.status == "exited"
    thread.join()
    with pytest.raises(InvalidState, match="it was removed"):
        os.close(kept.lock)
        kept.places.forget()
        ending.wait(kept.machine)


def test_a_request_that_is_too_large_is_said_before_it_is_sent() -> None:
    asked = {"script": "ü" * 100}
    assert len(executing._whole(asked)) > 600
    with pytest.raises(InvalidArgument, match="is too long for vm exec") as caught:
        executing._whole({"script": "ü" * (1 << 18)})
    assert "vm cp" in caught.value.hint


def test_a_log_is_followed_through_its_rotations(kept: Kept) -> None:
    log = Log(f"{kept.places.record}/log", max_size=300)
    log.write("stdout", b"1\n2\n3\n")
    found: list[bytes] = []

    def go_on() -> None:
        if kept.machine.running:
            log.write("stdout", b"4\n5\n6\n7\n")
            log.close()
            kept.end()

    words.logs(kept.machine, 2, found.append, None, go_on, follow=True)
    assert b"".join(found) == b"2\n3\n4\n5\n6\n7\n"
    whole: list[bytes] = []
    words.logs(kept.machine, "all", whole.append, None, None, follow=False)
    assert b"".join(whole).endswith(b"6\n7\n")
