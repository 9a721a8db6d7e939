"""The tar reader against the standard library's writer, GNU tar, and archives made by hand."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from nbcontainers.errors import ImageError
from nbcontainers.layer import tar
from tests import tarballs as t


def read(content: bytes, step: int = 10_000, budget: tar.Budget | None = None) -> list[tuple[tar.Entry, bytes]]:
    pieces = (content[at : at + step] for at in range(0, len(content), step))
    reader = tar.Reader(pieces, budget)
    return [(entry, b"".join(bytes(view) for view in reader.data())) for entry in reader]


def one(*members: bytes) -> tar.Entry:
    (found,) = read(t.archive(*members))
    return found[0]


def fails(content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read(content)
    return caught.value.message


@pytest.mark.parametrize("step", [1, 511, 513, 4096, 1 << 20])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_reads_what_the_standard_library_writes(step: int, form: int) -> None:
    buffer = io.BytesIO()
    long = "d" * 60 + "/" + "n" * 90
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, size in (("a", 0), ("b", 1), ("c", 512), ("d", 5000), (long, 3)):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.gid, info.mtime = size, 0o4755, 1000, 100, 1_234_567_890
            archive.addfile(info, io.BytesIO(bytes(range(256)) * 20))
    found = read(buffer.getvalue(), step)
    assert [(e.name, e.size, e.mode, e.uid, e.gid) for e, _ in found] == [
        (name, size, 0o4755, 1000, 100)
        for name, size in ((b"a", 0), (b"b", 1), (b"c", 512), (b"d", 5000), (long.encode(), 3))
    ]
    assert all(data == (bytes(range(256)) * 20)[: e.size] for e, data in found)


def test_pax_overrides_every_field() -> None:
    entry = one(
        t.pax(
            {"path": "new/ñame", "uid": "3000000", "gid": "4294967294", "mtime": "-1.5", "SCHILY.xattr.user.a": b"\0="}
        ),
        t.file("old", uid=1, gid=2),
    )
    assert (entry.name, entry.uid, entry.gid, entry.mtime_ns) == (
        "new/ñame".encode(),
        3_000_000,
        2**32 - 2,
        -1_500_000_000,
    )
    assert entry.xattrs == {b"user.a": b"\0="}


def test_pax_size_and_link() -> None:
    content = t.archive(t.pax({"size": "3"}) + t.header("a", size=0) + t.padded(b"xyz"), t.file("b", b"q"))
    assert [data for _, data in read(content)] == [b"xyz", b"q"]
    assert one(t.pax({"linkpath": "x" * 300}), t.symlink("l", "short")).link == b"x" * 300


def test_base_256_numbers_and_old_headers() -> None:
    entry = one(t.file("big", uid=2**31, gid=2**32 - 2, mtime=-5))
    assert (entry.uid, entry.gid, entry.mtime_ns) == (2**31, 2**32 - 2, -5_000_000_000)
    assert one(t.header("old/", type=b"\0", magic=b"\0" * 8)).type == tar.DIRECTORY
    assert one(t.file("f", type=b"7")).type == tar.REGULAR
    assert one(t.file("n", prefix=b"p/q")).name == b"p/q/n"
    assert one(t.file("n", prefix=b"p/q", magic=b"ustar  \0")).name == b"n"


def test_gnu_long_names() -> None:
    entry = one(t.gnu_long(b"a/" * 200 + b"end"), t.gnu_long(b"z" * 300, b"K"), t.symlink("short", "short"))
    assert entry.name == b"a/" * 200 + b"end"
    assert entry.link == b"z" * 300


def test_gnu_and_pax_must_agree() -> None:
    assert "two names" in fails(t.archive(t.pax({"path": "one"}), t.gnu_long(b"two"), t.file("three")))
    assert one(t.pax({"path": "one"}), t.gnu_long(b"one"), t.file("three")).name == b"one"


def test_global_headers_and_volume_labels_are_passed_over() -> None:
    assert one(t.pax({"path": "evil"}, b"g"), t.header("label", type=b"V"), t.file("good")).name == b"good"


def test_names_need_not_be_utf8() -> None:
    assert one(t.file(b"\xff\xfe")).name == b"\xff\xfe"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"hello", "ends within a header"),
        (b"x" * 1024, "no tar archive"),
        (t.file("a", b"b" * 600)[:700], "ends within a file"),
        (t.file("a") + b"\1" * 512, "wrong header checksum"),
        (t.header("a", checksum=b"0000001\0"), "no tar archive"),
        (t.header("a", size=-1), "impossible size"),
        (t.header("a", size=b"12x"), "no number"),
        (t.header("a", size=b"999"), "no octal"),
        (t.header("a", uid=2**32), "impossible owner"),
        (t.header("a", uid=-2), "impossible owner"),
        (t.pax({"path": b"a\0b"}) + t.file("x"), "NUL in a name"),
        (t.pax({"uid": "-1"}) + t.file("x"), "no number"),
        (t.pax({"size": "9" * 40}) + t.file("x"), "no number"),
        (t.pax({"mtime": "now"}) + t.file("x"), "no time"),
        (t.pax(b"5 a=b\n") + t.file("x"), "bad PAX record"),
        (t.pax(b"999 path=b\n") + t.file("x"), "bad PAX record"),
        (t.pax(b"0 \n") + t.file("x"), "bad PAX record"),
        (t.pax({"path": "x"}), "ends after an extended header"),
        (t.header("a", type=b"x", size=2 << 20) + bytes(2 << 20), "are allowed"),
        (t.header("a", type=b"?"), "unknown type"),
        (bytes(512) + t.file("a"), "lone zero block"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_defects_are_named(content: bytes, message: str) -> None:
    assert message in fails(content)


def test_entries_are_counted() -> None:
    with pytest.raises(ImageError, match="more than 3 entries"):
        read(t.archive(*[t.file(f"f{n}") for n in range(4)]), budget=tar.Budget(entries=3))


def test_a_missing_end_mark_is_fine() -> None:
    assert len(read(t.file("a"))) == 1


SPARSE = b"A" * 512, b"B" * 100


def sparse_expected(parts: list[tuple[int, int]], data: bytes, size: int) -> bytes:
    content, at = bytearray(size), 0
    for offset, length in parts:
        content[offset : offset + length] = data[at : at + length]
        at += length
    return bytes(content)


def test_old_gnu_sparse_with_extension() -> None:
    parts = [(1024 * n, 512) for n in range(1, 28)]
    first, rest = parts[:4], parts[4:]
    tail = b"\0" * 41 + b"".join(t.octal(v, 12) for part in first for v in part) + b"\1" + t.octal(40_000, 12)
    more = b"".join(t.octal(v, 12) for part in rest[:21] for v in part).ljust(504, b"\0") + b"\1" + bytes(7)
    last = b"".join(t.octal(v, 12) for part in rest[21:] for v in part).ljust(504, b"\0") + bytes(8)
    data = b"x" * 512 * len(parts)
    content = t.header("s", type=b"S", size=len(data), magic=b"ustar  \0", tail=tail) + more + last + data + t.END
    ((entry, found),) = read(content)
    assert (entry.size, entry.map, found) == (40_000, parts, data)


def test_pax_sparse_0_0_and_0_1() -> None:
    data = SPARSE[0] + SPARSE[1]
    repeated = b"".join(
        t.record(key, value)
        for key, value in (
            ("GNU.sparse.size", "9000"), ("GNU.sparse.offset", "0"), ("GNU.sparse.numbytes", "512"),
            ("GNU.sparse.offset", "4096"), ("GNU.sparse.numbytes", "100"),
        )
    )  # fmt: skip
    entry = one(t.pax(repeated), t.file("s", data))
    assert (entry.size, entry.map) == (9000, [(0, 512), (4096, 100)])
    named = {"GNU.sparse.size": "9000", "GNU.sparse.map": "0,512,4096,100", "GNU.sparse.name": "real"}
    entry = one(t.pax(named), t.file("GNUSparseFile.0/s", data))  # type: ignore[arg-type]
    assert (entry.name, entry.size, entry.map) == (b"real", 9000, [(0, 512), (4096, 100)])


@pytest.mark.parametrize("numbers", ["0,512,100,100", "0,512,8950,100", "0,512,4096,99", "0,512,4096"])
def test_sparse_maps_that_lie(numbers: str) -> None:
    data = SPARSE[0] + SPARSE[1]
    records = {"GNU.sparse.size": "9000", "GNU.sparse.map": numbers}
    assert "sparse" in fails(t.archive(t.pax(records), t.file("s", data)))  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["gnu", "pax0.0", "pax0.1", "pax1.0"])
def test_sparse_files_of_gnu_tar(form: str, tmp_path: Path) -> None:
    if not shutil.which("tar"):
        pytest.skip("GNU tar is not installed")
    with open(tmp_path / "s", "wb") as file:
        for n in range(40):
            os.pwrite(file.fileno(), b"%03d" % n, n * 100_000)
        file.truncate(5_000_000)
    kind = ["--format=gnu"] if form == "gnu" else ["--format=posix", f"--sparse-version={form[3:]}"]
    made = subprocess.run(["tar", "-C", tmp_path, "-cS", *kind, "s"], capture_output=True, check=True)
    ((entry, data),) = read(made.stdout)
    assert (entry.name, entry.size) == (b"s", 5_000_000)
    assert sparse_expected(entry.map or [], data, entry.size) == (tmp_path / "s").read_bytes()
    assert len(data) < 1_000_000


def test_members_are_found_without_reading_the_data(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(
        t.archive(t.file("one", b"x" * 100_000), t.pax({"path": "two"}), t.file("n", b"hello"), t.file("z"))
    )
    with path.open("rb") as file:
        found = {
            entry.name: os.pread(file.fileno(), min(entry.size, 5), at) for entry, at in tar.members(file.fileno())
        }
    assert found == {b"one": b"xxxxx", b"two": b"hello", b"z": b""}
