"""Volumes in containers: they outlive them, are filled once, are removed with whom they belong to, and never while used."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers import volume
from nbcontainers.cli import verbs
from nbcontainers.cli.parser import Parser
from nbcontainers.container import api
from nbcontainers.container.host import this_host
from nbcontainers.errors import ContainerFailed, CreateFailed, Error, InvalidArgument, InvalidState, NotFound
from nbcontainers.volume.volume import Volume
from tests import inside, mounting
from tests.crafted import Canary, Images, entry, folder, link

ROOT = os.geteuid() == 0
ONE_ID = not ROOT and this_host(True).one_id


def sh(script: str, image: str = "mini", **options: Any) -> str:
    """What a script in a container of its own writes."""
    done = inside.run(image, "sh", "-c", script, **{"network": "none", **options})
    assert done.exit_code == 0, done
    return done.stdout.rstrip("\n")


@pytest.fixture
def name() -> Iterator[str]:
    """A volume's name of this test; it goes in the end."""
    chosen = f"v-{uuid.uuid4().hex[:8]}"
    yield chosen
    volume.rm(chosen, force=True)


@pytest.fixture(scope="module")
def stocked(crafted: Images) -> str:
    """An image with files of every kind in /srv, and two VOLUMEs."""
    return crafted(
        folder("srv", mode=0o1770, uid=3, gid=4), entry("srv/program", b"#!", mode=0o4755, uid=5, gid=6),
        entry("srv/file", b"image\n", mode=0o640), link("srv/link", "/srv/file"), folder("srv/deep", mode=0o700),
        entry("srv/deep/er", b"deep\n"), link("way", "srv"), folder("declared"), entry("declared/file", b"declared\n"),
        config={"Volumes": {"/declared": {}, "/empty/one": {}}},
    )  # fmt: skip


# -- as Docker has it --------------------------------------------------------------------------------------------------


def test_the_table_of_docker_run(crafted: Images, tmp_path: Path) -> None:
    """tests/system/volumes.txt was written by Docker: `python -m tests.mounting`."""
    image = crafted(*mounting.FILES, config=mounting.CONFIG)

    parser = Parser("run", verbs.verbs("container")["run"].parameters, [])

    def run(options: list[str], script: str) -> tuple[int, str]:
        given = parser.parse(["--network", "none", *options, image]).options
        try:
            done = inside.run(image, "sh", "-c", script, raise_error=True, **given)
        except ContainerFailed as error:
            return error.exit_code, ""
        except Error as error:
            return (125 if error.hint else -1), str(error)
        return 0, done.stdout

    cases = mounting.read()
    assert len(cases) == len(mounting.CASES)
    wrong = []
    for number, case in enumerate(cases if ROOT else cases[::3]):
        host = mounting.make_host(tmp_path / f"host{number}")
        got = mounting.outcome(run, case.options, case.script, host, number)
        if got != case.output:
            wrong.append(f"{case.options}: {case.script}: expected {case.output!r}, got {got!r}")
    volume.prune(all=True, filter=["name=case-", "name=other-"])
    assert wrong == []


# -- they outlive their containers -------------------------------------------------------------------------------------


def test_data_outlives_the_container(name: str) -> None:
    sh("echo kept > /data/file", volume=[f"{name}:/data"], rm=True)
    assert sh("cat /data/file", volume={name: "/data"}) == "kept"
    assert sh("cat /data/file", volume={Volume(_engine(), name): "/data:ro"}) == "kept"
    assert (Volume(_engine(), name).mountpoint / "file").read_text() == "kept\n"


def _engine() -> Any:
    from nbcontainers.engine import default_engine

    return default_engine()


def test_a_database_that_is_killed_and_removed_has_its_data(name: str) -> None:
    """SQLite in a container: kill -9 while it writes, remove, run again."""
    script = (
        "import sqlite3\n"
        "db = sqlite3.connect('/data/db')\n"
        "db.execute('create table if not exists t (n integer primary key)')\n"
        "print('rows', db.execute('select count(*) from t').fetchone()[0], flush=True)\n"
        "while True:\n"
        "    with db: last = db.execute('insert into t values (null)').lastrowid\n"
        "    print(last, flush=True)\n"
    )
    seen = 0
    for _ in range(3):
        with api.run(
            "host", sys.executable, "-c", script, detach=True, network="none", volume=[f"{name}:/data"]
        ) as box:
            deadline = time.monotonic() + 20
            while len(lines := str(box.logs()).splitlines()) < 20:
                assert time.monotonic() < deadline, lines
                time.sleep(0.02)
            box.kill()
            box.wait()
            lines = str(box.logs()).splitlines()
            assert int(lines[0].split()[1]) >= seen
            seen = int(lines[-1])
    assert seen >= 57


def test_two_containers_share_one(name: str) -> None:
    with inside.running(volume=[f"{name}:/data"], network="none") as box:
        sh("echo one > /other/file", volume=[f"{name}:/other"])
        assert inside.execute(box, "cat", "/data/file").stdout == "one\n"


# -- what is in an empty one -------------------------------------------------------------------------------------------


def test_an_empty_volume_gets_the_images_files(name: str, stocked: str) -> None:
    look = "cd {0}; cat file deep/er; readlink link; stat -c %a:%u:%g . program file deep"
    want = sh(look.format("/srv"), stocked)
    assert sh(look.format("/srv"), stocked, volume=[f"{name}:/srv"]) == want
    assert "4755" in want.split()[4] or ONE_ID
    sh("rm -r /srv/deep; echo mine > /srv/file", stocked, volume=[f"{name}:/srv"])
    assert sh("cat /srv/file; ls /srv/deep 2>&1 || true", stocked, volume=[f"{name}:/srv"]).startswith("mine")


def test_through_a_link_and_not_with_nocopy(name: str, stocked: str) -> None:
    assert sh("ls /srv", stocked, volume=[f"{name}:/way:nocopy"]) == ""
    assert sh("ls /srv", stocked, mount=[f"source={name},target=/srv,volume-nocopy"]) == ""
    assert sh("cat /srv/file", stocked, volume=[f"{name}:/way"]) == "image"
    assert sh("ls /fresh", stocked, volume=[f"{name}-b:/fresh"]) == ""
    volume.rm(f"{name}-b")


def test_two_that_start_at_once_copy_once(name: str, stocked: str) -> None:
    words = [
        "nbcontainers",
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        f"{name}:/srv",
        stocked,
        "sh",
        "-c",
        "cat /srv/file /srv/deep/er",
    ]
    started = [subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {one.communicate(timeout=60)[0] for one in started} == {"image\ndeep\n"}
    assert sorted(os.listdir(_engine().root / "volumes" / name)) == ["_data", "volume.json"]


def test_a_container_that_cannot_start_leaves_no_anonymous_volume(name: str) -> None:
    before = volume.ls()
    with pytest.raises(CreateFailed):
        api.run("mini", "no-such-program", network="none", volume=["/anonymous"])
    assert [row["name"] for row in volume.ls()] == [row["name"] for row in before]


# -- anonymous ones ----------------------------------------------------------------------------------------------------


def test_volumes_of_the_image_go_with_the_container(stocked: str) -> None:
    before = {row["name"] for row in volume.ls()}
    assert sh("cat /declared/file; ls /empty/one", stocked, rm=True) == "declared"
    assert {row["name"] for row in volume.ls()} == before
    for remove, left in ((False, 3), (True, 0)):
        box = api.run(
            stocked, "sh", "-c", "echo x > /declared/new", network="none", volume=["/more"], stdout=lambda _: None
        )
        made = {row["name"] for row in volume.ls(filter=["anonymous=true"])} - before
        assert len(made) == 3
        box.rm(volumes=remove)
        assert len({row["name"] for row in volume.ls()} - before) == left
        for one in made if left else ():
            volume.rm(one)


def test_an_anonymous_one_that_another_names_stays(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("kept\n")
    first = api.create("mini", "true", network="none", volume=["/data"])
    anonymous = first.record["anonymous_volumes"][0]
    second = api.create("mini", "cat", "/data/file", network="none", volumes_from=[first.name])
    try:
        first.cp(text, ":/data/file")
        first.rm(volumes=True)
        assert [row["name"] for row in volume.ls(filter=[f"name={anonymous}"])] == [anonymous]
        out = bytearray()
        second.start(attach=True, stdout=out.extend)
        assert out == b"kept\n"
    finally:
        second.rm(force=True, volumes=True)
        volume.rm(anonymous, force=True)


# -- use and removal ---------------------------------------------------------------------------------------------------


def test_one_in_use_is_not_removed(name: str) -> None:
    box = api.create("mini", "true", network="none", volume=[f"{name}:/data"])
    with box:
        with pytest.raises(InvalidState, match=f"volume {name} is in use by {box.name}") as caught:
            volume.rm(name, force=True)
        assert f"container rm {box.name}" in caught.value.hint
        assert name not in [row["name"] for row in volume.prune(all=True)]
        assert box.inspect()["Mounts"][0]["Name"] == name
        assert [row["name"] for row in api.ls(all=True, filter=[f"volume={name}"])] == [box.name]
    assert volume.rm(name) == [name]


def test_a_prune_beside_a_starting_run_never_takes_it(name: str) -> None:
    """Rounds of run and prune at once: the run always finds its volume."""
    loop = "from nbcontainers import volume\nwhile True: volume.prune(all=True)"
    pruner = subprocess.Popen([sys.executable, "-c", loop])
    try:
        for number in range(8):
            assert sh("cat /etc/hostname > /data/x; ls /data", volume=[f"{name}-{number}:/data"], rm=True) == "x"
    finally:
        pruner.kill()
        pruner.wait()
        volume.prune(all=True, filter=[f"name={name}"])


def test_system_prune_takes_unused_anonymous_ones_when_told(name: str) -> None:
    api.create("mini", "true", network="none", volume=["/data"]).rm()
    sh("true", volume=[f"{name}:/data"])
    nbcontainers.system.prune()
    assert len(volume.ls(filter=["anonymous=true", "dangling=true"])) == 1
    rows = nbcontainers.system.prune(volumes=True)
    assert [row["what"] for row in rows if row["what"] == "volume"] == ["volume"]
    assert len(volume.ls(filter=["anonymous=true"])) == 0
    assert len(volume.ls(filter=[f"name={name}"])) == 1


def test_sizes(name: str) -> None:
    sh("head -c 1000000 /dev/zero > /data/file; mkdir -m 0 /data/closed", volume=[f"{name}:/data"])
    assert 1_000_000 <= Volume(_engine(), name).size < 1_100_000
    assert volume.ls(filter=[f"name={name}"], size=True)[0]["size"] == volume.inspect(name)[0]["Size"]
    row = next(row for row in nbcontainers.system.df() if row["type"] == "volumes")
    assert row["size"] >= 1_000_000
    assert row["reclaimable"] >= 1_000_000
    each = {row["name"]: row for row in nbcontainers.system.df(verbose=True)}
    assert each[name]["size"] >= 1_000_000


@pytest.mark.as_user
def test_files_of_other_users_go_too(name: str) -> None:
    sh("mkdir /data/d; chown 1000:1000 /data/d; chmod 700 /data/d" if not ONE_ID else "true", volume=[f"{name}:/data"])
    assert volume.rm(name) == [name]
    assert not (_engine().root / "volumes" / name).exists()


# -- folders of the host -----------------------------------------------------------------------------------------------


def test_a_missing_folder_is_made_for_v_and_an_error_for_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sh("echo x > /data/file", volume=["./new/deep:/data"])
    assert (tmp_path / "new/deep/file").read_text() == "x\n"
    with pytest.raises(NotFound, match="does not exist on this host") as caught:
        sh("true", mount=[f"type=bind,source={tmp_path}/none,target=/data"])
    assert f"mkdir -p {tmp_path}/none" in caught.value.hint
    with pytest.raises(Error):
        sh("true", volume=["./again/deep:/data"], name="a/b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]


def test_words_of_a_mount(name: str, tmp_path: Path) -> None:
    options = {
        "volume": [f"{tmp_path}:/a:ro", f"{name}:/b:noexec", f"{name}-c:/c:nosuid,nodev,rw,z"],
        "read_only": True,
    }
    script = "grep -E ' /(a|b|c) ' /proc/self/mountinfo | while read _ _ _ _ where how _; do echo $where $how; done; touch /b/x; touch /a/x /x 2>&1 | wc -l"
    lines = sh(script, **options).splitlines()
    words = {line.split()[0]: set(line.split()[1].split(",")) for line in lines[:3]}
    assert "ro" in words["/a"]
    assert {"rw", "noexec"} <= words["/b"]
    assert {"rw", "nosuid", "nodev"} <= words["/c"]
    assert lines[3] == "2"
    volume.rm(f"{name}-c")


def test_a_folder_is_given_to_the_containers_user(tmp_path: Path, name: str) -> None:
    if ONE_ID:
        pytest.skip("one id only")  # nobody to give it to
    (tmp_path / "data/sub").mkdir(parents=True)
    (tmp_path / "data/link").symlink_to(tmp_path)
    (tmp_path / "data/sub/file").write_text("x")
    before = tmp_path.stat().st_uid
    script = "stat -c %u:%g /data /data/sub/file /named; echo y >> /data/sub/file; echo z > /named/f"
    assert (
        sh(script, user="1234:1235", volume=[f"{tmp_path}/data:/data:U", f"{name}:/named:U"]).split()
        == ["1234:1235"] * 3
    )
    assert tmp_path.stat().st_uid == before
    assert sh("stat -c %u /named/f", mount=[f"source={name},target=/named,U"], user="7") == "7"
    if not ROOT:
        sh("chown -R 0:0 /data", volume=[f"{tmp_path}/data:/data"])


def test_the_hosts_own_folders_are_given_to_nobody() -> None:
    with pytest.raises(InvalidArgument, match="/etc belongs to the host"):
        sh("true", volume=["/etc:/e:U"])


# -- --mount -----------------------------------------------------------------------------------------------------------


def test_part_of_a_volume(name: str, canary: Canary) -> None:
    sh(f"mkdir -p /v/sub/deep; echo part > /v/sub/deep/f; ln -s sub/deep /v/way; ln -s {canary.folder} /v/out; echo one > /v/file",
       volume=[f"{name}:/v"])  # fmt: skip
    for path in ("sub/deep", "way"):
        assert sh("cat /m/f", mount=[f"source={name},target=/m,volume-subpath={path}"]) == "part"
    assert sh("cat /m", mount=[f"source={name},target=/m,volume-subpath=file,readonly"]) == "one"
    for path in ("none", "out", "file/x"):
        with pytest.raises(Error) as caught:
            sh("ls /m", mount=[f"source={name},target=/m,volume-subpath={path}"])
        assert path in str(caught.value), path


def test_an_images_files_are_mounted(stocked: str) -> None:
    mount = f"type=image,source={stocked},target=/image"
    assert sh("cat /image/srv/file; touch /image/x 2>&1 | grep -c Read-only", mount=[mount]) == "image\n1"
    assert sh("cat /image/er", mount=[f"{mount},image-subpath=srv/deep"]) == "deep"


def test_a_volume_is_made_with_options_and_labels(name: str) -> None:
    options = 'volume-opt=type=tmpfs,"volume-opt=o=size=1m,mode=750",volume-label=team=blue'
    assert (
        sh(
            "df -P /m | tail -1 | while read _ k _; do echo $k; done; stat -c %a /m",
            mount=[f"source={name},target=/m,{options}"],
        )
        == "1024\n750"
    )
    assert volume.inspect(name)[0]["Labels"] == {"team": "blue"}


def test_memory_is_shared_as_long_as_a_container_uses_it(name: str) -> None:
    volume.create(name, opt={"type": "tmpfs", "o": "size=1m"})
    with inside.running(volume=[f"{name}:/m"], network="none") as box:
        sh("echo shared > /n/file", volume=[f"{name}:/n"])
        assert inside.execute(box, "cat", "/m/file").stdout == "shared\n"
    assert sh("ls /m", volume=[f"{name}:/m"]) == ""


def test_a_folder_of_the_host_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("host\n")
    volume.create(name, opt=["type=none", "o=bind,ro", f"device={tmp_path}"])
    assert sh("cat /m/file; touch /m/x 2>&1 | grep -c Read-only", volume=[f"{name}:/m"]) == "host\n1"
    assert volume.inspect(name)[0]["Size"] < 10_000
    volume.rm(name)
    assert (tmp_path / "file").exists()
    volume.create(name, opt=["type=none", "o=bind", f"device={tmp_path}/none"])
    with pytest.raises(NotFound, match=f"is the folder {tmp_path}/none, which is not there") as caught:
        sh("true", volume=[f"{name}:/m"])
    assert f"mkdir -p {tmp_path}/none" in caught.value.hint


def test_volumes_from(name: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("bind\n")
    with api.create(
        "mini", "true", network="none", volume=[f"{name}:/a", f"{tmp_path}:/b", "/own"], tmpfs=["/t"]
    ) as first:
        assert (
            sh("echo x > /a/f; cat /b/f; ls -d /own; ls -d /t 2>&1 | wc -l", volumes_from=first.name) == "bind\n/own\n1"
        )
        assert sh("touch /a/g 2>&1 | grep -c Read-only; ls /a", volumes_from=[f"{first.name}:ro"]) == "1\nf"
        assert sh("ls /a /b", volumes_from=[first.name], volume=["/b"]) == "/a:\nf\n\n/b:"
        with pytest.raises(InvalidArgument, match="volumes-from: 'fast' is no option"):
            sh("true", volumes_from=[f"{first.name}:fast"])
        first.rm(force=True, volumes=True)


def test_inspect_shows_the_mounts(name: str, tmp_path: Path) -> None:
    with api.create("mini", "true", network="none", volume=[f"{name}:/a:ro", f"{tmp_path}:/b"], tmpfs=["/t"]) as box:
        mounts = {mount["Destination"]: mount for mount in box.inspect()["Mounts"]}
    source = str(_engine().root / "volumes" / name / "_data")
    assert (
        mounts["/a"] | {"Type": "volume", "Name": name, "Source": source, "Driver": "local", "RW": False}
        == mounts["/a"]
    )
    bind = {"Type": "bind", "Source": str(tmp_path), "RW": True, "Propagation": "rprivate"}
    assert mounts["/b"] | bind == mounts["/b"]
    assert mounts["/t"]["Type"] == "tmpfs"


# -- links and names ---------------------------------------------------------------------------------------------------


def test_a_volume_full_of_links_leads_nowhere(name: str, canary: Canary) -> None:
    """Another container fills a volume with links to the host; mounts over it stay inside."""
    sh(f"ln -s {canary.folder} /v/deep; ln -s / /v/root", volume=[f"{name}:/v"])
    for below in ("/v/deep", "/v/root/new", "/v/deep/etc"):
        inside.explained(lambda below=below: inside.shell("true", network="none", volume=[f"{name}:/v"], tmpfs=[below]))


def test_a_hostile_name_in_a_record_is_a_name(fresh_engine: Any) -> None:
    for bad in ("../../etc", "a/b", "/etc", "."):
        with pytest.raises(InvalidArgument):
            volume.create(bad)
        with pytest.raises(Error):
            volume.rm(bad)
