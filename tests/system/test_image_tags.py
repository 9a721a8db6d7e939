"""A registry's tags against docker-registry on loopback: their list, what is here of them, what has moved."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import nbcontainers
from nbcontainers import image
from nbcontainers.advice import MovingTag
from nbcontainers.engine import Engine
from nbcontainers.errors import Error, InvalidArgument, RegistryError
from nbcontainers.image import latest, layout
from nbcontainers.oci.image import INDEX, MANIFEST, descriptor, encode
from tests.registries import DockerRegistry, digest_of, docker_registry, fill, free_port
from tests.tarballs import END, header

TAGS = ("latest", "1", "1.21", "1.21.7", "1.21.10", "1.22.0-rc1", "1.21.7-alpine", "20240115", "stable")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as found:
        for tag in TAGS:
            fill(found, f"team/web:{tag}", [END])
        yield found


@pytest.fixture
def repository(registry: DockerRegistry) -> str:
    return f"{registry.host}/team/web"


def keep(engine: Engine, name: str, digest: str, notes: dict[str, str] | None = None) -> None:
    """As if it had been pulled."""
    one = descriptor(MANIFEST, digest, 100) | ({"annotations": notes} if notes else {})
    with layout.update(engine, "pull") as manifests:
        layout.set_name(manifests, name, one)  # type: ignore[arg-type]


def served(registry: DockerRegistry, tag: str) -> str:
    _, _, content = registry.request("GET", f"/v2/team/web/manifests/{tag}", headers={"Accept": MANIFEST})
    return digest_of(content)


def test_tags_newest_first_with_how_they_move(repository: str, fresh_engine: Engine) -> None:
    rows = image.tags(repository)
    assert [row["tag"] for row in rows] == [
        "latest", "stable", "1", "1.22.0-rc1", "1.21", "1.21.10", "1.21.7", "1.21.7-alpine", "20240115",
    ]  # fmt: skip
    kinds = {row["tag"]: row["kind"] for row in rows}
    assert (kinds["latest"], kinds["1"], kinds["1.21"], kinds["1.21.7"]) == ("latest", "major", "minor", "fixed")
    assert "never in production" in repr(rows)


def test_the_list_can_be_narrowed(repository: str, fresh_engine: Engine) -> None:
    assert [row["tag"] for row in image.tags(repository, "1.21*", kind="fixed", limit=2)] == ["1.21.10", "1.21.7"]
    assert [row["tag"] for row in image.tags(repository, "alpine")] == ["1.21.7-alpine"]
    plain = image.search_tags(repository, limit=2)
    assert repr(plain).splitlines()[0].split() == ["NAME", "TAG"]
    assert [row["tag"] for row in plain] == ["latest", "stable"]


def test_an_alias_is_known(
    repository: str, fresh_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registries.toml").write_text(f'[aliases]\nweb = "{repository}"\n')
    monkeypatch.setenv("NBCONTAINERS_REGISTRIES", str(tmp_path / "registries.toml"))
    assert image.tags("web", kind="latest")[0]["tag"] == "latest"


def test_digests_show_what_is_here(registry: DockerRegistry, repository: str, fresh_engine: Engine) -> None:
    keep(fresh_engine, f"{repository}:1.21.7", served(registry, "1.21.7"))
    keep(fresh_engine, f"{repository}:stable", digest_of(b"an old one"))
    rows = {row["tag"]: row for row in image.tags(repository, digests=True)}
    assert rows["latest"]["here"] == ["1.21.7"], "another tag of the same image"
    assert {row["digest"] for row in rows.values()} == {served(registry, "1")}
    plain = {row["tag"]: row["local"] for row in image.tags(repository)}
    assert plain["1.21.7"] == served(registry, "1.21.7")
    assert plain["1"] is None


def test_outdated(registry: DockerRegistry, repository: str, fresh_engine: Engine) -> None:
    now, old = served(registry, "1.21"), digest_of(b"an old one")
    keep(fresh_engine, f"{repository}:1.21", now)
    keep(fresh_engine, f"{repository}:stable", old)
    keep(fresh_engine, f"{repository}:1", digest_of(b"one of an index"), {layout.INDEX_NOTE: now})
    keep(fresh_engine, f"{repository}:0.9", old)
    keep(fresh_engine, f"127.0.0.1:{free_port()}/team/web:1", old)
    keep(fresh_engine, "localhost/mine:1", old)
    keep(fresh_engine, f"{repository}@{old}", old)
    rows = {row["reference"].rpartition(":")[2]: row for row in image.outdated() if repository in row["reference"]}
    assert {tag: row["state"] for tag, row in rows.items()} == {
        "1.21": "up to date", "stable": "moved", "1": "up to date", "0.9": "gone",
    }  # fmt: skip
    assert (rows["stable"]["local"], rows["stable"]["remote"]) == (old, now)
    assert (rows["1"]["local"], rows["1"]["remote"]) == (now, now), "of an index its digest, as the registry says it"
    assert rows["stable"]["since"] > 1_700_000_000
    (lost,) = [row for row in image.outdated() if row["state"] == "unreachable"]
    assert lost["why"]
    assert "WHY" in repr(image.outdated())
    assert "WHY" not in repr(image.outdated(f"{repository}:1.21"))


def test_what_came_by_an_index_is_known_by_it(registry: DockerRegistry, fresh_engine: Engine, tmp_path: Path) -> None:
    """Also after `save` and `load`, where the archive holds the manifest alone."""
    manifest = fill(registry, "team/many:both", [END])
    entry = descriptor(MANIFEST, digest_of(manifest), len(manifest)) | {
        "platform": {"os": "linux", "architecture": "amd64"}
    }
    index = encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
    status, _, said = registry.request("PUT", "/v2/team/many/manifests/1", index, {"Content-Type": INDEX})
    assert status == 201, said
    name = f"{registry.host}/team/many:1"
    image.pull(name, platform="linux/amd64")
    meant = f"{registry.host}/team/many@{digest_of(index)}"
    assert image.inspect(name)[0]["RepoDigests"] == [meant], "as Docker has it"
    assert image.inspect(meant)[0]["Id"] == image.inspect(name)[0]["Id"]
    (row,) = [row for row in image.ls(digests=True) if row["reference"] == name]
    assert row["digest"] == digest_of(index)

    image.save(name, output=str(tmp_path / "saved.tar"))
    image.rm(name)
    image.load(str(tmp_path / "saved.tar"))
    assert image.inspect(name)[0]["RepoDigests"] != [meant], "nobody has said so yet"
    for _ in range(2):
        (row,) = image.outdated(name)
        assert (row["state"], row["local"], row["remote"]) == ("up to date", digest_of(index), digest_of(index))
    assert image.inspect(name)[0]["RepoDigests"] == [meant]

    fill(registry, "team/many:1", [END + END])
    assert image.outdated(name)[0]["state"] == "moved"


def test_what_has_no_tags_is_said(registry: DockerRegistry, repository: str, fresh_engine: Engine) -> None:
    with pytest.raises(InvalidArgument) as caught:
        image.tags(f"{repository}:1.21")
    assert caught.value.hint == f"%image tags {repository}"
    for own in ("localhost/mine", "mini", "host"):
        with pytest.raises(InvalidArgument, match="on this machine only"):
            image.tags(own)
    with pytest.raises(InvalidArgument, match="no tag of a registry"):
        image.outdated("host")
    with pytest.raises(RegistryError, match=r"^repository .*no/such does not exist"):
        image.tags(f"{registry.host}/no/such")


def test_an_unreachable_registry_ends_a_list_of_digests(fresh_engine: Engine) -> None:
    with pytest.raises(RegistryError) as caught:
        image.tags(f"127.0.0.1:{free_port()}/a/b", digests=True)
    assert caught.value.hint


def test_the_command_line(repository: str, cli: Callable[..., Any]) -> None:
    done = cli("image", "tags", repository, "1.21*", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert '"moves": "fixed by convention"' in done.stdout
    assert "TAG" in cli("image", "search-tags", repository).stdout


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "_said", set())


def test_what_is_said_of_latest(fresh_engine: Engine, nothing_said: None) -> None:
    digest = digest_of(b"x")
    for name in ("docker.io/library/nginx:latest", "docker.io/library/nginx:1.21", "quay.io/a/b:latest"):
        keep(fresh_engine, name, digest)
    keep(fresh_engine, "localhost/mine:latest", digest_of(b"y"))
    assert latest.advice(fresh_engine, "nginx") == (
        f"nginx:latest means another image after every release; for this one write nginx@{digest}"
    )
    assert latest.advice(fresh_engine, "nginx:latest") == "", "once"
    for silent in ("nginx:1.21", "mine", "host", "mini", digest, "no such image", f"nginx@{digest}"):
        assert latest.advice(fresh_engine, silent) == ""
    keep(fresh_engine, "quay.io/a/b:2.0.1", digest)
    keep(fresh_engine, "quay.io/a/b:2", digest)
    assert latest.advice(fresh_engine, "quay.io/a/b").endswith("for this one write quay.io/a/b:2.0.1")


def test_it_can_be_silenced(fresh_engine: Engine, nothing_said: None, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(fresh_engine, "docker.io/library/nginx:latest", digest_of(b"x"))
    monkeypatch.setenv(latest.SILENCE, "0")
    assert latest.advice(fresh_engine, "nginx") == ""


WORDS = "nginx:latest means another image after every release"


def test_every_face_says_it(
    fresh_engine: Engine,
    nothing_said: None,
    cli: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """There is nothing in the image that could be run; what is said comes before."""
    (tmp_path / "empty.tar").write_bytes(header("tmp/", type=b"5") + END)
    image.import_(str(tmp_path / "empty.tar"), "docker.io/library/nginx:latest")
    assert f"Warning: {WORDS}" in cli("run", "nginx", "true").stderr
    assert WORDS not in cli("run", "nginx", "true", env={**os.environ, latest.SILENCE: "0"}).stderr
    with pytest.warns(MovingTag, match=WORDS) as warned, pytest.raises(Error):
        nbcontainers.run("nginx", "true")
    assert warned[0].filename == __file__, "it points to the caller's line"
    latest._said.clear()
    shell = InteractiveShell.instance()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbcontainers.launcher.client.warm", lambda: None)
        shell.run_line_magic("load_ext", "nbcontainers")
    for times in (1, 0):
        with pytest.raises(Error):
            shell.run_line_magic("container", "run nginx true")
        assert capsys.readouterr().err.count(f"Warning: {WORDS}") == times
    shell.run_line_magic("unload_ext", "nbcontainers")
