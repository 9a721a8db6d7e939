"""From options of `image build` to what they mean: secrets, agents, outputs, pairs, URLs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbcontainers.builder import credentials, epoch, git, orders, output, remote
from nbcontainers.builder.opening import Opened
from nbcontainers.dockerfile import pattern
from nbcontainers.errors import BuildError, InvalidArgument


def test_secrets(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff")
    env = {"TOKEN": "t"}
    assert credentials.secrets([f"id=a,src={tmp_path}/file", "id=TOKEN", "id=b,env=TOKEN", f"src={tmp_path}/file"], env) == {
        "a": b"\xff", "TOKEN": b"t", "b": b"t", "file": b"\xff",
    }  # fmt: skip
    assert credentials.secrets({"a": "x", "b": b"y"}, {}) == {"a": b"x", "b": b"y"}


@pytest.mark.parametrize("text", ["x", "id=a,src=/no/such/file", "id=a,env=NOTHING", "type=file", "id=a,what=b"])
def test_bad_secrets(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        credentials.secrets([text], {})
    assert caught.value.hint


@pytest.mark.parametrize(
    "text, expected",
    [
        ("out", output.Output("local", "out")), ("-", output.Output("tar", "-")),
        ("type=tar,dest=f", output.Output("tar", "f")), ("type=image", output.Output("image")),
        ("type=image,name=a/b,push=true", output.Output("image", name="a/b", push=True)),
        ("type=registry,name=a/b", output.Output("image", name="a/b", push=True)),
        ("type=docker", output.Output("image")), ("type=docker,name=x", output.Output("image", name="x")),
        ("type=oci,dest=d,tar=false", output.Output("oci", "d", is_folder=True)),
    ],
)  # fmt: skip
def test_outputs(text: str, expected: output.Output) -> None:
    assert output.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "type=x,dest=y",
        "type=tar",
        "type=oci,dest=a,more=b",
        "dest=x",
        "type=registry",
        "type=image,push=true",
        "type=image,push=perhaps,name=a",
        "type=local,dest=a,name=b",
    ],
)
def test_bad_outputs(text: str) -> None:
    with pytest.raises(InvalidArgument):
        output.parse(text)


def test_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert orders.pairs("label", ["a=b=c", "d"]) == {"a": "b=c", "d": ""}
    with pytest.raises(InvalidArgument):
        orders.pairs("build-context", ["a"])
    monkeypatch.setenv("HERE", "1")
    assert orders._arguments(["A=1=2", "HERE", "NOT_THERE"]) == {"A": "1=2", "HERE": "1"}


def test_what_is_fetched() -> None:
    assert remote.is_remote("https://a/b")
    assert not remote.is_remote("a/b.git")


@pytest.mark.parametrize(
    "text, url, ref, folder",
    [
        ("https://a/b.git", "https://a/b.git", "", ""),
        ("https://a/b.git#v1:c/d", "https://a/b.git", "v1", "c/d"),
        ("git@host:a/b#:c", "git@host:a/b", "", "c"),
        ("git://a/b#main", "git://a/b", "main", ""),
        ("ssh://git@a/b.git?tag=v1&subdir=c", "ssh://git@a/b.git", "v1", "c"),
        ("github.com/a/b", "https://github.com/a/b", "", ""),
    ],
)
def test_what_is_a_repository(text: str, url: str, ref: str, folder: str) -> None:
    found = git.parse(text)
    assert found
    assert (found.url, found.ref, found.folder) == (url, ref, folder)


@pytest.mark.parametrize("text", ["a.git", "./a/b.git", "https://a/b.tgz", "/a/b", "a@b", "C:/a"])
def test_what_is_no_repository(text: str) -> None:
    assert git.parse(text) is None


@pytest.mark.parametrize("text", ["https://[::1/a.git", "http://[::1/a", "git://[::1/a", "ssh://a]/b"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(BuildError, match="is no address"):
        git.parse(text)


@pytest.mark.parametrize("folder", ["loop", "\0", "n" * 300, "..", "file"])
def test_what_is_no_folder_of_a_repository(tmp_path: Path, folder: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match="has no folder"):
        git._inside(git.Repository("https://a/b.git", folder=folder), tmp_path)


@pytest.mark.parametrize("text", ["99999999999999999999", "253402300800"])
def test_a_time_that_no_document_can_have(text: str) -> None:
    assert epoch.seconds("253402300799") == 253402300799
    with pytest.raises(BuildError, match="is after the year 9999"):
        epoch.seconds(text)


def test_questions_to_a_repository() -> None:
    found = git.parse("https://a/b.git?commit=abc&keep-git-dir=1&submodules=false")
    assert found
    assert (found.checksum, found.keep, found.submodules) == ("abc", True, False)
    with pytest.raises(BuildError, match="x is not known"):
        git.parse("https://a/b.git?x=1")


def test_a_password_in_an_address_stays_out_of_sight() -> None:
    one = git.Repository("https://me:secret@a:8443/b.git")
    assert one.shown == "https://a:8443/b.git"
    env = git._environment({}, one)
    given = {env[f"GIT_CONFIG_KEY_{n}"]: env[f"GIT_CONFIG_VALUE_{n}"] for n in range(int(env["GIT_CONFIG_COUNT"]))}
    assert given["url.https://me:secret@a:8443/.insteadOf"] == "https://a:8443/"
    for url in ("ssh://git@a/b.git", "git@a:b.git", "file:///a/b.git", "https://a/b.git"):
        assert git.Repository(url).shown == url
        assert "insteadOf" not in str(git._environment({}, git.Repository(url)))


@pytest.mark.parametrize("name", ["a", "*", "[x]", "a?b", "\\", "a\\*"])
def test_a_name_as_a_pattern_matches_itself_alone(name: str) -> None:
    match = pattern.compile(pattern.escape(name))
    assert match(name)
    assert not match(name + "x")
    assert pattern.literal(pattern.escape(name)) == name


def test_a_pipe_in_the_place_of_the_dockerfile_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Dockerfile")
    for is_foreign in (False, True):
        with pytest.raises(BuildError, match=r"cannot read the Dockerfile .* a pipe or a device"):
            orders._dockerfile(Opened(str(tmp_path), is_foreign=is_foreign), "", None)


@pytest.mark.parametrize(
    "option, text, words",
    [
        ("memory", "x", "--memory: 'x' is no size"), ("cpus", "x", "--cpus: 'x' is no number"),
        ("shm_size", "0", "--shm-size: "), ("add_host", ["foo"], "--add-host: 'foo' is no host"),
    ],
)  # fmt: skip
def test_what_a_run_cannot_have_is_told_where_none_is_done(option: str, text: object, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        orders._options({option: text})
