"""Volumes on disk: names, options, who uses them, and that nothing is half there. No root, no container."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nbcontainers import volume
from nbcontainers.engine import Engine
from nbcontainers.errors import Error, InvalidArgument, InvalidState, NotFound
from nbcontainers.volume import api, contents, options, ownership, removal, store


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine whose files are ours, whoever we are."""
    here = Engine(tmp_path / "root", tmp_path / "run", rootless=False)
    (here.root / "containers").mkdir(parents=True)
    return here


def container(engine: Engine, name: str, *volumes: str, anonymous: tuple[str, ...] = ()) -> None:
    folder = engine.root / "containers" / (name * 64)[:64]
    folder.mkdir()
    record = {"id": folder.name, "name": name, "volumes": [*volumes], "anonymous_volumes": [*anonymous]}
    (folder / "container.json").write_text(json.dumps(record))


@pytest.mark.parametrize("name", ["ab", "a1", "0a", "A.b-c_d", "x" * 255, "f" * 64])
def test_names(name: str) -> None:
    assert store.check_name(name) == name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("a/b", "./a/b for a folder of the host"), ("/a", "./a for a folder"), ("$PWD/a", "write ./a for"), ("$(pwd)", "write ./ for"), ("${PWD}/a/b", "write ./a/b for"),
        ("a", "two letters or digits"), ("", "as in my-data"),
        (".ab", "letters, digits"), ("-ab", "letters, digits"), ("a b", "letters, digits"), ("äb", "letters, digits"),
        ("ab\n", "letters, digits"), ("x" * 256, "at most 255"), ("..", "letters, digits"),
    ],
)  # fmt: skip
def test_names_that_are_none(engine: Engine, name: str, hint: str) -> None:
    with pytest.raises(InvalidArgument, match="is no volume name") as caught:
        store.check_name(name)
    assert hint in caught.value.hint
    if name:
        with pytest.raises(InvalidArgument):
            api.create(name, engine=engine)
        assert not (engine.root / "volumes").exists()


def test_a_volume_from_its_making_to_its_end(engine: Engine) -> None:
    made = api.create("data", label={"team": "blue", "x": ""}, engine=engine)
    assert (made.name, made.driver, made.labels, made.options, made.containers) == (
        "data", "local", {"team": "blue", "x": ""}, {}, [],
    )  # fmt: skip
    assert made.mountpoint == engine.root / "volumes/data/_data"
    assert made.mountpoint.stat().st_mode & 0o777 == 0o755
    assert (engine.root / "volumes/data").stat().st_mode & 0o777 == 0o700
    (made.mountpoint / "file").write_bytes(b"x" * 10_000)
    assert 10_000 <= made.size < 30_000
    assert api.create("data", engine=engine) == made == volume.get("data", engine=engine)
    assert (made.mountpoint / "file").exists()
    assert repr(made).startswith("<Volume data of 20")
    assert "used by" not in repr(made)
    assert api.rm(made, engine=engine) == ["data"]
    assert repr(made) == "<Volume data removed>"
    assert os.listdir(engine.root / "volumes") == [".lock"]


def test_a_record_that_is_damaged_and_one_that_never_was(engine: Engine) -> None:
    data = api.create("data", engine=engine).mountpoint
    (data.parent / "volume.json").write_text("{")
    with pytest.raises(Error, match="the record of volume data is damaged") as caught:
        api.inspect("data", engine=engine)
    assert str(data) in caught.value.hint
    (data.parent / "volume.json").unlink()  # as an earlier version made them
    assert [row["name"] for row in api.ls(engine=engine)] == ["data"]
    assert api.rm("data", engine=engine) == ["data"]


def test_the_card(engine: Engine) -> None:
    made = api.create("data", label=["<b>=1"], engine=engine)
    container(engine, "web", "data")
    shown = made._repr_mimebundle_()
    assert shown["text/plain"].splitlines()[0] == "volume data"
    assert "web" in shown["text/plain"]
    assert "&lt;b&gt;=1" in shown["text/html"]
    assert "<b>=1" not in shown["text/html"]


def test_a_name_is_made_up(engine: Engine) -> None:
    made = api.create(engine=engine)
    assert len(made.name) == 64
    assert not made.anonymous


def test_one_that_is_not_there_is_told_with_what_comes_close(engine: Engine) -> None:
    api.create("database", engine=engine)
    for verb in (api.rm, api.inspect):
        with pytest.raises(NotFound, match="no volume 'databse'") as caught:
            verb("databse", engine=engine)
        assert "did you mean database?" in caught.value.hint
    assert api.rm("databse", "database", force=True, engine=engine) == ["database"]


def test_one_in_use_stays_and_so_do_those_beside_it(engine: Engine) -> None:
    for name in ("used", "free"):
        api.create(name, engine=engine)
    container(engine, "web", "used")
    container(engine, "old", anonymous=("used",))
    with pytest.raises(InvalidState, match="volume used is in use by old, web") as caught:
        api.rm("free", "used", force=True, engine=engine)
    assert "container rm old web" in caught.value.hint
    assert store.names(str(engine.root)) == ["free", "used"]
    assert api.inspect("used", engine=engine)[0]["Containers"] == ["old", "web"]


def test_nothing_is_pruned_while_a_container_s_record_is_damaged(engine: Engine) -> None:
    api.create("data", engine=engine)
    container(engine, "a", "data")
    (engine.root / "containers" / ("a" * 64) / "container.json").write_text("")  # as after a power cut
    with pytest.raises(InvalidState, match="the record of container aaaaaaaaaaaa is damaged") as raised:
        api.prune(all=True, engine=engine)
    assert "rm -r " in str(raised.value.hint)
    assert (engine.root / "volumes" / "data").is_dir()


def test_prune_takes_the_anonymous_ones_and_with_all_every_one(engine: Engine) -> None:
    root = str(engine.root)
    for name, anonymous in (("named", False), ("mine", False), ("a" * 64, True), ("b" * 64, True)):
        store.create(root, name, anonymous=anonymous, labels={"keep": "yes"} if name == "mine" else {})
    container(engine, "web", anonymous=("a" * 64,))
    assert [row["name"] for row in api.prune(engine=engine)] == ["b" * 64]
    assert [row["name"] for row in api.prune(all=True, filter=["label=keep=no"], engine=engine)] == []
    assert [row["name"] for row in api.prune(all=True, filter=["label=keep"], engine=engine)] == ["mine"]
    assert [row["name"] for row in api.prune(all=True, engine=engine)] == ["named"]
    assert store.names(root) == ["a" * 64]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([], ["blue", "green", "tmp"]), (["name=e"], ["blue", "green"]), (["name=blue", "name=tmp"], ["blue", "tmp"]),
        (["label=team"], ["blue", "green"]), (["label=team=a"], ["blue"]), (["label=team", "label=x"], ["green"]),
        (["dangling=true"], ["green", "tmp"]), (["dangling=0"], ["blue"]), (["driver=local"], ["blue", "green", "tmp"]),
        (["driver=nfs"], []), (["anonymous=true"], []), (["name=e", "dangling=true"], ["green"]),
    ],
)  # fmt: skip
def test_filters(engine: Engine, filters: list[str], names: list[str]) -> None:
    api.create("blue", label=["team=a"], engine=engine)
    api.create("green", label=["team=b", "x"], engine=engine)
    api.create("tmp", engine=engine)
    container(engine, "web", "blue")
    assert [row["name"] for row in api.ls(filter=filters, engine=engine)] == names


@pytest.mark.parametrize("text", ["name", "size=1", "dangling=maybe", "=x"])
def test_filters_that_are_none(engine: Engine, text: str) -> None:
    with pytest.raises(InvalidArgument, match="is no filter") as caught:
        api.ls(filter=[text], engine=engine)
    assert "dangling=true" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        (["size=1g"], "no option 'size'", "type=tmpfs"), (["type=nfs", "o=addr=1.2.3.4"], "type nfs", "mount -t nfs"),
        (["type=none"], "needs o=bind", "device=/host/folder"), (["type=none", "o=bind"], "no absolute path", "device=/host/folder"),
        (["type=none", "o=bind", "device=data"], "device=data is no absolute path", "device=/data"),
        (["type=tmpfs", "o=fast"], "'fast' is no option of a tmpfs", "size=64m"), (["type"], "no pair", "KEY=VALUE"),
        (["type=tmpfs", "o=size=lots"], "'size=lots'", "size=64m"), (["type=bind", "o=bind,fast", "device=/x"], "'fast'", "o=bind"),
    ],
)  # fmt: skip
def test_options_that_cannot_work(engine: Engine, given: list[str], message: str, hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        api.create("data", opt=given, engine=engine)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert not store.names(str(engine.root))


def test_options() -> None:
    given = options.check(options.pairs("--opt", ["type=tmpfs", "o=size=1m", "o=mode=700,ro"]))
    assert options.mount_words(given) == ["size=1048576", "mode=700", "ro"]
    assert options.is_tmpfs(given)
    bind = options.check(options.pairs("--opt", {"type": "none", "o": "bind,ro", "device": "/srv"}))
    assert options.mount_words(bind) == ["ro"]


def test_the_same_name_with_other_options_is_an_error(engine: Engine) -> None:
    api.create("data", opt=["type=tmpfs"], engine=engine)
    with pytest.raises(InvalidArgument, match="with other options") as caught:
        api.create("data", engine=engine)
    assert "type=tmpfs" in caught.value.message
    assert "volume rm data" in caught.value.hint


def test_another_driver_is_an_error(engine: Engine) -> None:
    with pytest.raises(InvalidArgument, match="no volume driver 'nfs'"):
        api.create("data", driver="nfs", engine=engine)


def test_what_killed_makers_and_removers_left_goes(engine: Engine) -> None:
    root = str(engine.root)
    api.create("data", engine=engine)
    for left in (".4194999.00ff.new", ".4194999.00fe.removed", f".{os.getpid()}.00fd.new"):
        (engine.root / "volumes" / left / "_data").mkdir(parents=True)
    assert sorted(removal.tidy(root)) == [("half-made volume", "00ff"), ("half-removed volume", "00fe")]
    assert sorted(os.listdir(engine.root / "volumes")) == [f".{os.getpid()}.00fd.new", "data"]
    assert store.names(root) == ["data"]


# -- the first contents ------------------------------------------------------------------------------------------------


def image(tmp_path: Path) -> Path:
    root = tmp_path / "image"
    (root / "srv/sub").mkdir(parents=True)
    (root / "srv/file").write_text("image")
    (root / "srv/sub/more").write_text("more")
    (root / "srv/link").symlink_to("/nowhere")
    os.link(root / "srv/file", root / "srv/sub/hard")
    (root / "srv/sub").chmod(0o2750)
    (root / "srv").chmod(0o1777)
    (root / "way").symlink_to("srv")
    return root


def volume_folder(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "volume"
    (folder / "_data").mkdir(parents=True)
    return folder, folder / "_data"


def test_an_empty_volume_gets_what_the_image_has(tmp_path: Path) -> None:
    root, (folder, data) = image(tmp_path), volume_folder(tmp_path)
    facts = contents.fill(str(data), str(folder), str(root), "/way")
    assert facts == {"left_out": 0, "notes": []}
    assert sorted(path.relative_to(data).as_posix() for path in data.rglob("*")) == [
        "file",
        "link",
        "sub",
        "sub/hard",
        "sub/more",
    ]
    assert os.readlink(data / "link") == "/nowhere"
    assert data.stat().st_mode & 0o7777 == 0o1777
    assert (data / "sub").stat().st_mode & 0o7777 == 0o2750
    assert (data / "file").stat().st_ino == (data / "sub/hard").stat().st_ino
    assert os.listdir(folder) == ["_data"]


def test_one_that_is_not_empty_gets_nothing(tmp_path: Path) -> None:
    root, (folder, data) = image(tmp_path), volume_folder(tmp_path)
    (data / "mine").write_text("mine")
    contents.fill(str(data), str(folder), str(root), "/srv")
    assert os.listdir(data) == ["mine"]


@pytest.mark.parametrize("target", ["/missing", "/srv/file", "/srv/link"])
def test_what_is_no_folder_of_the_image_gives_nothing(tmp_path: Path, target: str) -> None:
    root, (folder, data) = image(tmp_path), volume_folder(tmp_path)
    contents.fill(str(data), str(folder), str(root), target)
    assert os.listdir(data) == []


def test_a_copy_that_was_killed_is_begun_again_or_finished(tmp_path: Path) -> None:
    root, (folder, data) = image(tmp_path), volume_folder(tmp_path)
    (folder / "_incoming/half").mkdir(parents=True)
    contents.settle(str(data), str(folder))
    assert (os.listdir(folder), os.listdir(data)) == (["_data"], [])
    contents.fill(str(data), str(folder), str(root), "/srv")
    os.makedirs(folder / "_complete/sub")
    (folder / "_complete/late").write_text("late")
    contents.settle(str(data), str(folder))
    assert (data / "late").read_text() == "late"
    assert (data / "sub/more").read_text() == "more"
    assert os.listdir(folder) == ["_data"]


def test_an_error_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, (folder, data) = image(tmp_path), volume_folder(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr("nbcontainers.layer.copy._content", full)
    with pytest.raises(OSError, match="full"):
        contents.fill(str(data), str(folder), str(root), "/srv")
    assert (os.listdir(folder), os.listdir(data)) == (["_data"], [])


def test_giving_a_tree_away_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/link").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").write_text("x")
    before = (tmp_path / "outside").stat().st_ctime_ns
    ownership.give(str(tmp_path / "tree"), os.getuid(), os.getgid())
    assert (tmp_path / "outside").stat().st_ctime_ns == before
    assert {"/", "/etc", "/usr", "/home"} <= ownership.PRECIOUS


def test_the_verbs_are_found_on_first_use() -> None:
    assert volume.create is api.create
    with pytest.raises(AttributeError):
        volume.nothing  # noqa: B018


def test_a_card_of_a_volume_does_not_wait_for_its_last_file(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    made = api.create("data", engine=engine)
    made.mountpoint.joinpath("file").write_bytes(b"x" * 5000)
    assert "more than" not in made._repr_mimebundle_()["text/plain"]
    monkeypatch.setattr("nbcontainers.volume.listing._MOMENT_S", -1)
    for shown in made._repr_mimebundle_().values():
        assert "more than" in shown
        assert "volume ls --size" in shown
    assert made.size >= 5000


def test_a_handle_says_in_a_line_what_it_is_also_where_its_record_is_damaged(engine: Engine) -> None:
    """A repr that raises fails the cell (ipykernel#1521)."""
    made = api.create("data", engine=engine)
    assert repr(made).startswith("<Volume data of 20")
    (engine.root / "volumes" / "data" / "volume.json").write_text("{")
    assert repr(made) == "<Volume data (Error: the record of volume data is damaged)>"
    (engine.root / "volumes" / "data" / "volume.json").write_text("[]")
    assert repr(made).startswith("<Volume data (TypeError: ")
    api.rm(made, force=True, engine=engine)
    assert repr(made) == "<Volume data removed>"
