"""Where COPY puts files, and that nothing leaves the root it puts them in (builder/putting.py)."""

from __future__ import annotations

import os
import socket
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nbcontainers.builder.putting import Putter, Rights, is_archive
from nbcontainers.builder.selection import Root, select
from nbcontainers.errors import BuildError

Put = Callable[..., Path]


@pytest.fixture
def source(tmp_path: Path) -> Root:
    folder = tmp_path / "source"
    for name in ("a", "d/x", "d/e/y"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        os.utime(folder / name, ns=(5, 10**18 + 7))
    (folder / "a").chmod(0o640)
    (folder / "d/link").symlink_to("x")
    (folder / "top").symlink_to("d/x")
    os.link(folder / "d/x", folder / "d/z")
    return Root(str(folder))


@pytest.fixture
def put(source: Root, tmp_path: Path) -> Iterator[Put]:
    """put("d", "/dest/", mode=…): the root it was put in."""
    target = tmp_path / "target"
    target.mkdir()
    mask = os.umask(0)

    def once(path: str, destination: str, *, mode: str = "", parents: bool = False) -> Path:
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        putter = Putter(root, str(target), Rights((os.geteuid(), os.getegid()), mode))
        try:
            for match in select(source, path, parents=parents):
                putter.put(source, match, destination, parents=parents)
        finally:
            putter.close()
            os.close(root)
        return target

    yield once
    os.umask(mask)
    source.close()


def listed(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.mark.parametrize(
    "path, destination, expected",
    [
        ("a", "/x", ["x"]), ("a", "/x/", ["x", "x/a"]), ("a", "/x/y/z", ["x", "x/y", "x/y/z"]), ("top", "/", ["top"]),
        ("d", "/x", ["x", "x/e", "x/e/y", "x/link", "x/x", "x/z"]), ("d/e", "/", ["y"]), ("d/*", "/x/", ["x", "x/link", "x/x", "x/y", "x/z"]),
    ],
)  # fmt: skip
def test_places(put: Put, path: str, destination: str, expected: list[str]) -> None:
    assert listed(put(path, destination)) == expected


def test_facts_of_files(put: Put) -> None:
    root = put("a", "/new/a")
    facts = (root / "new/a").stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_mtime_ns) == (0o640, 10**18 + 7)
    assert stat.S_IMODE((root / "new").stat().st_mode) == 0o755
    put("d", "/d")
    assert (root / "d/x").stat().st_ino == (root / "d/z").stat().st_ino, "names of one file stay that"
    assert os.readlink(root / "d/link") == "x"
    assert (put("a", "/m", mode="u=rwX,go=") / "m").stat().st_mode & 0o777 == 0o600
    assert (put("a", "/m", mode="4711") / "m").stat().st_mode & 0o7777 == 0o4711


def test_links_of_the_destination_end_inside(put: Put, tmp_path: Path) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    outside.mkdir()
    (target / "in").mkdir()
    (target / "out").symlink_to(outside)
    (target / "abs").symlink_to("/in")
    (target / "up").symlink_to("../../..")
    (target / "file").symlink_to("in/named")
    (target / "in/named").write_text("old")
    put("a", "/abs/a")
    put("d", "/up/d")
    put("a", "/file")
    put("a", "/out/x")
    assert list(outside.iterdir()) == []
    assert (target / "in/a").read_text() == (target / "in/named").read_text() == "a"
    assert (target / "d/x").read_text() == "d/x"
    assert (target / "file").is_symlink()


def test_what_cannot_take_a_place(put: Put) -> None:
    put("a", "/f")
    with pytest.raises(BuildError, match="a folder cannot take the place of the file"):
        put("d", "/f")


def test_within_a_folder_everything_takes_its_place(put: Put) -> None:
    put("a", "/d/e/y/deep")
    root = put("a", "/d/e/z")
    (root / "d/x").symlink_to("e")
    put("d", "/d")
    assert (root / "d/e/y").is_file()
    assert not (root / "d/x").is_symlink()
    (root / "d/e").rename(root / "d/old")
    (root / "d/e").symlink_to("old")
    (root / "d/old/y").unlink()
    put("d", "/d")
    assert not (root / "d/e").is_symlink()
    assert (root / "d/e/y").is_file()
    assert not (root / "d/old/y").exists()


def test_a_name_of_a_file_that_was_replaced(source: Root, tmp_path: Path) -> None:
    """one/f and three/g are one file, and two/f comes between them."""
    folder, target = Path(source.path), tmp_path / "target"
    for name in ("one", "two", "three", "four/f"):
        (folder / name).mkdir(parents=True)
    (folder / "one/f").write_text("linked")
    (folder / "two/f").write_text("two")
    os.link(folder / "one/f", folder / "three/g")
    os.link(folder / "one/f", folder / "four/f/h")
    os.link(folder / "one/f", folder / "four/k")
    target.mkdir()
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    with closing(Putter(root, str(target), Rights((os.geteuid(), os.getegid()), ""))) as putter:
        for name in ("one", "two", "three", "four", "two"):
            putter.put(source, select(source, name)[0], "/", parents=False)
        putter.put(source, select(source, "four/k")[0], "/k2", parents=False)
    os.close(root)
    assert {path.name: path.read_text() for path in target.iterdir()} == {
        "f": "two", "g": "linked", "k": "linked", "k2": "linked",
    }  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="needs CAP_MKNOD and CAP_CHOWN")
def test_what_becomes_ours_gains_nothing(source: Root, tmp_path: Path) -> None:
    """--output: no devices, and no program of another user that would run as us."""
    folder, target = Path(source.path) / "d", tmp_path / "target"
    os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.link(folder / "null", folder / "zero")
    for name, owner in (("ours", 0), ("theirs", 5)):
        (folder / name).write_text("")
        os.chown(folder / name, owner, owner)
        (folder / name).chmod(0o4755)
    target.mkdir()
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    with closing(Putter(root, str(target), Rights(None, "", squash=True))) as putter:
        putter.contents(source, select(source, "d")[0], "/")
    os.close(root)
    assert not {"null", "zero"} & {*os.listdir(target)}
    assert stat.S_IMODE((target / "ours").stat().st_mode) == 0o4755
    assert stat.S_IMODE((target / "theirs").stat().st_mode) == 0o755


def test_a_file_takes_the_place_of_a_file(put: Put) -> None:
    root = put("a", "/f")
    os.chmod(root / "f", 0o777)
    put("d/x", "/f")
    assert ((root / "f").read_text(), stat.S_IMODE((root / "f").stat().st_mode)) == ("d/x", 0o644)


def test_parents(put: Put) -> None:
    assert listed(put("d/e/y", "/p/", parents=True)) == ["p", "p/d", "p/d/e", "p/d/e/y"]


def test_a_folder_that_became_a_link_is_not_followed(put: Put, source: Root, tmp_path: Path) -> None:
    """Between looking and copying somebody exchanged it."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/y").write_text("secret")
    [match] = select(source, "d/e/y")
    os.rename(f"{source.path}/d/e", f"{source.path}/d/moved")
    os.symlink(tmp_path / "secret", f"{source.path}/d/e")
    root = os.open(tmp_path / "target", os.O_RDONLY | os.O_DIRECTORY)
    putter = Putter(root, str(tmp_path / "target"), Rights(None, ""))
    try:
        with pytest.raises(FileNotFoundError):
            putter.put(source, match, "/y", parents=False)
    finally:
        putter.close()
        os.close(root)
    assert not (tmp_path / "target/y").exists()


def test_archives_are_known_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("no archive")
    (tmp_path / "empty").write_text("")
    (tmp_path / "f").write_text("x")
    for kind in ("", "gz", "bz2", "xz"):
        with tarfile.open(tmp_path / f"t{kind}", f"w:{kind}") as archive:
            archive.add(tmp_path / "f", "f")
    known = {path.name: is_archive(str(path)) for path in tmp_path.iterdir()}
    assert known == {"text.tar": False, "empty": False, "f": False, "t": True, "tgz": True, "tbz2": True, "txz": True}


def test_new_folders_above_have_the_octal_mode_of_chmod(put: Put) -> None:
    root = put("a", "/new/sub/f", mode="770")
    put("a", "/new/other/f", mode="u=rwx")
    put("d", "/c/d", mode="700")
    modes = {name: stat.S_IMODE((root / name).stat().st_mode) for name in ("new", "new/sub", "new/other", "c", "c/d")}
    assert modes == {"new": 0o770, "new/sub": 0o770, "new/other": 0o755, "c": 0o700, "c/d": 0o755}


def test_the_owner_of_a_new_folder_is_set_inside_the_root(put: Put, tmp_path: Path) -> None:
    """What an absolute link on the way means on the host is none of it."""
    outside = tmp_path / "outside"
    (outside / "new").mkdir(parents=True)
    (outside / "new").chmod(0o711)
    (tmp_path / "target" / "link").symlink_to(outside)
    (tmp_path / f"target{outside}").mkdir(parents=True)
    root = put("a", "/link/new/f", mode="750")
    assert stat.S_IMODE((outside / "new").stat().st_mode) == 0o711
    assert stat.S_IMODE((root / f"{outside}/new".lstrip("/")).stat().st_mode) == 0o750


def test_a_socket_becomes_an_empty_file(put: Put, source: Root) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(f"{source.path}/d", os.O_PATH)
        one.bind(f"/proc/self/fd/{here}/s")
        os.close(here)
        os.chmod(f"{source.path}/d/s", 0o640)
        facts = (put("d", "/x") / "x/s").lstat()
    assert (stat.S_IFMT(facts.st_mode), stat.S_IMODE(facts.st_mode), facts.st_size) == (stat.S_IFREG, 0o640, 0)
