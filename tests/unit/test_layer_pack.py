"""Layers made: what the writer's tars say, that others read them, and that they come back as they were."""

from __future__ import annotations

import errno
import io
import os
import socket
import stat
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcontainers.layer import codec
from nbcontainers.layer.ahead import Aside
from nbcontainers.layer.changes import Change, merged
from nbcontainers.layer.make import make
from nbcontainers.layer.pack import Packer
from nbcontainers.layer.unpack import Layer
from tests import peers

SECOND = 1_000_000_000


@contextmanager
def directory(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def pack(folder: Path, epoch: int | None = None, packer: Packer | None = None) -> bytes:
    with directory(folder) as root:
        return b"".join((packer or Packer(epoch)).pieces(merged([root])))


def unpack(content: bytes, folder: Path) -> Path:
    folder.mkdir()
    mask = os.umask(0)
    try:
        with directory(folder) as root:
            layer = Layer(root, userxattr=True, squash=True)
            layer.extract(iter([content]))
            layer.finish([])
    finally:
        os.umask(mask)
    return folder


def members(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {member.name: member for member in tar.getmembers()}


def picture(folder: Path) -> dict[bytes, Any]:
    """Everything of a tree that a layer keeps; files of several names by the first of them."""
    found: dict[bytes, Any] = {}
    first: dict[int, bytes] = {}
    for above, folders, files in os.walk(os.fsencode(folder)):
        folders.sort()
        for name in (b".", *folders, *sorted(files)):
            path = os.path.join(above, name)
            status = os.lstat(path)
            facts: list[Any] = [status.st_mode, status.st_mtime_ns]
            if not stat.S_ISLNK(status.st_mode):
                facts.append({key: os.getxattr(path, key) for key in os.listxattr(path)})
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    facts += [file.read(), first.setdefault(status.st_ino, os.path.relpath(path, os.fsencode(folder)))]
            elif stat.S_ISLNK(status.st_mode):
                facts.append(os.readlink(path))
            found[os.path.relpath(path, os.fsencode(folder))] = facts
    return found


def touch(path: Path, content: bytes = b"", *, ns: int = SECOND, mode: int = 0o644) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(ns, ns))
    return path


def test_fields(tmp_path: Path) -> None:
    touch(tmp_path / "plain", b"x" * 700, mode=0o4751)
    found = members(pack(tmp_path))["plain"]
    assert (found.mode, found.size, found.uname, found.gname) == (0o4751, 700, "", "")
    assert (found.uid, found.gid, found.mtime, found.pax_headers) == (os.geteuid(), os.getegid(), 1, {})


@pytest.mark.parametrize(
    ("ns", "header"),
    [(SECOND, ""), (SECOND + 5, "1.000000005"), (-SECOND, "-1"), (-1_500_000_000, "-1.5"), (0, "")],
)
def test_times(tmp_path: Path, ns: int, header: str) -> None:
    touch(tmp_path / "file", ns=ns)
    content = pack(tmp_path)
    assert members(content)["file"].pax_headers.get("mtime", "") == header
    assert (unpack(content, tmp_path / "out") / "file").stat().st_mtime_ns == ns


@pytest.mark.parametrize("length", [1, 99, 100, 101, 155, 200, 255])
def test_long_names(tmp_path: Path, length: int) -> None:
    above = tmp_path / "source" / ("d" * length)
    above.mkdir(parents=True)
    name = b"\xc3\xa9\xff"[:length] + b"n" * (length - 3)
    touch(Path(os.fsdecode(os.path.join(os.fsencode(above), name))), b"1")
    os.symlink("t" * length * 5, above / "link")
    content = pack(tmp_path / "source")
    assert picture(unpack(content, tmp_path / "out")) == picture(tmp_path / "source")
    assert sorted(members(content), key=os.fsencode)[-1].endswith("n") or length < 4


def status_of(**fields: int) -> os.stat_result:
    wanted = {"st_mode": stat.S_IFREG, "st_nlink": 1} | fields
    names = (
        "st_mode",
        "st_ino",
        "st_dev",
        "st_nlink",
        "st_uid",
        "st_gid",
        "st_size",
        "st_atime",
        "st_mtime",
        "st_ctime",
    )
    return os.stat_result(
        [wanted.get(name, 0) for name in names], {"st_rdev": fields.get("st_rdev", 0), "st_mtime_ns": 0}
    )


def test_large_ids_and_devices(tmp_path: Path) -> None:
    """Things only root could make: told to the writer, not made."""
    device = os.makedev(250, 1_000_000)
    with directory(tmp_path) as root:
        (tmp_path / "node").touch()
        status = status_of(st_mode=stat.S_IFCHR | 0o600, st_uid=2**32 - 2, st_gid=2_097_152, st_rdev=device)
        content = b"".join(Packer().pieces([Change(b"node", "A", status, root, b"node", ())]))
    found = members(content)["node"]
    assert (found.uid, found.gid, found.devmajor, found.devminor) == (2**32 - 2, 2_097_152, 250, 1_000_000)
    assert set(found.pax_headers) == {"uid", "gid"}


def test_hard_links(tmp_path: Path) -> None:
    touch(tmp_path / "b", b"content")
    os.link(tmp_path / "b", tmp_path / "a")
    (tmp_path / "d").mkdir()
    os.link(tmp_path / "b", tmp_path / "d/c")
    found = members(pack(tmp_path))
    assert (found["a"].type, found["b"].linkname, found["d/c"].linkname) == (tarfile.REGTYPE, "a", "a")


def test_extended_attributes(tmp_path: Path) -> None:
    file = touch(tmp_path / "file")
    os.setxattr(file, "user.note", b"\0\xff\n=")
    os.setxattr(file, "user.overlay.opaque", b"y")
    os.setxattr(file, "user.a=b", b"no record can name it")
    content = pack(tmp_path)
    headers = members(content)["file"].pax_headers
    assert [name for name in headers if "xattr" in name] == ["SCHILY.xattr.user.note"]
    out = unpack(content, tmp_path / "out")
    assert {name: os.getxattr(out / "file", name) for name in os.listxattr(out / "file")} == {"user.note": b"\0\xff\n="}


def test_sockets_and_names_that_would_mean_deletion_are_left_out(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as one:
        one.bind(str(tmp_path / "socket"))
        touch(tmp_path / ".wh.passwd")
        (tmp_path / ".wh.d").mkdir()
        touch(tmp_path / ".wh.d/inside")
        touch(tmp_path / "kept")
        packer = Packer()
        found = members(pack(tmp_path, packer=packer))
    assert sorted(found) == [".", "kept"]
    assert packer.facts["left_out"] == 4
    assert any(note.startswith("/socket: a socket") for note in packer.facts["notes"])


def test_newer_times_are_clamped(tmp_path: Path) -> None:
    touch(tmp_path / "old", ns=5 * SECOND + 7)
    touch(tmp_path / "new", ns=50 * SECOND + 7)
    found = members(pack(tmp_path, epoch=10))
    assert (found["new"].mtime, found["new"].pax_headers) == (10, {})
    assert found["old"].pax_headers == {"mtime": "5.000000007"}


def sparse(path: Path, size: int, *parts: tuple[int, bytes]) -> Path:
    with path.open("wb") as file:
        for offset, content in parts:
            os.pwrite(file.fileno(), content, offset)
        file.truncate(size)
    os.utime(path, ns=(SECOND, SECOND))
    return path


def test_a_file_of_a_terabyte_with_holes(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    sparse(tmp_path / "source/huge", 1 << 40, (1 << 20, b"begin"), ((1 << 40) - 100, b"end"))
    sparse(tmp_path / "source/only a hole", 1 << 39)
    content = pack(tmp_path / "source")
    assert len(content) < 100_000
    out = unpack(content, tmp_path / "out")
    with (out / "huge").open("rb") as file:
        assert os.pread(file.fileno(), 7, (1 << 20) - 1) == b"\0begin\0"
        assert os.pread(file.fileno(), 100, (1 << 40) - 100) == b"end" + bytes(97)
    assert [(out / name).stat().st_size for name in ("huge", "only a hole")] == [1 << 40, 1 << 39]
    assert pack(out) == content
    assert members(content)["huge"].size == 1 << 40  # tarfile reads GNU.sparse 1.0


def test_more_parts_than_a_map_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbcontainers.layer.pack._PARTS", 8)
    (tmp_path / "source").mkdir()
    step = 1 << 20
    sparse(tmp_path / "source/f", 64 * step, *((at * step, b"%d" % at) for at in range(0, 60, 3)))
    out = unpack(pack(tmp_path / "source"), tmp_path / "out")
    assert (out / "f").read_bytes() == (tmp_path / "source/f").read_bytes()


def test_a_file_that_shrinks_while_it_is_read_fills_with_zeros(tmp_path: Path) -> None:
    touch(tmp_path / "f", b"abc" * 400_000)
    with directory(tmp_path) as root:
        pieces = Packer().pieces(merged([root]))
        content = next(pieces)
        os.truncate(tmp_path / "f", 100)
        content += b"".join(pieces)
    found = members(content)["f"]
    assert found.size == 1_200_000
    assert len(content) % 512 == 0


def test_what_goes_or_turns_into_something_else_while_it_is_read_is_passed_over(tmp_path: Path) -> None:
    for name in ("gone", "link", "kept"):
        touch(tmp_path / name, b"1")
    with directory(tmp_path) as root:

        def racing() -> Iterator[Change]:
            for change in merged([root]):
                if change.name == b"gone":
                    (tmp_path / "gone").unlink()
                if change.name == b"link":
                    (tmp_path / "link").unlink()
                    (tmp_path / "link").symlink_to("/etc/passwd")
                yield change

        content = b"".join(Packer().pieces(racing()))
    assert sorted(members(content)) == [".", "kept"]


def test_gnu_tar_reads_it(tmp_path: Path) -> None:
    """Names, kinds, times, links and holes; Go's reader is asked by umoci and skopeo in the system tests."""
    source, out = tmp_path / "source", tmp_path / "out"
    (source / ("d" * 120)).mkdir(parents=True)
    touch(source / ("d" * 120) / ("n" * 150), b"long", ns=5)
    touch(source / "näme \n", b"1", ns=2 * SECOND + 500_000_000)
    os.link(source / "näme \n", source / "same")
    (source / "l").symlink_to("/somewhere/" + "else/" * 40)
    os.mkfifo(source / "fifo", 0o600)
    sparse(source / "sparse", 3 << 20, (1 << 20, b"x" * 5000))
    (tmp_path / "x.tar").write_bytes(pack(source))
    out.mkdir()
    subprocess.run([peers.program("tar"), "-xpf", tmp_path / "x.tar", "-C", out], check=True)
    one, other = picture(source), picture(out)
    for path in (b".", b"l"):  # their times are the reader's business
        one[path][1] = other[path][1] = 0
    assert {path: facts for path, facts in other.items() if b"fifo" not in path} == {
        path: facts for path, facts in one.items() if b"fifo" not in path
    }


MODES = 0o7777 if os.geteuid() == 0 else 0o1777  # unpacked as ours, a file of another owner loses set-id bits
NAMES = st.binary(min_size=1, max_size=30).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..") and not name.startswith(b".wh.")
)
TIMES = st.integers(-(2**31) * SECOND, 2**33 * SECOND)
FILES = st.fixed_dictionaries({
    "kind": st.sampled_from(["file", "file", "link", "fifo", "hard"]), "content": st.binary(max_size=2000),
    "mode": st.integers(0, MODES), "time": TIMES,
    "xattr": st.dictionaries(st.text("abc.", min_size=1, max_size=5), st.binary(max_size=20), max_size=2),
})  # fmt: skip
TREES = st.recursive(
    st.dictionaries(NAMES, FILES, max_size=5),
    lambda inner: st.dictionaries(NAMES, st.one_of(FILES, st.fixed_dictionaries({"tree": inner, "time": TIMES,
        "mode": st.integers(0o700, 0o777)})), max_size=4), max_leaves=12,
)  # fmt: skip


def grow(folder: bytes, tree: dict[bytes, Any], files: list[bytes]) -> None:
    for name, what in tree.items():
        path = os.path.join(folder, name)
        if "tree" in what:
            os.mkdir(path)
            grow(path, what["tree"], files)
            os.chmod(path, what["mode"])
        elif what["kind"] == "link":
            os.symlink(what["content"].replace(b"\0", b"/")[:500] or b"x", path)
        elif what["kind"] == "hard" and files:
            os.link(files[len(what["content"]) % len(files)], path)
            continue
        elif what["kind"] == "fifo":
            os.mkfifo(path)
            os.chmod(path, what["mode"])
        else:
            with open(path, "wb") as file:
                file.write(what["content"])
            for key, value in what["xattr"].items():
                os.setxattr(path, f"user.{key}", value)
            os.chmod(path, what["mode"] | 0o600)  # that others than root can set its attributes
            files.append(path)
        os.utime(path, ns=(what["time"], what["time"]), follow_symlinks=False)


@settings(max_examples=40, deadline=None)
@given(tree=TREES)
def test_what_is_packed_comes_back(tree: dict[bytes, Any]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as place:
        source = Path(place, "source")
        source.mkdir()
        grow(os.fsencode(source), tree, [])
        content = pack(source)
        out = unpack(content, Path(place, "out"))
        assert picture(out) == picture(source)
        assert pack(out) == content


# One pass.


def test_making_gives_blob_and_tree_of_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(50):
        touch(source / str(number), bytes([number]) * 40_000)
    digests = set()
    for form in ("gzip", "zstd", ""):
        out = tmp_path / f"out{form}"
        out.mkdir()
        with directory(source) as root, directory(out) as target:
            layer = Layer(target, userxattr=True, squash=True)
            made = make(merged([root]), b"".join, layer, codec=form)
            layer.finish([])
        digests.add(made.diff_id)
        assert b"".join(codec.chunks(io.BytesIO(made.stored))) == pack(source)
        assert picture(out) == picture(source)
        assert made.facts["entries"] == 51
    assert len(digests) == 1


def test_a_store_that_fails_ends_the_making(tmp_path: Path) -> None:
    for number in range(20):
        touch(tmp_path / str(number), os.urandom(1 << 20))

    def full(pieces: Iterator[bytes]) -> None:
        next(pieces)
        raise OSError(errno.ENOSPC, "No space left on device")

    threads = threading.active_count()
    with directory(tmp_path) as root, pytest.raises(OSError, match="No space left"):
        make(merged([root]), full)
    assert threading.active_count() == threads


def test_a_source_that_fails_ends_the_making() -> None:
    def changes() -> Iterator[Change]:
        raise OSError(errno.EIO, "Input/output error")
        yield

    threads = threading.active_count()
    with pytest.raises(OSError, match="Input/output error"):
        make(changes(), b"".join)
    assert threading.active_count() == threads


def test_aside() -> None:
    counted = Aside(lambda pieces: sum(map(len, pieces)))
    for _ in range(20):
        counted.give(b"abc")
    assert counted.result() == 60
    early: Aside[bytes] = Aside(next)
    for _ in range(20):
        early.give(b"x")  # whoever has seen enough blocks nobody
    assert early.result() == b"x"


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_compression_does_not_depend_on_how_its_input_is_cut(form: str) -> None:
    content = b"".join(b"%d " % (number * number) for number in range(400_000))
    cuts: list[Callable[[], Iterator[bytes]]] = [
        lambda: iter([content]),
        lambda: (content[at : at + 7919] for at in range(0, len(content), 7919)),
        lambda: (content[at : at + (1 << 20)] for at in range(0, len(content), 1 << 20)),
    ]
    found = {b"".join(codec.compress(cut(), form)) for cut in cuts}
    assert len(found) == 1
    [compressed] = found
    assert len(compressed) < len(content) / 2
    assert b"".join(codec.chunks(io.BytesIO(compressed))) == content
    if form == "gzip":
        assert compressed[4:8] == bytes(4)  # no time (RFC 1952)
