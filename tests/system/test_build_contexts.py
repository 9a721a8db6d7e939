"""Contexts of image build that are no folder: archives, the input, URLs, git repositories, OCI layouts; and ADD of git."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.builder import api as builder
from nbcontainers.container import api as containers
from nbcontainers.engine import Engine, default_engine
from nbcontainers.errors import BuildError, InvalidArgument
from nbcontainers.image import api, store
from nbcontainers.image.image import Image
from tests.served import repositories, served
from tests.system.test_build import states

Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def nothing_kept(engine: Engine) -> Iterator[None]:
    builder.prune(all=True)
    yield
    assert list((engine.cache / "build/work").glob("*")) == []


def build(text: str | None, context: Any, **options: Any) -> Image:
    return api.build(context, dockerfile=text, network="none", **options)


def said(image: Image, *command: str) -> str:
    output: list[bytes] = []
    containers.run(image.id, *command, rm=True, network=["none"], stdout=output.append)
    return b"".join(output).decode()


def packed(files: Files, mode: str = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid = len(content), 1234
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


FILES = {
    "Dockerfile": b"FROM mini\nCOPY . /c/\n",
    ".dockerignore": b"no*\n",
    "a": b"alpha\n",
    "not": b"",
    "d/.wh.b": b"x",
}


def test_an_archive(tmp_path: Path) -> None:
    (tmp_path / "c.tar").write_bytes(packed(FILES, "w"))
    (tmp_path / "c.tgz").write_bytes(packed(FILES))
    image = build(None, str(tmp_path / "c.tar"))
    assert sorted(said(image, "find", "/c", "-type", "f").split()) == ["/c/.dockerignore", "/c/Dockerfile", "/c/a"]
    assert build(None, str(tmp_path / "c.tgz")).digest == image.digest
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(InvalidArgument, match="no tar archive"):
        build("FROM mini\n", str(tmp_path / "text"))


def test_a_dockerfile_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no file of this machine, neither by a link nor because -f names one here too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("sesame\n")
    (tmp_path / "other").write_text("FROM mini\nRUN echo here > /x\n")
    with tarfile.open("c.tar", "w") as archive:
        for name, target in (("Dockerfile", f"{tmp_path}/secret"), ("Containerfile", "other")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        there = tarfile.TarInfo("other")
        there.size = len(text := b"FROM mini\nRUN echo there > /x\n")
        archive.addfile(there, io.BytesIO(text))
    with pytest.raises(BuildError, match="cannot read the Dockerfile") as caught:
        build(None, "c.tar")
    assert "sesame" not in caught.value.message
    for file in ("other", "Containerfile"):
        assert said(build(None, "c.tar", file=file), "cat", "/x") == "there\n"


def test_a_folder_that_is_called_as_a_repository_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("github.com/me").mkdir(parents=True)
    Path("github.com/me/a").write_text("alpha\n")
    assert said(build("FROM mini\nCOPY a /\n", "github.com/me"), "cat", "/a") == "alpha\n"


def test_the_input() -> None:
    def run(given: bytes, *more: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "nbcontainers", "build", "--network", "none", "-t", "nbc-input", *more, "-"]
        return subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)

    try:
        assert run(packed(FILES)).returncode == 0
        assert said(_named("nbc-input"), "cat", "/c/a") == "alpha\n"
        done = run(b"FROM mini\nRUN echo input > /x\n")
        assert done.returncode == 0, done.stderr
        assert said(_named("nbc-input"), "cat", "/x") == "input\n"
        assert b"the input is empty" in run(b"").stderr
        assert b"the input has more than 1 MiB" in run(b"FROM mini\n" + b"#" * (1 << 20)).stderr
        assert b"the input has more than 1 MiB" in run(b"FROM mini\n" + b"#" * (1 << 20), "-f", "-").stderr
        assert b"there is nothing in its root" in run(b"FROM mini\nCOPY a /\n").stderr
    finally:
        api.rm("nbc-input", force=True)


def _named(name: str) -> Image:
    return store.resolve(default_engine(), name)


def test_urls() -> None:
    with served({"/c.tgz": packed(FILES), "/Dockerfile.x": b"FROM mini\nRUN echo url > /x\n"}) as url:
        assert said(build(None, f"{url}/c.tgz"), "cat", "/c/a") == "alpha\n"
        assert said(build(None, f"{url}/Dockerfile.x"), "cat", "/x") == "url\n"
        image = build("FROM mini\nCOPY --from=more a /more\n", "-", build_context={"more": f"{url}/c.tgz"})
        assert said(image, "cat", "/more") == "alpha\n"
        with pytest.raises(BuildError, match="cannot be fetched"):
            build(None, f"{url}/other.tgz")
    with served({"/half": b"x" * 9000}, cut=["/half"]) as url:
        with pytest.raises(BuildError, match=r"/half cannot be fetched: it ended after 4500 of 9000 bytes"):
            build(f"FROM mini\nADD {url}/half /x\n", "-")


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., str]:
    """A bare repository with the tag `first`, the branch `other` and a folder; `git(…)` runs git in its work tree."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    work = tmp_path / "work"
    work.mkdir()

    def git(*words: str) -> str:
        names = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env = {**os.environ, **names, "GIT_COMMITTER_DATE": "1000000000 +0000", "HOME": str(tmp_path)}
        command = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *words]
        return subprocess.run(command, cwd=work, env=env, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q", ".")
    (work / "Dockerfile").write_text("FROM mini\nCOPY . /c/\n")
    (work / "d").mkdir()
    (work / "d/b").write_text("beta\n")
    git("add", "."), git("commit", "-qm", "1"), git("tag", "-am", "x", "first")
    git("checkout", "-qb", "other")
    (work / "d/b").write_text("other\n")
    git("commit", "-qam", "2"), git("checkout", "-q", "main")
    git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    return git


def test_a_repository_as_context(repository: Callable[..., str], tmp_path: Path) -> None:
    url = f"file://{tmp_path}/bare.git"
    image = build(None, url)
    assert sorted(said(image, "find", "/c", "-type", "f").split()) == ["/c/Dockerfile", "/c/d/b"]
    assert said(image, "stat", "-c", "%Y %a %u", "/c/d/b") == "1000000000 644 0\n"
    other = repository("rev-parse", "other")
    for ref in ("other", other, other[:9], "refs/heads/other"):
        assert said(build("FROM mini\nCOPY b /b\n", f"{url}#{ref}:d"), "cat", "/b") == "other\n"
    assert said(build("FROM mini\nCOPY d/b /b\n", f"{url}#first"), "cat", "/b") == "beta\n"
    assert said(build("FROM mini\nCOPY --from=r b /b\n", "-", build_context=[f"r={url}?branch=other&subdir=d"]), "cat", "/b") == "other\n"  # fmt: skip
    for end, words in (
        ("#none", "has no none"),
        (":#", "cannot|has no"),
        ("#first:../..", "has no folder"),
        ("?x=y", "x is not known"),
    ):
        with pytest.raises(BuildError, match=words):
            build("FROM mini\n", f"{url}{end}")


def test_the_time_of_a_context(repository: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SOURCE_DATE_EPOCH=context; an ARG before the first FROM says it as well as --build-arg."""
    text = "ARG SOURCE_DATE_EPOCH=context\nFROM mini\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /when\n"
    of_commit = build(text, f"file://{tmp_path}/bare.git")
    assert of_commit.config["created"] == "2001-09-09T01:46:40Z"
    assert said(of_commit, "cat", "/when") == "1000000000\n"
    with served({"/c.tgz": packed(FILES)}) as url:  # with the time of 1000000000 for everything
        assert build(text, f"{url}/c.tgz").config["created"] == "2001-09-09T01:46:40Z"
    of_folder = build("FROM mini\nRUN true\n", str(tmp_path), build_arg={"SOURCE_DATE_EPOCH": "context"})
    assert of_folder.config["created"] > "2026"
    at = build("ARG SOURCE_DATE_EPOCH=1500000000\nFROM mini\nRUN touch /x\n", "-")
    assert at.config["created"] == "2017-07-14T02:40:00Z"
    with pytest.raises(BuildError, match="SOURCE_DATE_EPOCH=soon is no time"):
        build("FROM mini\n", "-", build_arg={"SOURCE_DATE_EPOCH": "soon"})


def test_add_of_a_repository(repository: Callable[..., str], tmp_path: Path) -> None:
    url = f"file://{tmp_path}/bare.git"
    commit = repository("rev-parse", "main")
    text = f"FROM mini\nADD {url} /r\nADD --keep-git-dir=true --chown=5 {url}#other /k\nADD --checksum={commit[:12]} {url} /z/\n"
    events: list[dict[str, Any]] = []
    image = build(text, "-")
    assert said(image, "cat", "/r/d/b", "/k/d/b", "/z/d/b") == "beta\nother\nbeta\n"
    assert said(image, "sh", "-c", "ls -d /r/.git /k/.git 2> /dev/null; stat -c %u /k/d") == "/k/.git\n5\n"
    build(text, "-", progress=events.append)
    assert states(events) == ["cached"] * 3
    with pytest.raises(BuildError, match=r"Dockerfile:2.*is at"):
        build(f"FROM mini\nADD --checksum={'0' * 40} {url} /r\n", "-")


def test_submodules(repository: Callable[..., str], tmp_path: Path) -> None:
    """A relative one is where the repository is, and for whom that is; no password gets into a .git that is kept."""
    repository("submodule", "add", "-q", f"file://{tmp_path}/bare.git", "sub")
    repository("config", "-f", ".gitmodules", "submodule.sub.url", "../bare.git")
    repository("commit", "-qam", "3")
    repository("clone", "-q", "--bare", ".", str(tmp_path / "more.git"))
    with repositories(tmp_path, "me:sesame") as server:
        url = server.replace("//", "//me:sesame@")
        image = build(f"FROM mini\nADD --keep-git-dir=true {url}/more.git /r\n", "-")
        with pytest.raises(BuildError, match="cannot be fetched") as caught:
            build(f"FROM mini\nADD {url.replace('sesame', 'secret')}/more.git /r\n", "-")
    assert said(image, "cat", "/r/sub/d/b") == "beta\n"
    assert said(image, "sh", "-c", "grep -r sesame /r || echo none") == "none\n"
    assert "secret" not in caught.value.message.partition("\n")[0]


def test_a_submodule_brings_no_repository_of_this_machine(repository: Callable[..., str], tmp_path: Path) -> None:
    repository("submodule", "add", "-q", f"file://{tmp_path}/bare.git", "sub")
    repository("commit", "-qam", "3")
    with pytest.raises(BuildError, match="cannot be fetched"):
        build(f"FROM mini\nADD file://{tmp_path}/work/.git /r\n", "-")


def test_git_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="needs the program git") as caught:
        build(None, "https://127.0.0.1/a.git")
    assert "apt install git" in caught.value.hint


def test_a_folder_as_base(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/x").write_text("x\n")
    image = build("FROM base\nCOPY --from=mini / /\nENV a=b\n", "-", build_context={"base": str(tmp_path)})
    assert said(image, "cat", "/etc/x") == "x\n"
    assert image.config["config"]["Env"][-1] == "a=b"


def test_an_oci_layout(tmp_path: Path) -> None:
    made = build("FROM mini\nRUN echo layout > /x\n", "-", tag=["nbc-layout:1"])
    try:
        api.save("nbc-layout:1", output=str(tmp_path / "layout"), format="oci-dir")
        for end in ("", ":1", f"@{made.digest}"):
            image = build("FROM one\nCOPY --from=one /x /y\n", "-", build_context={"one": f"oci-layout://{tmp_path}/layout{end}"})  # fmt: skip
            assert said(image, "cat", "/x", "/y") == "layout\nlayout\n"
    finally:
        api.rm("nbc-layout:1", force=True)
        api.rm("layout:1", force=True)
