"""What a name meant before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbcontainers.engine import Engine
from nbcontainers.image import layout, moved
from nbcontainers.monitor import events
from nbcontainers.oci.image import MANIFEST, descriptor
from tests.tarballs import sha256


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "root", tmp_path / "run", False).prepare()


def move(engine: Engine, name: str, text: str, why: str = "pull") -> str:
    digest = sha256(text.encode())
    with layout.update(engine, why) as manifests:
        layout.set_name(manifests, name, descriptor(MANIFEST, digest, 1))
    return digest


def seen(engine: Engine, name: str) -> list[tuple[str, str, bool]]:
    return [(row["digest"], row["why"], row["current"]) for row in moved.read(engine, name)]


def test_the_present_first(engine: Engine) -> None:
    one, two = move(engine, "localhost/a:1", "one"), move(engine, "localhost/a:1", "two", "load")
    move(engine, "localhost/a:1", "two", "again")  # no move
    move(engine, "localhost/b:1", "three")
    assert seen(engine, "localhost/a:1") == [(two, "load", True), (one, "pull", False)]
    assert moved.read(engine, "localhost/c:1") == []
    assert moved.read(engine, "localhost/a:1")[0]["when"] > 1_600_000_000


def test_it_goes_with_the_name(engine: Engine) -> None:
    move(engine, "localhost/a:1", "one")
    with layout.update(engine) as manifests:
        layout.remove_name(manifests, "localhost/a:1")
    assert moved.read(engine, "localhost/a:1") == []
    two = move(engine, "localhost/a:1", "two")
    assert seen(engine, "localhost/a:1") == [(two, "pull", True)]


def test_half_a_line_and_other_programs(engine: Engine) -> None:
    one = move(engine, "localhost/a:1", "one")
    with open(engine.root / "moved.jsonl", "ab") as file:
        file.write(b'\n{"reference": "localhost/a:1", "dig')  # killed
    two = move(engine, "localhost/a:1", "two")
    assert [row[0] for row in seen(engine, "localhost/a:1")] == [two, one]
    text = (engine.images / "index.json").read_text().replace(two[7:], "f" * 64)  # skopeo, say
    (engine.images / "new").write_text(text)
    (engine.images / "new").rename(engine.images / "index.json")
    assert seen(engine, "localhost/a:1") == [
        ("sha256:" + "f" * 64, "", True), (two, "pull", False), (one, "pull", False),
    ]  # fmt: skip


def test_a_move_that_failed_is_taken_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    one = move(engine, "localhost/a:1", "one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(layout, "write", full)
        move(engine, "localhost/a:1", "two")
    assert seen(engine, "localhost/a:1") == [(one, "pull", True)]
    assert "two" not in (engine.root / "moved.jsonl").read_text()


def test_it_stays_small(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moved, "LONGEST", 10_000)
    move(engine, "localhost/other:1", "other")
    for number in range(200):
        last = move(engine, "localhost/a:1", str(number))
    assert os.path.getsize(engine.root / "moved.jsonl") < 11_000
    assert 20 <= len(moved.read(engine, "localhost/a:1")) < 80
    assert seen(engine, "localhost/a:1")[0][0] == last
    assert len(moved.read(engine, "localhost/other:1")) == 1


def test_what_happens_to_names_and_images_is_told(engine: Engine) -> None:
    one, two = (descriptor(MANIFEST, f"sha256:{letter * 64}", 1) for letter in "ab")
    with layout.update(engine, "pull") as manifests:
        layout.set_name(manifests, "docker.io/library/x:1", one)
    with layout.update(engine, "tag") as manifests:
        layout.set_name(manifests, "localhost/y:1", one)
    with layout.update(engine, "build") as manifests:
        layout.set_name(manifests, "localhost/y:1", two)
    with layout.update(engine) as manifests:
        manifests.clear()
    told = [(fact["action"], fact["id"][7], fact["attributes"].get("name")) for fact in events.read(engine.root)]
    assert told == [
        ("pull", "a", "docker.io/library/x:1"), ("tag", "a", "localhost/y:1"), ("build", "b", "localhost/y:1"),
        ("untag", "a", "docker.io/library/x:1"), ("untag", "b", "localhost/y:1"), ("delete", "a", None),
        ("delete", "b", None),
    ]  # fmt: skip
