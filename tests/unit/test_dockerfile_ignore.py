"""`.dockerignore` to the letter, the patterns of COPY, and walking a context."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcontainers.builder.selection import Root
from nbcontainers.dockerfile import ignore, pattern
from nbcontainers.errors import BuildError

SETTINGS = settings(deadline=None, max_examples=100, derandomize=True)


@pytest.mark.parametrize(
    "rules, outside, inside",
    [
        ("# c\n\n  \n", "", "a # c"), ("a", "a a/b a/b/c", "b b/a ab"), ("/a", "a a/b", "b/a"), ("a/", "a a/b", "b/a"), ("./a/../b//c", "b/c b/c/d", "a c"),
        (" a \t", "a", "b"), (" # c", "", "c"), ("*", "a a/b .x", ""), ("*.md", "x.md .md x.md/y", "d/x.md xmd"), ("*/*.md", "d/x.md", "x.md d/e/x.md"),
        ("a?", "ab a1", "a abc a/b"), ("[a-c]x", "ax bx cx", "dx x"), ("[^a]x", "bx", "ax"), ("[a\\-z]x", "ax zx -x", "bx"), (r"\*a", "*a", "ba"),
        ("**", "a a/b", ""), ("**/a", "a b/a b/c/a b/a/d", "ab b/ab"), ("**/*.pyc", "x.pyc d/x.pyc d/e/x.pyc", "x.py"), ("a/**", "a/b a/b/c", "a b"),
        ("a/**/b", "a/b a/c/b a/c/d/b a/b/x", "a b a/c"), ("**a", "a ba c/ba", "ab"), ("**/a/*b", "a/b c/a/xb", "a/c b"), ("a**b", "ab a/b acc/b", "acb"),
        ("a**", "a ab a/b abc/d", "b"), ("*a*b", "ab xaxb", "ba"), ("a.b", "a.b", "axb"), ("(a)|{b}$+", "(a)|{b}$+", "a b"), ("a^*", "a^b", "ab"),
        ("*.md\n!README.md", "x.md", "README.md"), ("*.md\n!README*.md\nREADME-secret.md", "x.md README-secret.md", "README.md README-x.md"),
        ("*.md\nREADME-secret.md\n!README*.md", "x.md", "README-secret.md README.md"), ("!a\na", "a", "b"), ("a\n!a", "", "a"),
        ("a\n!a/b", "a a/c", "a/b a/b/c"), ("a\n!a/b\na/b/c", "a/b/c a/b/c/d", "a/b a/b/d"), ("*\n!a", "b b/c", "a a/b"), ("**\n!**/*.go", "a a/b", "x.go a/x.go"),
        ("a/*\n!a/b", "a/c", "a a/b"), ("! a", "", "a"), ("a\n! a/b", "a", "a/b"), ("..", "", "a"), ("../a", "", "a"), ("/", "", "a"), ("é*", "éa", "e"),
        ("\ufeffa", "a", "b"), ("a\r\nb\r\n", "a b", "c"), ("a b", "a\u0020b", "c"), ("**/.git\n**/node_modules", ".git x/.git/y node_modules/z q/node_modules", "git"),
    ],
)  # fmt: skip
def test_rules(rules: str, outside: str, inside: str) -> None:
    found = ignore.parse(rules)
    for path in outside.split() if rules != "a b" else ["a b"]:
        assert found.ignored(path), path
    for path in inside.split():
        assert not found.ignored(path), path


@pytest.mark.parametrize("line, message", [("!", "takes nothing back"), ("a\n[", "character class"), ("[a-]", "character class"), ("[]a]", "character class"), ("a\\", "lone backslash"), ("[]", "character class")])  # fmt: skip
def test_bad_rules_name_their_line(line: str, message: str) -> None:
    with pytest.raises(BuildError) as caught:
        ignore.parse(line, "x.dockerignore")
    assert message in caught.value.message
    assert f"x.dockerignore:{line.count(chr(10)) + 1}: " in caught.value.message


@pytest.mark.parametrize(
    "text, matches, others",
    [
        ("a*", "a ab a.b", "ba a/b"), ("*/b", "a/b", "b a/c/b"), ("a?c", "abc a.c", "ac a/c"), ("arr[[]0].txt", "arr[0].txt", "arr0.txt"), (r"a\*", "a*", "ab"),
        ("[a-cx]", "a b x", "d"), ("[^a]", "b é", "a"), ("*a*b*c", "abc xaybzc aabbcc", "acb ab"), ("", "", "a"), ("*", "a é", "a/b"), ("[\\]]", "]", "a"), ("[z-a]", "", "a z"),
    ],
)  # fmt: skip
def test_patterns_of_copy(text: str, matches: str, others: str) -> None:
    match = pattern.compile(text)
    assert all(match(path) for path in matches.split())
    assert not any(match(path) for path in others.split())


@pytest.mark.parametrize("text, wild", [("a*", True), ("a?", True), ("[a]", True), (r"a\*", False), ("a", False), (r"\\*", True), ("a]", False)])  # fmt: skip
def test_what_is_a_pattern(text: str, wild: bool) -> None:
    assert pattern.is_wild(text) == wild


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    match = pattern.compile("*a" * 40 + "b")
    start = time.process_time()
    assert not match("a" * 4000)
    assert ignore.parse("*a" * 40 + "b").ignored("a" * 200) is False
    assert time.process_time() - start < 2


@SETTINGS
@given(st.text("ab/*?[]^\\-", max_size=8), st.text("ab/", min_size=1, max_size=8))
def test_patterns_are_bad_or_match(text: str, path: str) -> None:
    with contextlib.suppress(ValueError):
        pattern.compile(text)(path)
    with contextlib.suppress(BuildError):
        ignore.parse(f"x\n{text}").ignored(path)


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


def walked(root: Path, rules: str) -> list[str]:
    return list(Root(str(root), ignore.parse(rules)).below(""))


def test_walk_gives_what_is_left_in_order(tmp_path: Path) -> None:
    tree(tmp_path, "a/b/c", "a/d", "z", "m/n/o.md", "m/p")
    assert walked(tmp_path, "") == ["a", "a/b", "a/b/c", "a/d", "m", "m/n", "m/n/o.md", "m/p", "z"]
    assert walked(tmp_path, "a") == ["m", "m/n", "m/n/o.md", "m/p", "z"]
    assert walked(tmp_path, "**/*.md") == ["a", "a/b", "a/b/c", "a/d", "m", "m/n", "m/p", "z"]


def test_walk_brings_back_with_the_folders_above(tmp_path: Path) -> None:
    tree(tmp_path, "a/b/c", "a/b/d", "a/e", "f")
    assert walked(tmp_path, "*\n!a/b/c") == ["a", "a/b", "a/b/c"]
    assert walked(tmp_path, "a\n!a/b\na/b/d") == ["a", "a/b", "a/b/c", "f"]
    assert walked(tmp_path, "*\n!**/d") == ["a", "a/b", "a/b/d"]
    assert walked(tmp_path, "*\n!x") == []


def test_walk_does_not_enter_what_cannot_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "node_modules/x/y", "keep/z")
    entered: list[str] = []
    for name in ("scandir", "listdir"):
        real = getattr(os, name)
        seen = lambda path, real=real: (entered.append(os.path.basename(path)), real(path))[1]  # noqa: E731
        monkeypatch.setattr(os, name, seen)
    assert walked(tmp_path, "node_modules\n!keep/z") == ["keep", "keep/z"]
    assert "node_modules" not in entered


def test_walk_does_not_follow_links(tmp_path: Path) -> None:
    tree(tmp_path, "a/b")
    (tmp_path / "l").symlink_to("a")
    (tmp_path / "loop").symlink_to(".")
    assert walked(tmp_path, "") == ["a", "a/b", "l", "loop"]


@SETTINGS
@given(
    st.lists(
        st.sampled_from(["a", "!a/b", "a/b/c", "*", "!b", "**/c", "!**/c", "b/*", "!b/c", "?/?", "a/**"]), max_size=5
    )
)
def test_walking_agrees_with_asking_for_every_path(tmp_path_factory: pytest.TempPathFactory, rules: list[str]) -> None:
    root = tree(tmp_path_factory.mktemp("context"), "a/b/c", "a/c", "b/c", "b/d", "c")
    found = ignore.parse("\n".join(rules))
    files = {path for path in ("a/b/c", "a/c", "b/c", "b/d", "c") if not found.ignored(path)}
    seen = list(Root(str(root), found).below(""))
    assert files <= set(seen)
    assert {path for path in seen if (root / path).is_file()} == files
    assert len(seen) == len(set(seen))


def test_many_files_and_rules_take_little_time() -> None:
    found = ignore.parse(
        "\n".join(["**/*.pyc", "**/.git", "node_modules", "*.log", "!keep.log", "a/**/b", "docs/*.md"] * 3)
    )
    start = time.process_time()
    for folder in range(100):
        above = found.state(f"dir{folder}")
        for number in range(200):
            found.excludes(found.state(f"dir{folder}/file{number}.py", above))
    assert time.process_time() - start < 1


def test_which_file_counts(tmp_path: Path) -> None:
    assert ignore.of_dockerfile(str(tmp_path), str(tmp_path / "D")) == ""
    tree(tmp_path, ".dockerignore")
    assert ignore.of_dockerfile(str(tmp_path), str(tmp_path / "D")).endswith("/.dockerignore")
    tree(tmp_path, "D.dockerignore")
    assert ignore.of_dockerfile(str(tmp_path), str(tmp_path / "D")).endswith("/D.dockerignore")
