"""`container cp` as Docker has it: its table, owners, modes, tars; of containers that run, ended or never started."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.container import api
from nbcontainers.container.container import Container
from nbcontainers.errors import Error, InvalidArgument, NotFound
from tests import copying, inside, peers
from tests.crafted import Canary

ROOT = os.geteuid() == 0
ROOT_FOLDER = Path(__file__).parents[2]


@pytest.fixture
def box() -> Iterator[Container]:
    """A running container."""
    with api.run("mini", "sleep", "1000", detach=True, network="none", name=f"cp-{uuid.uuid4().hex[:8]}") as container:
        yield container


def sh(container: Container, script: str) -> str:
    out = bytearray()
    container.exec("sh", "-c", script, stdout=out.extend)
    return out.decode()


def make_tree(folder: Path) -> Path:
    (folder / "d/sub").mkdir(parents=True)
    (folder / "d/file").write_text("one")
    (folder / "d/file").chmod(0o640)
    (folder / "d/sub/more").write_text("more")
    (folder / "d/link").symlink_to("file")
    (folder / "d/away").symlink_to("/etc/passwd")
    os.link(folder / "d/file", folder / "d/sub/hard")
    return folder / "d"


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["in", "out"])
def test_the_table_of_docker_cp(box: Container, tmp_path: Path, way: str) -> None:
    """tests/system/cp.txt was written by Docker: `python -m tests.copying`."""
    cases = copying.read()
    assert len(cases) >= 200
    cases = cases if ROOT else cases[::4]

    def within(script: str) -> str:
        return sh(box, f"mkdir -p /w; cd /w; {script}")

    def copy(words: list[str]) -> bool:
        source, destination = words[-2:]
        try:
            box.cp(source, destination, follow_link="-L" in words)
        except Error as error:
            return not error.hint  # each says what to type
        return True

    here, there = copying.host_shell(tmp_path), f"{tmp_path}/"
    ends = (here, within, (there, ":/w/")) if way == "in" else (within, here, (":/w/", there))
    found = zip(cases, copying.outcomes(cases, copy, *ends), strict=True)
    assert [(case, outcome) for case, outcome in found if outcome != case.expected(way)] == []


@pytest.mark.as_root
@pytest.mark.slow
def test_docker_still_says_so(peer: Callable[[str], str]) -> None:
    """Every twentieth line of both tables."""
    peer("dockerd")
    for module in ("tests.copying", "tests.mounting"):
        done = peers.run(
            sys.executable, "-m", module, "check", "20", timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT_FOLDER)}
        )
        assert "Docker agrees" in done.stdout, done.stdout + done.stderr


# -- what a copy has ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["running", "created", "exited"])
def test_there_and_back(state: str, tmp_path: Path) -> None:
    source = make_tree(tmp_path)
    name = f"cp-{uuid.uuid4().hex[:8]}"
    command, options = ["sleep", "1000"], {"name": name, "network": "none", "volume": ["/data"]}
    made = (
        api.create("mini", *command, **options)
        if state == "created"
        else api.run("mini", *command, detach=True, **options)
    )
    with made as container:
        if state == "exited":
            container.kill().wait()
        assert container.status == state
        for place in ("/root/d", "/data/d"):
            container.cp(source, f":{place}")
            container.cp(f":{place}", tmp_path / "back")
            assert (tmp_path / "back/file").read_text() == "one"
            assert (tmp_path / "back/file").stat().st_mode & 0o7777 == 0o640
            assert (tmp_path / "back/file").stat().st_mtime_ns == (source / "file").stat().st_mtime_ns
            assert (tmp_path / "back/file").stat().st_ino == (tmp_path / "back/sub/hard").stat().st_ino
            assert os.readlink(tmp_path / "back/away") == "/etc/passwd"
            assert {path.lstat().st_uid for path in (tmp_path / "back").rglob("*")} == {os.geteuid()}
            subprocess.run(["rm", "-r", tmp_path / "back"], check=True)
        if state != "running":
            container.start()
        assert sh(container, "cat /root/d/sub/more /data/d/file; stat -c %u:%g:%a /data/d/file") == "moreone0:0:640\n"
        container.rm(force=True, volumes=True)


def test_between_two_runs(tmp_path: Path) -> None:
    """A container that waits to be started again by its policy has its files mounted already."""
    (tmp_path / "go").write_text("on")
    script = "if test -e /data/go && test -e /go; then sleep 1000; fi; exit 1"
    options: dict[str, Any] = {"restart": "always", "network": "none", "volume": ["/data"]}
    with api.run("mini", "sh", "-c", script, detach=True, **options) as container:
        wait_for(lambda: container.status == "restarting")
        container.cp(tmp_path / "go", ":/data/")
        container.cp(tmp_path / "go", ":/go")
        wait_for(lambda: container.status == "running" and "sleep" in str(container.top()))
        container.rm(force=True, volumes=True)


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_owners(box: Container, tmp_path: Path) -> None:
    """Ours when it comes out, root's when it goes in; with -a as they were."""
    sh(box, "mkdir /o; echo x > /o/f; chown 5:6 /o/f; chmod 4755 /o/f")
    box.cp(":/o", tmp_path / "plain")
    status = (tmp_path / "plain/f").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (os.geteuid(), os.getegid(), 0o755)
    box.cp(":/o", ":/kept", archive=True)
    box.cp(":/o", ":/roots")
    assert sh(box, "stat -c %u:%g:%a /kept/f /roots/f").split() == ["5:6:4755", "0:0:755"]
    if ROOT:
        box.cp(":/o/f", tmp_path / "kept", archive=True)
        assert (tmp_path / "kept").stat().st_uid == 5
        assert (tmp_path / "kept").stat().st_mode & 0o7777 == 0o4755
        box.cp(tmp_path / "kept", ":/k", archive=True)
        assert sh(box, "stat -c %u:%g:%a /k") == "5:6:4755\n"


def test_extended_attributes_and_holes(box: Container, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"start")
    os.truncate(tmp_path / "f", 1 << 30)
    named = takes_xattrs(tmp_path / "f")
    box.cp(tmp_path / "f", ":/f")
    assert int(sh(box, "stat -c %b /f")) * 512 < 1 << 20
    box.cp(":/f", tmp_path / "g")
    assert (tmp_path / "g").stat().st_size == 1 << 30
    assert (tmp_path / "g").stat().st_blocks * 512 < 1 << 20
    assert not named or os.getxattr(tmp_path / "g", "user.test") == b"x"


def takes_xattrs(file: Path) -> bool:
    try:
        os.setxattr(file, "user.test", b"x")
    except OSError:
        return False
    return True


def test_files_of_the_kernel_and_mounted_files(box: Container, tmp_path: Path) -> None:
    box.cp(":/proc/1/status", tmp_path / "status")
    assert "Name:\tsleep" in (tmp_path / "status").read_text()
    (tmp_path / "hosts").write_text("1.2.3.4 here\n")
    box.cp(tmp_path / "hosts", ":/etc/hosts")
    assert sh(box, "cat /etc/hosts") == "1.2.3.4 here\n"
    box.cp(":/etc/hosts", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "1.2.3.4 here\n"


def test_what_cannot_be_copied_is_said(box: Container, tmp_path: Path) -> None:
    sh(box, "mkdir /s; echo x > /s/f")
    (tmp_path / "in").mkdir()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "in/socket"))
        with pytest.warns(UserWarning, match="lacks 1 of the files.*a socket"):
            box.cp(tmp_path / "in", ":/s")
    assert sh(box, "ls /s/in") == ""


@pytest.mark.as_root
def test_a_device_does_not_come_out_by_itself(tmp_path: Path) -> None:
    """A container that may make devices makes one that everybody may open."""
    with inside.running(network="none", cap_add=["MKNOD"]) as container:
        sh(container, "mkdir /d; mknod /d/disk c 1 7; chmod 666 /d/disk; mkfifo /d/pipe")
        with pytest.warns(UserWarning, match="/disk: a device"):
            container.cp(":/d", tmp_path / "d")
        assert [path.name for path in (tmp_path / "d").iterdir()] == ["pipe"]
        container.cp(":/d", tmp_path / "all", archive=True)
        assert (tmp_path / "all/disk").is_char_device()


def test_a_copy_replaces_what_a_link_leads_to_and_no_device(box: Container, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    sh(box, "mkdir /v; ln -s /dev/null /v/link; echo old > /v/old; ln -s old /v/to")
    box.cp(tmp_path / "f", ":/v/to")
    assert sh(box, "cat /v/old; readlink /v/to") == "xold\n"
    before = os.stat("/dev/null")
    inside.explained(lambda: box.cp(tmp_path / "f", ":/v/link"))
    after = os.stat("/dev/null")
    assert (after.st_mode, after.st_uid, after.st_rdev) == (before.st_mode, before.st_uid, before.st_rdev)


def test_of_the_hosts_own_root(tmp_path: Path) -> None:
    """Put together from the host's folders; running and ended."""
    (tmp_path / "f").write_text("in\n")
    with api.create("host", "cat", "/opt/f", network="none") as container:
        container.cp(tmp_path / "f", ":/opt/")
        out = bytearray()
        container.start(attach=True, stdout=out.extend)
        assert out == b"in\n"
        container.cp(":/opt/f", tmp_path / "back")
        assert (tmp_path / "back").read_text() == "in\n"
    assert not Path("/opt/f").exists()


def test_what_the_kernel_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with inside.running(network="none", volume=[f"{tmp_path}:/data:ro"]) as container:
        with pytest.raises(Error, match=r"file could not be copied to .*:/data/new: Read-only file system") as caught:
            container.cp(tmp_path / "file", ":/data/new")
        assert "read-only mount" in caught.value.hint


def test_between_containers(box: Container) -> None:
    with api.create("mini", "cat", "/copy/f", network="none") as other:
        sh(box, "mkdir /c; echo between > /c/f")
        api.cp(f"{box.name}:/c", (other, "/copy"))
        out = bytearray()
        other.start(attach=True, stdout=out.extend)
        assert out == b"between\n"


def test_a_folder_is_not_copied_into_itself(box: Container) -> None:
    sh(box, "mkdir -p /r/sub; echo x > /r/f")
    with pytest.raises(InvalidArgument, match="cannot be copied into itself"):
        box.cp(":/r", ":/r/sub")
    assert int(sh(box, "find /r | wc -l")) < 8


@pytest.mark.parametrize(
    ("source", "destination", "kind", "message"),
    [
        ("a", "b", InvalidArgument, "neither end"), ("{}:", "b", InvalidArgument, "names no path"), ("", "b", InvalidArgument, "is no path"),
        ("{}:/none", "b", NotFound, "there is no {}:/none"), ("{}:/etc/passwd/", "b", InvalidArgument, "is no folder"),
        ("{}:/etc", "none/b", NotFound, "there is no none/b"), ("nobody:/etc", "b", NotFound, "no container 'nobody'"),
        ("{}:/etc/passwd", "none/", NotFound, "there is no folder none/"), ("-", "{}:/none", InvalidArgument, "standard input"),
        (5, "{}:/x", InvalidArgument, "5 is no path"),
    ],
)  # fmt: skip
def test_ends_that_do_not_go_together(
    box: Container,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: Any,
    destination: str,
    kind: type[Error],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = source.format(box.name) if isinstance(source, str) else source
    with pytest.raises(kind) as caught:
        api.cp(given, destination.format(box.name))
    assert message.format(box.name) in caught.value.message
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


# -- tars --------------------------------------------------------------------------------------------------------------


def test_a_tar_out_and_in(box: Container, tmp_path: Path) -> None:
    """On the command line: `-`."""
    sh(box, "mkdir -p /t/sub; echo one > /t/f; ln -s f /t/l; chown 7:8 /t/f; touch /t/.wh.x")
    cli = [sys.executable, "-m", "nbcontainers", "cp"]
    for path, root in (("/t", "t"), ("/t/.", "."), ("/t/f", "f")):
        data = subprocess.run([*cli, f"{box.name}:{path}", "-"], check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            names = [name.removeprefix("./") or "." for name in tar.getnames()]
            assert names[0] == root, path
            one = tar.getmember(next(name for name in tar.getnames() if name.endswith("f")))
            assert (one.uid, one.gid, one.size) == (7, 8, 4)
    subprocess.run([*cli, f"{box.name}:/t", "-"], check=True, stdout=(tmp_path / "t.tar").open("wb"))
    subprocess.run(["gzip", tmp_path / "t.tar"], check=True)
    subprocess.run([*cli, "-", f"{box.name}:/tmp"], check=True, stdin=(tmp_path / "t.tar.gz").open("rb"))
    assert sh(box, "cat /tmp/t/f; readlink /tmp/t/l; ls -A /tmp/t; stat -c %u:%g /tmp/t/f").split() == [
        "one", "f", ".wh.x", "f", "l", "sub", "7:8",
    ]  # fmt: skip
    done = subprocess.run([*cli, "-", f"{box.name}:/etc/passwd"], capture_output=True, text=True, input="", check=False)
    assert done.returncode == 1
    assert "is no folder, and a tar needs one" in done.stderr


def test_a_hostile_tar_stays_inside(box: Container, tmp_path: Path, canary: Canary) -> None:
    """Names that lead out, links that lead out, and members below such links."""
    sh(box, f"mkdir /in; ln -s / /in/root; ln -s {canary.folder} /in/canary")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("../../up", "/absolute", "root/below", "canary/below", f"..{canary.folder}/plain"):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    command = [sys.executable, "-m", "nbcontainers", "cp", "-", f"{box.name}:/in"]
    done = subprocess.run(command, input=buffer.getvalue(), capture_output=True, check=False)
    assert done.returncode == 1
    assert "is no folder" in done.stderr.decode()
    assert sh(box, "ls -A / | grep -c below || true") == "0\n"


# -- somebody who races with us ----------------------------------------------------------------------------------------

FLIP = """
import os, ctypes
libc = ctypes.CDLL(None, use_errno=True)
os.makedirs("/flip/real", exist_ok=True)
open("/flip/real/file", "w").write("real")
os.symlink(CANARY, "/flip/link")
print("ready", flush=True)
while True:
    libc.renameat2(-100, b"/flip/real", -100, b"/flip/link", 2)
"""


def test_a_container_that_exchanges_folders_and_links_wins_nothing(canary: Canary, tmp_path: Path) -> None:
    """CVE-2018-15664: in and out while a folder becomes a link to the host's and back."""
    script = FLIP.replace("CANARY", repr(str(canary.folder)))
    (tmp_path / "new").write_text("new")
    with inside.running("host", sys.executable, "-c", script, tmpfs=["/flip"]) as container:
        for number in range(40):
            for source, destination in (
                (tmp_path / "new", ":/flip/real/new"),
                (":/flip/real/.", tmp_path / f"out{number}"),
            ):
                try:
                    container.cp(source, destination)
                except Error:
                    continue
    assert {path.name for path in tmp_path.glob("out*/*")} <= {"file", "new"}
