"""Leases: a sweep takes old garbage while others add, and never what they added or need."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import Error
from nbcontainers.image import layout, lease, removal
from tests.tarballs import sha256


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "root", tmp_path / "run", False).prepare()


def put(engine: Engine, content: bytes, *, age: float = 0) -> Path:
    """A blob that no image needs, written `age` seconds ago."""
    path = layout.blob(engine, layout.put(engine, [content])[0])
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_old_garbage_goes_and_new_content_stays_while_somebody_adds(engine: Engine) -> None:
    old = put(engine, b"old", age=60)
    with lease.adding(engine):
        new = put(engine, b"new")
        assert removal.sweep(engine)["blobs"] == 1
        assert (old.exists(), new.exists()) == (False, True)
    assert removal.sweep(engine)["blobs"] == 1
    assert not new.exists()


def test_the_oldest_living_lease_counts(engine: Engine) -> None:
    with lease.adding(engine):
        (first,) = (engine.root / "leases").iterdir()
        os.utime(first, (time.time() - 100,) * 2)
        with lease.adding(engine):
            put(engine, b"between", age=50)
            assert removal.sweep(engine)["blobs"] == 0
    assert removal.sweep(engine)["blobs"] == 1


def test_what_is_there_already_is_claimed(engine: Engine) -> None:
    old = put(engine, b"old", age=60)
    with lease.adding(engine):
        layout.put(engine, [b"old"], {"mediaType": "x", "digest": sha256(b"old"), "size": 3})
        assert removal.sweep(engine)["blobs"] == 0
        assert old.exists()


def test_claiming_what_is_gone(engine: Engine) -> None:
    here = put(engine, b"x")
    assert lease.claim(engine, [here])
    assert not lease.claim(engine, [here, here.with_name("absent")])


def test_the_lease_of_a_dead_process_holds_nothing(engine: Engine) -> None:
    (engine.root / "leases").mkdir()
    (engine.root / "leases/dead").write_bytes(b"0")
    put(engine, b"x")
    assert removal.sweep(engine)["blobs"] == 1
    assert list((engine.root / "leases").iterdir()) == []


def test_nothing_goes_when_the_clock_was_set_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    old = put(engine, b"old", age=60)
    with lease.adding(engine):
        really = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: really() - 5_000_000_000)
        assert removal.sweep(engine)["blobs"] == 0
    assert removal.sweep(engine)["blobs"] == 1
    assert not old.exists()


def test_a_full_disk_is_explained_where_one_only_reads(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python it was a bare OSError that named no file."""

    def write(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(Error, match=rf"^No space left on device: {engine.root}/leases/") as caught:
        with lease.adding(engine):
            pass
    assert caught.value.hint.startswith("make room: type system prune")
    assert list((engine.root / "leases").iterdir()) == []
