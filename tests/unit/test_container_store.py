"""Containers on disk: names are taken once, lookups are exact, nothing half made is ever seen."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from nbcontainers.container import lifecycle, names, renaming, store
from nbcontainers.container.container import Container
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, InvalidState, NameInUse, NotFound
from nbcontainers.monitor import files
from nbcontainers.network import wish, work

FILES = {"/etc/hostname": "box\n", "/etc/hosts": "127.0.0.1 localhost\n", "/etc/resolv.conf": ""}


@pytest.fixture
def empty(tmp_path):
    return Engine(tmp_path / "root", tmp_path / "run", rootless=False).prepare()


def make(engine, name="", id=""):
    record = {"id": id or store.new_id(), "name": name, "anonymous_volumes": []}
    store.create(engine, record, {"ociVersion": "1.2.0"}, [{"step": "a:B", "args": {}}], FILES)
    return record


def everything(engine):
    return sorted(os.listdir(engine.containers)) + sorted(os.listdir(engine.names))


def test_a_folder_is_a_bundle(empty):
    record = make(empty, "web")
    folder = empty.containers / record["id"]
    assert sorted(os.listdir(folder)) == [
        "config.json",
        "container.json",
        "etc",
        "recipe.json",
        "rootfs",
        "upper",
        "work",
    ]
    assert json.loads((folder / "container.json").read_text()) == record
    assert json.loads((folder / "recipe.json").read_text()) == {"steps": [{"step": "a:B", "args": {}}]}
    assert (folder / "etc/hosts").stat().st_mode & 0o777 == 0o644
    assert (folder / "config.json").stat().st_mode & 0o777 == 0o600
    assert (folder / "upper").stat().st_mode & 0o777 == 0o755
    assert folder.stat().st_mode & 0o777 == 0o700
    assert os.readlink(empty.names / "web") == record["id"]


def test_modes_do_not_depend_on_the_umask(empty):
    old = os.umask(0o077)
    try:
        record = make(empty)
    finally:
        os.umask(old)
    assert (empty.containers / record["id"] / "upper").stat().st_mode & 0o777 == 0o755
    assert (empty.containers / record["id"] / "etc/hosts").stat().st_mode & 0o777 == 0o644


def test_a_name_is_taken_once(empty):
    first = make(empty, "web")
    before = everything(empty)
    with pytest.raises(NameInUse) as caught:
        make(empty, "web")
    assert caught.value.message == f"the name 'web' is in use by container {first['id'][:12]}"
    assert "--replace" in caught.value.hint
    assert everything(empty) == before


def test_one_of_many_gets_the_name(empty):
    def attempt(_):
        try:
            return make(empty, "web")["id"]
        except NameInUse:
            return None

    with ThreadPoolExecutor(16) as pool:
        got = [id for id in pool.map(attempt, range(64)) if id]
    assert got == [os.readlink(empty.names / "web")]
    assert everything(empty) == [got[0], "web"]


def test_made_up_names_give_way(empty, monkeypatch):
    drawn = iter(["a_b", "a_b", "c_d"])
    monkeypatch.setattr(store, "random_name", lambda attempt=0: next(drawn))
    assert make(empty)["name"] == "a_b"
    second = make(empty)
    assert second["name"] == "c_d"
    assert store.read(empty, second["id"], "container.json")["name"] == "c_d"


def test_a_link_whose_container_is_gone_does_not_count(empty):
    os.symlink("f" * 64, empty.names / "web")
    assert store.owner_of(empty, "web") is None
    os.symlink("f" * 64, empty.names / "web")
    assert make(empty, "web")["name"] == "web"


def test_a_failure_in_the_middle_leaves_nothing(empty, monkeypatch):
    monkeypatch.setattr(store, "_take_name", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(empty, "web")
    assert everything(empty) == []


def test_finding(empty):
    one = make(empty, "web", "ab" + "0" * 62)
    make(empty, "db", "ab" + "1" * 62)
    assert store.find(empty, "web") == store.find(empty, one["id"]) == store.find(empty, "ab0") == one["id"]
    with pytest.raises(InvalidArgument, match="2 containers have an id beginning with 'ab'") as caught:
        store.find(empty, "ab")
    assert caught.value.hint == "type more of its digits"
    with pytest.raises(NotFound, match="no container 'wbe'") as caught:
        store.find(empty, "wbe")
    assert caught.value.hint == "did you mean web? container ps -a shows them"


@pytest.mark.parametrize("reference", ["", ".", "..", "../names", "a", "/etc", "web/..", "\0", "f" * 64, "x" * 5000])
def test_what_is_no_container_is_never_a_path(empty, reference):
    make(empty, "web")
    with pytest.raises((NotFound, InvalidArgument)):
        store.find(empty, reference)


def test_a_name_wins_over_the_beginning_of_an_id(empty):
    make(empty, "", "abc" + "0" * 61)
    named = make(empty, "abc")
    assert store.find(empty, "abc") == named["id"]


def test_removing(empty):
    record = make(empty, "web")
    (empty.containers / record["id"] / "upper/a/b").mkdir(parents=True)
    (empty.containers / record["id"] / "upper/link").symlink_to("/etc")
    store.remove(empty, record["id"])
    assert everything(empty) == []
    store.remove(empty, record["id"])
    with pytest.raises(NotFound, match="was removed"):
        store.read(empty, record["id"], "container.json")


def test_removing_leaves_a_name_that_is_somebody_elses_now(empty):
    record = make(empty, "web")
    os.unlink(empty.names / "web")
    os.symlink("e" * 64, empty.names / "web")
    store.remove(empty, record["id"])
    assert os.readlink(empty.names / "web") == "e" * 64


def test_what_is_being_made_or_removed_is_not_listed(empty):
    (empty.containers / ".abc.new").mkdir()
    (empty.containers / ".abc.1234567890.removed").mkdir()
    assert store.ids(empty) == []


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "a b", "a\n", "é", "x" * 256, "..", "_a"])
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match="is no name"):
        names.check_name(name)


def test_made_up_names_are_names_of_two_words():
    for attempt in (0, 1):
        name = names.random_name(attempt)
        assert names.check_name(name) == name
        assert name.count("_") == 1


def test_waiting_for_one_that_was_never_started_is_refused_also_with_rm(empty):
    for remove in (False, True):
        id = store.new_id()
        store.create(empty, {"id": id, "name": "", "remove": remove}, {}, [], {})
        with pytest.raises(InvalidState, match="will not end: it is created"):
            lifecycle.wait(Container(empty, id))


def test_a_record_that_the_disk_takes_only_in_part_never_counts(tmp_path, monkeypatch):
    path = tmp_path / "exit.json"
    files.replace(str(path), {"exit_code": 0})
    given = os.write
    room = [10]

    def full(descriptor, data):
        taken = given(descriptor, data[: room[0]])
        room[0] -= taken
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return taken

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        files.replace(str(path), {"exit_code": 137, "reason": "oom"})
    assert json.loads(path.read_text()) == {"exit_code": 0}


def test_a_rename_that_fails_leaves_the_old_name_alone(empty, monkeypatch):
    record = make(empty, "web")

    def full(path, document):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "replace", full)
    with pytest.raises(OSError, match="No space"):
        renaming.rename(Container(empty, record["id"]), "shop")
    assert os.listdir(empty.names) == ["web"]
    assert Container(empty, record["id"]).name == "web"


def test_a_rename_while_a_network_is_connected_is_not_lost(empty, monkeypatch):
    record = {"id": store.new_id(), "name": "web", "image": "mini", "network": "lab", "networks": [wish.empty("lab")]}
    store.create(empty, record, {}, [], FILES)
    container = Container(empty, record["id"])
    lab = {"name": "backend", "driver": "bridge", "subnets": []}
    monkeypatch.setattr(work.creation, "find", lambda root, name: lab)
    monkeypatch.setattr(
        files.Files, "monitor_alive", lambda _: container.name == "web" and not container.rename("shop")
    )
    work.connect(str(empty.root), str(empty.run), "backend", container.id, wish.empty("backend"))
    assert (container.name, container.record["network"]) == ("shop", "lab,backend")
    work.disconnect(str(empty.root), str(empty.run), "lab", container.id)
    assert (container.name, container.record["network"]) == ("shop", "backend")
