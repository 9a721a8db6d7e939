"""The log: Docker's form, nothing lost of any byte, bounded on disk."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from nbcontainers.container.logfile import Tail, lines
from nbcontainers.monitor.log import Log, cut_off, open_log


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def content(path: Path, stream: str = "stdout") -> bytes:
    text = "".join(record["log"] for record in read(path) if record["stream"] == stream)
    return text.encode("utf-8", "surrogateescape")


def test_a_line_is_a_record(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    log.write("stdout", b"one\ntwo\nrest")
    log.write("stderr", b"bad\n")
    log.write("stdout", b" of it\n")
    log.close()
    found = read(tmp_path / "log")
    assert [(record["stream"], record["log"]) for record in found] == [
        ("stdout", "one\n"), ("stdout", "two\n"), ("stdout", "rest"), ("stderr", "bad\n"), ("stdout", " of it\n"),
    ]  # fmt: skip
    assert found[0]["time"].endswith("Z")
    assert len(found[0]["time"]) == len("2026-11-22T22:02:46.605004133Z")


def test_a_character_in_two_pieces_stays_one(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    for byte in "Grüße, 你好 🐳".encode():
        log.write("stdout", bytes([byte]))
    log.close()
    assert content(tmp_path / "log").decode() == "Grüße, 你好 🐳"
    assert not any("\udc80" <= c <= "\udcff" for record in read(tmp_path / "log") for c in record["log"])


def test_bytes_that_are_no_text_come_back_as_they_were(tmp_path: Path) -> None:
    data = bytes(range(256)) * 3 + b"\xe4\xbd" + b"\xf0\x9f"
    log = Log(str(tmp_path / "log"))
    log.write("stdout", data[:500])
    log.write("stdout", data[500:])
    log.close()
    assert content(tmp_path / "log") == data


def test_a_long_line_becomes_records_of_16_kib(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    log.write("stdout", b"x" * 50_000 + b"\n")
    log.close()
    assert [len(record["log"]) for record in read(tmp_path / "log")] == [16384, 16384, 16384, 849]


def test_two_files_of_bounded_size_are_kept(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), max_size=10_000)
    for number in range(1000):
        log.write("stdout", f"line {number}\n".encode())
    log.close()
    sizes = [os.path.getsize(tmp_path / name) for name in ("log", "log.1")]
    assert all(0 < size <= 10_000 for size in sizes)
    assert content(tmp_path / "log").endswith(b"line 999\n")
    joined = content(tmp_path / "log.1") + content(tmp_path / "log")
    first = int(joined.split()[1])
    assert joined == b"".join(f"line {number}\n".encode() for number in range(first, 1000))
    assert not (tmp_path / "log.2").exists()


@pytest.mark.parametrize("max_file", [1, 2, 3, 5])
def test_as_many_files_as_asked_for_and_no_line_lost_or_doubled(tmp_path: Path, max_file: int) -> None:
    log = open_log(str(tmp_path), {"max_size": 5_000, "max_file": max_file})
    assert log
    for number in range(0, 900, 3):
        log.write("stdout", b"".join(f"line {number + more}\n".encode() for more in range(3)))
    log.close()
    names = ["log", *(f"log.{number}" for number in range(1, max_file))]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert all(0 < os.path.getsize(tmp_path / name) <= 5_000 for name in names)
    joined = b"".join(content(tmp_path / name) for name in reversed(names))
    first = int(joined.split()[1])
    assert joined == b"".join(f"line {number}\n".encode() for number in range(first, 900))


def test_much_at_once_keeps_to_the_size(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), 1_000, max_file=4)
    log.write("stdout", b"".join(b"%d\n" % number for number in range(1000)))
    log.close()
    assert [os.path.getsize(tmp_path / name) <= 1_000 for name in ("log", "log.1", "log.2", "log.3")] == [True] * 4
    assert content(tmp_path / "log").endswith(b"999\n")


def test_who_follows_through_many_rotations_misses_and_doubles_nothing(tmp_path: Path) -> None:
    log = open_log(str(tmp_path), {"max_size": 2_000, "max_file": 120})
    assert log
    tail, seen = Tail(log.path), []

    def write() -> None:
        for n in range(2500):
            log.write("stdout", b"line %d\n" % n)

    writing = threading.Thread(target=write)
    writing.start()
    seen += tail.first()
    while writing.is_alive():
        seen += tail.read()
    seen += tail.read()
    log.close()
    assert [json.loads(line)["log"] for line in seen] == [f"line {n}\n" for n in range(2500)]
    assert [json.loads(line)["log"] for line in lines(log.path)] == [f"line {n}\n" for n in range(2500)]


def test_no_log_is_kept_where_none_is_wanted(tmp_path: Path) -> None:
    assert open_log(str(tmp_path), {"driver": "none"}) is None
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_loses_records_not_the_container() -> None:
    log = Log("/dev/full")
    log.write("stdout", b"gone\n")
    log.write("stdout", b"gone too\n")
    assert log.lost == 2
    log.close()


def test_it_goes_on_where_another_process_stopped(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    log.write("stdout", b"a\xe4")
    kept = log.incomplete
    assert kept == {"stdout": "e4"}
    again = Log(str(tmp_path / "log"), incomplete=kept)
    again.write("stdout", b"\xbd\xa0\n")
    again.close()
    assert content(tmp_path / "log").decode() == "a你\n"


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"abc", b""), (b"", b""), (b"a\xc3", b"\xc3"), (b"\xc3\xa4", b""), (b"\xe4\xbd", b"\xe4\xbd"),
        (b"\xf0\x9f\x90", b"\xf0\x9f\x90"), (b"\xf0\x9f\x90\xb3", b""), (b"\x80\x80\x80\x80", b""), (b"\xff", b"\xff"),
    ],
)  # fmt: skip
def test_cut_off(data: bytes, rest: bytes) -> None:
    assert cut_off(data) == rest


def test_a_rotation_without_room_for_a_new_file_loses_records_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(str(tmp_path / "log"), max_size=300)
    with monkeypatch.context() as full:
        full.setattr(os, "open", refuse)
        for _ in range(10):
            log.write("stdout", b"x" * 60 + b"\n")
    assert log.lost > 0
    log.write("stdout", b"there is room again\n")
    log.close()
    assert content(tmp_path / "log") == b"there is room again\n"


def refuse(*_: object) -> int:
    raise OSError(28, "No space left on device")
