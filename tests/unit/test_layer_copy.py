"""Files put into a tree that is there already. No root: everything belongs to whoever runs this."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.errors import InvalidArgument
from nbcontainers.layer import tar
from nbcontainers.layer.changes import merged
from nbcontainers.layer.copy import Copy


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """A source and a target."""
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    return tmp_path / "source", tmp_path / "target"


def copy(source: Path, target: Path, **options: Any) -> dict[str, Any]:
    top, into = (os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target))
    try:
        return Copy(into, options.pop("owner", None)).tree(merged([top]), **options)
    finally:
        os.close(top)
        os.close(into)


def unpack(target: Path, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    reader = tar.Reader(iter([buffer.getvalue()]))
    into = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        Copy(into, (os.getuid(), os.getgid())).archive(reader, reader.data)
    finally:
        os.close(into)


def member(name: str, data: bytes = b"", **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o640
    for key, value in facts.items():
        setattr(info, key, value)
    return info, data


def picture(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): f"-> {os.readlink(path)}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
        for path in folder.rglob("*")
    }  # fmt: skip


def test_a_tree_with_all_it_has(trees: tuple[Path, Path]) -> None:
    source, target = trees
    (source / "sub/deep").mkdir(parents=True)
    (source / "sub/file").write_text("x")
    (source / "sub/file").chmod(0o4751)
    (source / "sub/link").symlink_to("/etc/passwd")
    os.link(source / "sub/file", source / "again")
    os.mkfifo(source / "pipe", 0o600)
    (source / "holes").write_bytes(b"start")
    os.truncate(source / "holes", 1 << 30)
    os.utime(source / "sub/file", ns=(1, 123_456_789))
    (source / "sub").chmod(0o2711)
    os.utime(source / "sub", ns=(5, 987))
    assert copy(source, target, top=True) == {"left_out": 0, "notes": []}
    assert (target / "sub/file").stat().st_mtime_ns == 123_456_789
    assert (target / "sub/file").stat().st_mode & 0o7777 == 0o4751
    assert (target / "sub/file").stat().st_ino == (target / "again").stat().st_ino
    assert (target / "sub").stat().st_mode & 0o7777 == 0o2711
    assert (target / "sub").stat().st_mtime_ns == 987
    assert os.readlink(target / "sub/link") == "/etc/passwd"
    assert (target / "pipe").is_fifo()
    assert (target / "holes").stat().st_blocks * 512 < 1 << 20


def test_for_another_owner_without_bits_that_give_rights(trees: tuple[Path, Path]) -> None:
    source, target = trees
    (source / "program").write_text("x")
    (source / "program").chmod(0o6755)
    copy(source, target, owner=(os.getuid(), os.getgid()))
    assert (target / "program").stat().st_mode & 0o7777 == 0o755


def test_what_is_there_is_merged_or_replaced(trees: tuple[Path, Path]) -> None:
    source, target = trees
    for folder in (source, target):
        (folder / "both").mkdir()
    (source / "both/new").write_text("new")
    (source / "both/old").write_text("changed")
    (source / "link").write_text("a file now")
    (target / "both/old").write_text("old")
    (target / "both/kept").write_text("kept")
    (target / "link").symlink_to("both/kept")
    copy(source, target)
    assert picture(target) == {
        "both": "/", "both/new": "new", "both/old": "changed", "both/kept": "kept", "link": "a file now",
    }  # fmt: skip


@pytest.mark.parametrize(("at_source", "at_target"), [("file", "folder"), ("folder", "file"), ("folder", "link")])
def test_folders_and_files_do_not_replace_each_other(trees: tuple[Path, Path], at_source: str, at_target: str) -> None:
    source, target = trees
    (target.parent / "elsewhere").mkdir()
    for place, kind in ((source / "x", at_source), (target / "x", at_target)):
        if kind == "folder":
            place.mkdir()
            (place / "inside").write_text("x")
        elif kind == "file":
            place.write_text("y")
        else:
            place.symlink_to(target.parent / "elsewhere")
    before = picture(target)
    with pytest.raises(InvalidArgument, match="/x") as caught:
        copy(source, target)
    assert "choose another destination" in caught.value.hint
    assert picture(target) == before
    assert list((target.parent / "elsewhere").iterdir()) == []


def test_sockets_and_closed_files_are_left_out_and_told(trees: tuple[Path, Path]) -> None:
    source, target = trees
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(source / "socket"))
        facts = copy(source, target)
    assert facts["left_out"] == 1
    assert facts["notes"][0].startswith("/socket: a socket")


def test_not_into_itself(trees: tuple[Path, Path]) -> None:
    source, _ = trees
    (source / "sub").mkdir()
    with pytest.raises(InvalidArgument, match="/sub cannot be copied into itself"):
        copy(source, source / "sub")


def test_an_error_leaves_no_half_a_file(trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = trees
    (source / "file").write_text("x")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nbcontainers.layer.copy._content", full)
    with pytest.raises(OSError, match="No space"):
        copy(source, target)
    assert picture(target) == {}


def test_a_tar(trees: tuple[Path, Path]) -> None:
    _, target = trees
    unpack(
        target, member("./"), member("not/listed/file", b"data"), member("dir", type=tarfile.DIRTYPE, mode=0o2750),
        member("dir/hard", type=tarfile.LNKTYPE, linkname="not/listed/file"), member("l", type=tarfile.SYMTYPE, linkname="/x"),
        member("../up", b"up"), member("/absolute", b"root"), member("dir/file", b"1"), member("dir/file", b"2"),
    )  # fmt: skip
    assert picture(target) == {
        "not": "/", "not/listed": "/", "not/listed/file": "data", "dir": "/", "dir/hard": "data", "l": "-> /x", "up": "up",
        "absolute": "root", "dir/file": "2",
    }  # fmt: skip
    assert (target / "dir").stat().st_mode & 0o7777 == 0o750


@pytest.mark.parametrize(
    "members",
    [
        [member("l", type=tarfile.SYMTYPE, linkname="/"), member("l/below", b"x")],
        [member("l", type=tarfile.SYMTYPE, linkname=".."), member("l/d", type=tarfile.DIRTYPE)],
        [member("hard", type=tarfile.LNKTYPE, linkname="../../etc/passwd")],
        [member("f", b"x"), member("f/below", b"x")],
    ],
)
def test_a_tar_that_would_lead_out(trees: tuple[Path, Path], members: list[Any]) -> None:
    _, target = trees
    before = sorted(path.name for path in target.parent.iterdir())
    with pytest.raises(InvalidArgument):
        unpack(target, *members)
    assert sorted(path.name for path in target.parent.iterdir()) == before
