"""What a stage's config becomes, and the digests that its results are kept under."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.builder.context import Context
from nbcontainers.builder.selection import Root, select
from nbcontainers.dockerfile import content, dockerfile, ignore, key, state, variables
from nbcontainers.dockerfile import instructions as i


def walk(text: str, config: dict[str, Any] | None = None, **build_args: str) -> tuple[state.State, list[str]]:
    """The state at the end of one stage, and the key after each step."""
    file = dockerfile.read(f"FROM a\n{text}")
    now = state.begin(
        variables.Scope(variables.Globals({}), build_args, escape=file.escape), {} if config is None else config
    )
    keys = [key.of_base("a")]
    for one in file.stages[0].instructions:
        done, _ = variables.of_instruction(one, now.scope, file.source)
        keys.append(key.of_step(keys[-1], done, now))
        now = now.after(done)
    return now, keys


@pytest.mark.parametrize(
    "text, expected",
    [
        ("ENV a=1 b=2\nENV a=3", {"Env": ["a=3", "b=2"]}), ("LABEL a=1 b=2\nLABEL a=3", {"Labels": {"a": "3", "b": "2"}}),
        ("CMD a b", {"Cmd": ["/bin/sh", "-c", "a b"]}), ('CMD ["a"]', {"Cmd": ["a"]}), ("CMD []", {"Cmd": []}),
        ('SHELL ["x", "-y"]\nCMD a', {"Shell": ["x", "-y"], "Cmd": ["x", "-y", "a"]}), ('ENTRYPOINT ["a"]\nCMD ["b"]', {"Entrypoint": ["a"], "Cmd": ["b"]}),
        ('CMD ["b"]\nENTRYPOINT ["a"]', {"Entrypoint": ["a"], "Cmd": ["b"]}), ("ENTRYPOINT []", {"Entrypoint": None}),
        ("WORKDIR /a\nWORKDIR b/../c/\nWORKDIR ./d", {"WorkingDir": "/a/c/d"}), ("WORKDIR /", {"WorkingDir": "/"}), ("USER a:b", {"User": "a:b"}),
        ("EXPOSE 80 53/UDP\nEXPOSE 80-81", {"ExposedPorts": {"53/udp": {}, "80/tcp": {}, "81/tcp": {}}}), ("VOLUME /a /b", {"Volumes": {"/a": {}, "/b": {}}}),
        ("STOPSIGNAL 9", {"StopSignal": "9"}), ("ONBUILD RUN a\nONBUILD RUN b", {"OnBuild": ["RUN a", "RUN b"]}), ("HEALTHCHECK NONE", {"Healthcheck": {"Test": ["NONE"]}}),
        ("RUN a\nCOPY b c\nARG d=e", {}),
    ],
)  # fmt: skip
def test_config(text: str, expected: dict[str, Any]) -> None:
    assert walk(text)[0].config == expected


def test_a_base_hands_its_config_on_but_for_triggers() -> None:
    base = {"Env": ["a=1"], "Cmd": ["x"], "Entrypoint": ["y"], "OnBuild": ["RUN z"], "WorkingDir": "/w"}
    now, _ = walk("ENV b=$a\nWORKDIR v", base)
    assert now.config == {"Env": ["a=1", "b=1"], "Cmd": ["x"], "Entrypoint": ["y"], "WorkingDir": "/w/v"}
    assert walk('ENTRYPOINT ["n"]', base)[0].config["Entrypoint"] == ["n"]
    assert "Cmd" not in walk('ENTRYPOINT ["n"]', base)[0].config
    assert base["OnBuild"] == ["RUN z"]


def test_scratch_begins_with_a_path() -> None:
    begun = state.begin(variables.Scope(variables.Globals({})), None)
    assert begun.config == {"Env": [f"PATH={state.PATH}"], "WorkingDir": "/"}
    assert begun.scope.variables == {"PATH": state.PATH}


def test_author() -> None:
    assert walk("MAINTAINER me")[0].author == "me"


@pytest.mark.parametrize(
    "text, path",
    [
        ("a", "/w/a"),
        ("/a", "/a"),
        ("a/", "/w/a/"),
        (".", "/w/"),
        ("./", "/w/"),
        ("..", "/"),
        ("/", "/"),
        ("../x/.", "/x/"),
        ("//a//b", "/a/b"),
    ],
)
def test_paths(text: str, path: str) -> None:
    assert walk("WORKDIR /w")[0].path(text) == path


def same(one: str, another: str, **build_args: str) -> bool:
    return walk(one)[1][-1] == walk(another, **build_args)[1][-1]


@pytest.mark.parametrize(
    "one, other",
    [
        ("RUN a  \\\n b", "run a   b"), ("# c\nENV a=b", "ENV a='b'"), ("ENV a b", "ENV a=b"), ("ENV v=x\nCOPY $v /y", "ENV v=x\nCOPY x /y"),
        ("WORKDIR /w\nCOPY a b", "WORKDIR /w\nCOPY a b"), ("ARG unused=1\nCOPY a b", "ARG unused=1\nCOPY a b"), ("CMD [\"a\"]", 'CMD [ "a" ]'),
    ],
)  # fmt: skip
def test_writing_does_not_count(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    "one, other",
    [
        ("RUN a", "RUN b"), ("RUN a", 'RUN ["a"]'), ("ENV x=1\nRUN a", "ENV x=2\nRUN a"), ("USER 1\nRUN a", "USER 2\nRUN a"), ("COPY a b", "COPY --chmod=600 a b"),
        ("RUN a", "RUN --network=none a"), ("RUN a", "RUN --mount=type=tmpfs,target=/t a"), ("RUN <<E\na\nE", "RUN <<E\nb\nE"), ("RUN a", "RUN a\nRUN a"),
        ("COPY <<E /x\na\nE", "COPY <<E /x\nb\nE"), ("COPY a b", "ADD a b"), ("ARG x=1\nRUN a", "ARG x=2\nRUN a"),
    ],
)  # fmt: skip
def test_meaning_counts(one: str, other: str) -> None:
    assert not same(one, other)


def test_what_arguments_do_to_keys() -> None:
    assert not same("ARG x=1\nRUN a", "ARG x=1\nRUN a", x="2")
    assert same("RUN a", "RUN a", HTTP_PROXY="http://p")
    assert not same("ARG HTTP_PROXY\nRUN a", "ARG HTTP_PROXY\nRUN a", HTTP_PROXY="http://p")
    assert same("ARG x=1\nENV x=h\nRUN a", "ARG x=1\nENV x=h\nRUN a", other="2")


def test_a_link_depends_on_nothing_before() -> None:
    assert walk("RUN a\nCOPY --link x /y")[1][-1] == walk("RUN b\nCOPY --link x /y")[1][-1]
    assert walk("RUN a\nCOPY x /y")[1][-1] != walk("RUN b\nCOPY x /y")[1][-1]


def test_inputs_count() -> None:
    now, _ = walk("RUN a")
    one = dockerfile.read("FROM a\nCOPY x y").stages[0].instructions[0]
    assert isinstance(one, i.Copy)
    assert key.of_step("k", one, now, {"x": "sha256:1"}) != key.of_step("k", one, now, {"x": "sha256:2"})


def tree(root: Path) -> Path:
    (root / "d").mkdir(parents=True)
    (root / "a").write_text("alpha")
    (root / "d/b").write_text("beta")
    (root / "l").symlink_to("a")
    (root / "e").mkdir()
    return root


def digest(root: Path, rules: str = "") -> str:
    found = Context("context", str(root), ignore.parse(rules))
    return found.digest(select(found.root(), "/"))


def test_content_is_names_modes_links_and_bytes(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "1"), tree(tmp_path / "2")
    os.utime(two / "a", (1, 1))
    assert digest(one) == digest(two)
    for change in (
        lambda: (two / "a").write_text("alphA"), lambda: (two / "d/b").chmod(0o600), lambda: (two / "e").chmod(0o700),
        lambda: (two / "new").write_text(""), lambda: ((two / "l").unlink(), (two / "l").symlink_to("d/b")), lambda: (two / "e").rmdir(),
    ):  # fmt: skip
        before = digest(two)
        change()
        assert digest(two) != before


def test_ignored_files_do_not_count(tmp_path: Path) -> None:
    root = tree(tmp_path / "1")
    before = digest(root, "a")
    (root / "a").write_text("other")
    assert digest(root, "a") == before
    assert digest(root) != before


def test_a_file_that_was_not_touched_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "1")
    time.sleep(0.03)  # what was written just now may be written again unseen
    before = digest(root)
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("read again"))
    assert digest(root) == before


def test_two_changes_at_once_are_both_seen(tmp_path: Path) -> None:
    file, known = tmp_path / "f", dict[content.Stamp, str]()
    for number in range(10, 60):
        file.write_text(str(number))
        digest = content.remembered(file.stat(), known, lambda: content.of_bytes(str(file)))
        assert digest == hashlib.sha256(b"%d" % number).hexdigest()


def test_a_socket_is_there(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s"))
        assert list(Root(str(tmp_path)).below("")) == ["s"]
