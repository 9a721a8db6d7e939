"""container diff, commit and export: what comes out of a container, compared with what was in it and with peers.

Hostile content of a container (names, links, holes, depths) is in test_commit_hostile.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers.advice import Advice
from nbcontainers.container import api, committing
from nbcontainers.container.container import find
from nbcontainers.container.stillness import frozen
from nbcontainers.engine import Engine
from nbcontainers.errors import Error, ImageError, InvalidArgument, InvalidState
from nbcontainers.image import api as images
from nbcontainers.image import layout, removal
from nbcontainers.layer import codec
from tests import listing, peers
from tests import tarballs as t
from tests.bench import programs
from tests.system.test_image_peers import different, merged
from tests.system.test_image_peers import run as host

Peer = Callable[[str], str]
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
APPLETS = (
    "sh cat chmod chown dd echo env find ln ls mkdir mkfifo mknod mv printf rm sleep stat touch true truncate".split()
)


def base() -> bytes:
    """The root file system that the containers of these tests begin with."""
    busybox = Path(peers.program("busybox")).read_bytes()
    return t.archive(
        t.folder("./"), t.folder("bin"), t.file("bin/busybox", busybox, mode=0o755),
        *[t.symlink(f"bin/{name}", "busybox") for name in APPLETS], t.folder("tmp", mode=0o1777), t.folder("etc"),
        t.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"), t.file("etc/group", b"root:x:0:\n"),
        t.file("etc/hosts", b""), t.folder("etc/deep"), t.file("etc/deep/x", b"1"), t.file("etc/deep/y", b"2"),
        t.folder("gone"), t.file("gone/1", b"1"), t.folder("gone/in"), t.file("gone/in/2", b"22"), t.folder("moved"),
        t.file("moved/f", b"f"), t.symlink("link", "etc"), t.folder("dir"), t.file("dir/f", b"f"),
        t.pax({"SCHILY.xattr.user.note": b"\0\xff"}), t.file("noted", b"n", uid=5, gid=6),
        t.pax({"SCHILY.xattr.security.capability": CAPABILITY}), t.file("capable", b"c", mode=0o755),
        t.folder("proc"), t.folder("sys"), t.folder("dev"), t.folder("untouched"), t.file("untouched/f", b"f"),
    )  # fmt: skip


SCRIPT = r"""
set -e
echo new > /etc/new; echo 'more:x:7:7::/:' >> /etc/passwd; chmod 600 /etc/group
rm -r /gone
rm -r /etc/deep; mkdir /etc/deep; echo 3 > /etc/deep/y; echo z > /etc/deep/z
mv /moved /renamed
rm /link; mkdir /link; echo 1 > /link/f
rm -r /dir; ln -s /etc /dir
echo a > /h1; ln /h1 /h2; ln /etc/passwd /etc/same
chown 1000:1000 /noted; chmod 700 /capable
mkdir -m 1777 /sticky; mkdir /empty; echo s > /suid; chmod 4711 /suid
mkfifo /fifo
touch -d '1971-02-03 04:05:06' /old
truncate -s 3000000 /holes; echo x | dd of=/holes bs=1 seek=2000000 conv=notrunc 2>/dev/null
touch "/$(printf 'a\nb')" "/$(printf '\377\376')"
mkdir /"$(printf '%0200d' 1)"; touch /"$(printf '%0200d' 1)"/"$(printf '%0200d' 2)"
cat /untouched/f > /dev/null
"""
EXPECTED = r"""
C /capable; C /dir; A /empty; C /etc; C /etc/deep; D /etc/deep/x; C /etc/deep/y; A /etc/deep/z; C /etc/group; A /etc/new;
C /etc/passwd; A /etc/same; A /fifo; D /gone; A /h1; A /h2; A /holes; C /link; A /link/f; D /moved; C /noted; A /old;
A /renamed; A /renamed/f; A /sticky; A /suid
"""
LOOK = r"""find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /etc/hosts -o -path /etc/hostname \
 -o -path /etc/resolv.conf \) -prune -o ! -path / -exec stat -c '%n %f %u %g %Y' {} +"""


@pytest.fixture
def changed(fresh_engine: Engine, tmp_path: Path) -> Iterator[nbcontainers.Container]:
    """A container that has done all of SCRIPT, and volumes that must not be seen."""
    (tmp_path / "base.tar").write_bytes(base())
    images.import_(str(tmp_path / "base.tar"), "base:1")
    (tmp_path / "bound").mkdir()
    yield api.run(
        "base:1", "sh", "-c", SCRIPT + LOOK, name="changed", volume=["/data/volume", f"{tmp_path}/bound:/bound"],
        tmpfs=["/scratch"], stdout=(tmp_path / "inside").open("wb").write,
    )  # fmt: skip
    if [row for row in api.ps(all=True) if row["name"] == "changed"]:
        api.rm("changed", force=True, volumes=True)


@pytest.fixture
def storage() -> Iterator[str]:
    """A folder with a short path: podman wants its runroot in 50 characters."""
    with tempfile.TemporaryDirectory(prefix="nbc-", dir="/dev/shm") as folder:
        yield folder


def kinds(table: Any) -> list[str]:
    return [f"{row['kind']} {row['path']}" for row in table]


def test_diff(changed: nbcontainers.Container) -> None:
    table = api.diff(changed)
    odd = ("/a\nb", "/\udcff\udcfe", "/000")
    assert [line for line in kinds(table) if not line[2:].startswith(odd)] == EXPECTED.replace("\n", " ").strip().split(
        "; "
    )
    assert sum(line[2:].startswith(odd) for line in kinds(table)) == 4
    sizes = {row["path"]: row["size"] for row in table}
    assert (sizes["/gone"], sizes["/etc/new"], sizes["/holes"], sizes["/etc/deep/x"]) == (3, 4, 3_000_000, 1)
    assert "a\\nb" in repr(table)


def test_diff_of_a_container_that_runs_and_of_one_that_never_did(fresh_engine: Engine) -> None:
    assert kinds(api.diff(api.create("mini", "true", name="new"))) == []
    api.run("mini", "sh", "-c", "echo 1 > /1; sleep 60", name="runs", detach=True, tmpfs=["/run"])
    try:
        deadline = time.monotonic() + 10
        while kinds(api.diff("runs")) != ["A /1"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert (
            nbcontainers.container.find(fresh_engine, "runs").running
            if hasattr(nbcontainers.container, "find")
            else True
        )
    finally:
        api.rm("runs", "new", force=True)


@pytest.mark.as_root
def test_podman_says_the_same(changed: nbcontainers.Container, peer: Peer, tmp_path: Path, storage: str) -> None:
    def podman(*words: str) -> str:
        done = peers.run(*peers.podman(Path(storage), peer("runc"), words), timeout=100)
        assert done.returncode == 0, done.stderr
        return done.stdout

    podman("import", str(tmp_path / "base.tar"), "base:1")
    podman("run", "--name", "x", *peers.PODMAN_RUN, "base:1", "/bin/sh", "-c", f"export PATH=/bin; {SCRIPT}")
    found = json.loads(podman("diff", "x", "--format", "json"))
    theirs = {f"{word[0].upper()} {path}" for word, paths in found.items() for path in paths}
    podman("rm", "x")
    ours = {line for line in kinds(api.diff(changed)) if "\udcff" not in line}  # podman shows those as U+FFFD
    theirs = {line for line in theirs if "\ufffd" not in line}
    opaque = {"C /etc/deep", "D /etc/deep/x", "C /link"}  # made anew: podman only says D
    assert ours - theirs == opaque
    assert theirs - ours == {"D /etc/deep", "D /link"}


@pytest.mark.as_root
@pytest.mark.slow
def test_docker_says_the_same(changed: nbcontainers.Container, peer: Peer, tmp_path: Path, storage: str) -> None:
    peer("dockerd")
    with programs.cgroups_as_before(), programs.docker(Path(storage) / "docker", tmp_path / "base.tar") as client:
        host(
            *client, "run", "--name", "xx", "--network", "none", "bench", "/bin/sh", "-c", f"export PATH=/bin; {SCRIPT}"
        )
        theirs = set(host(*client, "diff", "xx").splitlines())
        host(*client, "rm", "xx")
    ours = set(kinds(api.diff(changed)))
    assert ours - theirs == {"A /a\nb", "A /\udcff\udcfe"}  # which docker prints raw
    assert len(theirs - ours) == 3


def test_commit(changed: nbcontainers.Container, fresh_engine: Engine, tmp_path: Path) -> None:
    """The new image's container finds what the old one left, owner, mode, time and link count alike."""
    image = api.commit(changed, "made:1", author="me", message="all of it", change=["CMD sh", "ENV A=1"])
    assert image.config["config"] == {"Cmd": ["/bin/sh", "-c", "sh"], "Env": ["A=1"]}
    assert image.config["author"] == "me"
    assert image.config["history"][-1]["comment"] == "all of it"
    assert len(image.layers) == 2
    assert image.layers[1]["mediaType"].endswith("tar+gzip")
    assert (fresh_engine.snapshots / image.chain_ids[1].partition(":")[2] / "layer.json").exists()  # unpacked already
    seen: list[bytes] = []
    api.run("made:1", "sh", "-c", LOOK, rm=True, stdout=seen.append, tmpfs=["/scratch"])
    inside = (tmp_path / "inside").read_bytes().strip().split(b"\n/")
    mounts = (b"data", b"bound", b"scratch", b"/data")
    assert sorted(line for line in b"".join(seen).strip().split(b"\n/") if not line.startswith(mounts)) == sorted(
        line for line in inside if not line.startswith(mounts)
    )


def test_what_is_committed_is_what_is_unpacked(changed: nbcontainers.Container, fresh_engine: Engine) -> None:
    """The snapshot made in the same pass equals the one that the blob gives when it is unpacked afresh."""
    image = api.commit(changed, "made:1")
    one = images.tree("made:1")
    assert [row["layer"] for row in one] == [layer["digest"][7:19] for layer in image.layers]
    script = [sys.executable, listing.__file__]
    place = fresh_engine.snapshots / image.chain_ids[1].partition(":")[2]
    before = in_store(*script, str(place / "fs"))
    api.rm(changed)
    from nbcontainers.image import work

    work.discard([place])
    assert images.tree("made:1") == one
    assert different(in_store(*script, str(place / "fs")), before) == {}


def in_store(*command: str) -> dict[str, Any]:
    """What a command says where the store's files may be read."""
    from nbcontainers.launcher import client

    found = json.loads(client.call("tests.system.launcher_targets:output", command=list(command)))
    for facts in found.values():
        if facts.get("device") == 0:
            facts["mtime"] = 0  # a whiteout, or a FIFO
    return dict(found)


def test_the_same_changes_make_the_same_digest(fresh_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    found = set()
    for number in range(2):
        time.sleep(1.1 * number)
        with api.run("mini", "sh", "-c", "mkdir /d; for n in 3 1 2; do echo $n > /d/$n; done; rm /etc/group") as one:
            found |= {api.commit(one, f"made:{time_of}").digest for time_of in (number, number)}
    assert len(found) == 1


def test_without_changes_there_is_no_layer(fresh_engine: Engine) -> None:
    with api.run("mini", "true") as one:
        image = api.commit(one)
    assert image.layers == images.inspect("mini")[0]["Layers"]
    assert image.config["history"][-1]["empty_layer"]


def test_an_image_that_is_gone(fresh_engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "base.tar").write_bytes(base())
    images.import_(str(tmp_path / "base.tar"), "base:1")
    with api.run("base:1", "touch", "/x") as one:
        images.rm("base:1", force=True)
        assert kinds(api.diff(one)) == ["A /x"]
        with pytest.raises(InvalidState, match="no longer in the store"):
            api.commit(one, "x")
        api.export(one, output=str(tmp_path / "x.tar"))


@pytest.mark.as_root
def test_umoci_and_podman_unpack_the_same_tree(
    changed: nbcontainers.Container, fresh_engine: Engine, peer: Peer, tmp_path: Path, storage: str
) -> None:
    api.commit(changed, "example/made:1")
    ours = merged(fresh_engine, "example/made:1", tmp_path)
    place = f"{fresh_engine.images}:localhost/example/made:1"
    host(peer("umoci"), "raw", "unpack", "--image", place, tmp_path / "theirs")
    theirs = listing.listing(str(tmp_path / "theirs"))
    assert different(without_root(ours), without_root(theirs)) == {}
    podman = " ".join(peers.podman(Path(storage), peer("crun"), []))
    into = f"containers-storage:[overlay@{storage}/root+{storage}/run]localhost/made:1"
    script = f'set -e; {peer("skopeo")} copy -q "oci:{place}" "{into}"; tree=$({podman} image mount localhost/made:1)'
    script += f"; {sys.executable} {listing.__file__} $tree; {podman} image rm -f localhost/made:1 >&2"
    done = peers.run("sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert different(without_root(ours), without_root(json.loads(done.stdout))) == {}


def without_root(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: facts for name, facts in tree.items() if name != "."}


# Export.


def test_export_and_import_again(changed: nbcontainers.Container, fresh_engine: Engine, tmp_path: Path) -> None:
    api.commit(changed, "made:1")
    api.export(changed, output=str(tmp_path / "x.tar"))
    images.import_(str(tmp_path / "x.tar"), "flat:1")
    assert [row["path"] for row in images.diff("made:1", "flat:1") if not row["path"].startswith("/scratch")] == [
        "/bound", "/data", "/data/volume", "/etc/hostname", "/etc/resolv.conf",
    ]  # fmt: skip  # where something is mounted


def test_what_no_tar_can_hold_is_said(fresh_engine: Engine, tmp_path: Path) -> None:
    """Neither an image nor an archive lacks a file without a word."""
    (tmp_path / "base.tar").write_bytes(base())
    images.import_(str(tmp_path / "base.tar"), "base:1")
    container = api.run("base:1", "touch", "/.wh.evil", name="evil")
    with pytest.warns(Advice, match=r"the tar of container evil lacks 1 of the files: /\.wh\.evil: in a layer"):
        api.export(container, output=str(tmp_path / "x.tar"))
    with pytest.warns(Advice, match=r"the image of container evil lacks 1 of the files: /\.wh\.evil") as told:
        api.commit(container, "made:1")
    assert [Path(one.filename).name for one in told] == ["test_commit.py"], "of the caller's own line"
    api.rm("evil")


def test_export_to_the_output(changed: nbcontainers.Container, cli: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbcontainers", "container", "export", "changed"], capture_output=True, check=True
    )
    names = subprocess.run(["tar", "-tf", "-"], input=done.stdout, capture_output=True, check=True).stdout
    assert b"renamed/f\n" in names
    assert b"gone" not in names
    with pytest.raises(Error, match="needs a file"):
        api.export(changed, output="-")  # of a notebook, or of pytest


def test_an_export_that_cannot_be_written_leaves_nothing(changed: nbcontainers.Container, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Error):
        api.export(changed, output=str(tmp_path / "missing/x.tar"))
    with pytest.raises(Error):
        api.export(changed, output="/dev/full")
    assert sorted(tmp_path.iterdir()) == before


# While it runs, and when it is killed.

WRITER = "n=0; while true; do n=$((n+1)); echo $n > /f$((n%200)); mkdir -p /d$((n%50))/x; echo $n > /d$((n%50))/x/f; rm -r /d$(((n+25)%50)) 2>/dev/null; done"


@pytest.mark.parametrize("no_pause", [False, True])
def test_a_container_that_is_being_written_to(fresh_engine: Engine, no_pause: bool) -> None:
    with api.run("mini", "sh", "-c", WRITER, detach=True) as one:
        time.sleep(0.2)
        for number in range(5):
            image = api.commit(one, f"made:{number}", no_pause=no_pause)
            assert one.status == "running"
            assert api.run(f"made:{number}", "true", rm=True).exit_code == 0
            for layer in image.layers:
                assert layout.blob(fresh_engine, layer["digest"]).stat().st_size == layer["size"]


def test_what_cannot_be_held_still_is_said(fresh_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there is no cgroup to freeze."""
    monkeypatch.setattr(committing, "frozen", lambda container: nullcontext(False))
    with api.run("mini", "sleep", "1000", detach=True, name="moving") as one:
        with pytest.warns(Advice, match=r"container moving has no cgroup to hold it still by: .* read while it ran"):
            api.commit(one)
        one.kill()
        one.wait()
        with warnings.catch_warnings(action="error"):
            api.commit(one)


def test_a_folder_that_becomes_a_link_and_a_folder_again(fresh_engine: Engine, tmp_path: Path) -> None:
    """However the container hurries, no file of the host is read in place of its own."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/file").write_text("SECRET OF THE HOST")
    script = "while true; do mkdir -p /d/e; echo in > /d/file; rm -r /d; ln -s $0/d /d; rm /d; ln -s $0/d/file /d; rm /d; done"
    with api.run("mini", "sh", "-c", script, str(tmp_path), detach=True) as one:
        for number in range(12):
            api.export(one, output=str(tmp_path / "x.tar"))
            assert b"SECRET" not in (tmp_path / "x.tar").read_bytes()
            api.diff(one)
            layer = api.commit(one, f"made:{number}", no_pause=True).layers[-1]
            with layout.blob(fresh_engine, layer["digest"]).open("rb") as blob:
                assert b"SECRET" not in b"".join(codec.chunks(blob))


@pytest.mark.parametrize("name", ["mini", "x@sha256:" + "0" * 64, "UPPER CASE", "../x"])
def test_names_that_cannot_be(fresh_engine: Engine, name: str) -> None:
    with api.run("mini", "touch", "/x") as one:
        before = picture(fresh_engine)
        with pytest.raises(InvalidArgument):
            api.commit(one, name)
        with pytest.raises(InvalidArgument):
            api.commit(one, change=["RUN x"])
        assert picture(fresh_engine) == before


HOLDER = """
import sys, time
from nbcontainers.container.container import find
from nbcontainers.container.stillness import frozen
from nbcontainers.engine import default_engine
with frozen(find(default_engine(), sys.argv[1])) as still:
    print(still, flush=True)
    time.sleep(60)
"""


@pytest.mark.limits
def test_it_stands_still_while_somebody_reads_and_no_longer(fresh_engine: Engine) -> None:
    """Also when the reader is killed: a container that nobody thaws would be a dead one."""
    with api.run("mini", "sleep", "1000", detach=True) as one:
        with frozen(one) as still:
            assert (still, one.status) == (True, "paused")
            with frozen(one) as again:
                assert (again, one.status) == (False, "paused")
            assert one.status == "paused"
        assert one.status == "running"
        words = [sys.executable, "-c", HOLDER, one.id]
        with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True, text=True) as holder:
            assert holder.stdout
            assert holder.stdout.readline() == "True\n"
            assert one.status == "paused"
            os.killpg(holder.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while one.status != "running":
            assert time.monotonic() < deadline
            time.sleep(0.02)


def begin_commit(reference: str) -> subprocess.Popen[str]:
    script = (
        f"import sys; print(1, flush=True); from nbcontainers.container import api; api.commit('big', {reference!r})"
    )
    victim = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True, text=True)
    assert victim.stdout
    victim.stdout.readline()
    return victim


@pytest.mark.slow
def test_killed_at_any_moment(fresh_engine: Engine, tmp_path: Path) -> None:
    """Nothing is left, and the container goes on."""
    api.run("mini", "sh", "-c", "for n in $(seq 40); do dd if=/dev/urandom of=/f$n bs=1M count=1 2>/dev/null; done; sleep 1000",
            name="big", detach=True)  # fmt: skip
    try:
        time.sleep(1)
        removal.sweep(fresh_engine)
        before = picture(fresh_engine)
        for delay in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4):
            victim = begin_commit("victim:1")
            time.sleep(delay)
            os.killpg(victim.pid, signal.SIGKILL)
            victim.communicate()
            if any(name.endswith("victim") for name in [row["repository"] for row in images.ls()]):
                images.rm("victim:1")
        deadline = time.monotonic() + 10
        while find(fresh_engine, "big").status != "running":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while picture(fresh_engine) != before:  # the launcher's child may outlive its client for a moment
            assert time.monotonic() < deadline, picture(fresh_engine) ^ before
            time.sleep(0.1)
            removal.sweep(fresh_engine)
    finally:
        api.rm("big", force=True)


def picture(engine: Engine) -> set[str]:
    return {str(path) for top in (engine.images, engine.snapshots) for path in (*top.glob("*"), *top.glob("blobs/*/*"))}


FULL = """
import os, subprocess, sys, time
disk = sys.argv[1]
os.environ["NBCONTAINERS_ROOT"], os.environ["NBCONTAINERS_RUN"] = disk + "/root", disk + "/run"
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "small", disk], check=True)
import nbcontainers
from nbcontainers.container import api, committing
from nbcontainers.image import api as images
from nbcontainers.errors import Error
api.run("mini", "dd", "if=/dev/urandom", "of=/random", "bs=1M", "count=10", name="x", stderr=lambda data: None)

def files():
    return sorted(os.path.join(above, name) for above, _, names in os.walk(disk + "/root") for name in names
                  if "/containers/" not in above and not name.endswith(".lock"))

before, failed = files(), 0
def measure():
    usage = os.statvfs(disk)
    return (usage.f_blocks - usage.f_bfree) * usage.f_frsize // 1024

used = 0
while used != (used := measure()):
    time.sleep(0.5)  # the next container is begun
for more in (0, 8, 64, 1024, 5000, 9000, 12000, 16000, 20000):
    subprocess.run(["mount", "-o", f"remount,size={used + more}k", disk], check=True)
    try:
        api.commit("x", "made:1")
        sys.exit(f"{more}: there was no room, and it was made")
    except (Error, OSError) as error:
        assert "No space left" in str(error), (more, error)
        failed += 1
    from nbcontainers.image import removal
    from nbcontainers.engine import default_engine
    removal.sweep(default_engine())
    assert files() == before, (more, set(files()) ^ set(before))
subprocess.run(["mount", "-o", "remount,size=60m", disk], check=True)
api.commit("x", "made:1")
print("failed", failed)
"""


@pytest.mark.as_root
def test_a_full_disk(tmp_path: Path) -> None:
    words = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", FULL, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "failed 9\n")


# Hostile content.


@pytest.mark.parametrize("verb", ["commit", "export", "diff"])
def test_content_never_leads_out(fresh_engine: Engine, tmp_path: Path, verb: str) -> None:
    script = """
    ln -s / /root-link; ln -s ../../../../../../etc /up; rm -r /home; ln -s /proc/self/root /home
    touch "/.wh.bin" "/.wh..wh..opq"; mkdir /.wh.usr; touch /.wh.usr/x
    dd if=/dev/zero of=/huge bs=1 count=1 seek=1099511627776 2>/dev/null; i=0; while [ $i -lt 600 ]; do mkdir -p d; cd d; i=$((i+1)); done; echo deep > f
    """
    with api.run("mini", "sh", "-c", script) as one:
        if verb == "diff":
            assert "A /huge" in kinds(api.diff(one))
        elif verb == "export":
            api.export(one, output=str(tmp_path / "x.tar"))
            assert (tmp_path / "x.tar").stat().st_size < 10 << 20
        else:
            image = api.commit(one, "made:1")
            assert image.layers[-1]["size"] < 1 << 20
            found = {row["path"] for row in images.diff("mini", "made:1")}
            assert {"/root-link", "/up", "/home", "/huge", "/d" * 600 + "/f"} <= found
            assert not any(".wh." in path for path in found)
            assert api.run("made:1", "ls", "/usr/bin/ls", rm=True).exit_code == 0


def test_a_tree_deeper_than_a_path(fresh_engine: Engine) -> None:
    script = "n=$(printf '%0250d' 1); i=0; while [ $i -lt 20 ]; do mkdir $n; cd $n; i=$((i+1)); done"
    with api.run("mini", "sh", "-c", script) as one, pytest.raises(ImageError, match="deeper than the 4096 bytes"):
        api.commit(one, "made:1")
    assert [row["repository"] for row in images.ls() if "made" in row["repository"]] == []
