"""What tags say of themselves: kinds, what moves, and their order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcontainers.image import versions

KINDS = [
    ("latest", "latest", False, ""),
    ("latest-alpine", "latest", False, "alpine"),
    ("1", "major", False, ""),
    ("v1", "major", False, ""),
    ("1-alpine", "major", False, "alpine"),
    ("22.04", "minor", False, ""),
    ("1.21", "minor", False, ""),
    ("1.21-alpine", "minor", False, "alpine"),
    ("3.11-slim-bookworm", "minor", False, "slim-bookworm"),
    ("1.21.7", "fixed", True, ""),
    ("v1.21.7", "fixed", True, ""),
    ("release-1.21.7", "fixed", True, ""),
    ("1.21.7-alpine3.18", "fixed", True, "alpine3.18"),
    ("2.4.58-debian-12-r3", "fixed", True, "debian-12-r3"),
    ("1.2.3.4", "fixed", True, ""),
    ("1.2.3+build5", "fixed", True, "build5"),
    ("1.22.0-rc1", "pre-release", True, ""),
    ("1.22.0-rc.1", "pre-release", True, ""),
    ("1.22rc2", "pre-release", True, ""),
    ("3.13.0b2", "pre-release", True, ""),
    ("3.14.0a1-slim", "pre-release", True, "slim"),
    ("2.0-beta3", "pre-release", True, ""),
    ("1.22-rc", "pre-release", False, ""),
    ("1.22-rc-alpine", "pre-release", False, "alpine"),
    ("1.0.0-SNAPSHOT", "pre-release", False, ""),
    ("2-dev", "pre-release", False, ""),
    ("20240115", "dated", True, ""),
    ("2024-01-15", "dated", True, ""),
    ("2024.01.15", "dated", True, ""),
    ("20240115T101500Z", "dated", True, ""),
    ("bookworm-20240110", "dated", True, ""),
    ("jammy-2024-01-10", "dated", True, ""),
    ("nightly.20240110", "dated", True, ""),
    ("1.21-20240110", "dated", True, "20240110"),
    ("20249915", "fixed", True, ""),
    ("1234567", "fixed", True, ""),
    ("4f2a1b3", "hash", True, ""),
    ("da39a3ee5e6b4b0d3255bfef95601890afd80709", "hash", True, ""),
    ("sha-4f2a1b3", "hash", True, ""),
    ("main-4f2a1b3", "hash", True, ""),
    (f"sha256-{'a' * 64}.sig", "hash", True, ""),
    (f"sha256-{'0' * 64}", "hash", True, ""),
    ("stable", "channel", False, ""),
    ("mainline-alpine", "channel", False, ""),
    ("alpine3.18", "channel", False, ""),
    ("bookworm", "channel", False, ""),
    ("edge", "channel", False, ""),
    ("deadbeef", "channel", False, ""),
    ("8u292", "other", False, ""),
    ("_private", "other", False, ""),
]


@pytest.mark.parametrize(("name", "kind", "fixed", "variant"), KINDS, ids=lambda value: str(value))
def test_the_kind_of_a_tag(name: str, kind: str, fixed: bool, variant: str) -> None:
    tag = versions.read(name)
    assert (tag.kind, tag.fixed, tag.variant) == (kind, fixed, variant)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("latest", "with every release: never in production"),
        ("1", "with every release of 1"),
        ("1.21-alpine", "with every patch of 1.21"),
        ("1.21.7", "fixed by convention"),
        ("1.22-rc", "until 1.22 is released"),
        ("1.22-rc1", "fixed by convention"),
        ("stable", "whenever its owner moves it"),
    ],
)
def test_when_it_moves(name: str, words: str) -> None:
    assert versions.read(name).moves == words


ORDER = """
latest bookworm edge stable
2 2.0 2.0.10 2.0.9 2.0.9-alpine3.9 2.0.9-alpine3.18 2.0.9-slim 2.0.0 2.0.0-rc10 2.0.0-rc2 2.0.0-beta1 2.0.0-alpha1
1 1-alpine 1.21 1.21-rc 1.21.10 1.21.7 1.9 1.9.0
20240115 4f2a1b3 8u292
""".split()


def test_the_order_is_that_of_versions() -> None:
    shuffled = random.Random(1).sample(ORDER, len(ORDER))
    found = sorted(shuffled, key=lambda name: versions.read(name).key)
    assert found == ORDER


@given(st.lists(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)))
def test_any_tag_has_a_kind_and_a_place(names: list[str]) -> None:
    tags = [versions.read(name) for name in names]
    assert {tag.kind for tag in tags} <= set(versions.MOVES)
    assert all(tag.moves for tag in tags)
    assert len(sorted(tags, key=lambda tag: tag.key)) == len(names)
