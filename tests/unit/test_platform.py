"""Platforms: their names in normal form, and which entries of an index will do, the best first."""

from __future__ import annotations

from typing import Any

import pytest

from nbcontainers.errors import InvalidArgument
from nbcontainers.oci import platform as platforms
from nbcontainers.oci.image import Descriptor, architecture


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AMD64/v1", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("windows/amd64", "windows/amd64"),
        ("linux/ppc64le", "linux/ppc64le"),
    ],
)
def test_names_in_normal_form(text: str, normal: str) -> None:
    assert str(platforms.parse(text)) == normal


@pytest.mark.parametrize("text", ["", "linux/", "linux/amd64/v2/x", "linux/amd 64", "linux/../x"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is no platform"):
        platforms.parse(text)


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        ("linux/amd64", ["linux/amd64", "linux/386"]),
        ("linux/amd64/v3", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]),
        ("linux/arm/v7", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm/v5", ["linux/arm/v5"]),
        ("linux/arm64", ["linux/arm64", *(f"linux/arm/v{number}" for number in (8, 7, 6, 5))]),
        ("linux/riscv64", ["linux/riscv64"]),
    ],
)
def test_what_will_do(wanted: str, order: list[str]) -> None:
    assert [str(one) for one in platforms.accepted(platforms.parse(wanted))] == order


def entry(name: str, platform: str = "", **annotations: str) -> Descriptor:
    found: dict[str, Any] = {"digest": name, "annotations": annotations}
    if platform:
        os, machine, *variant = platform.split("/")
        found["platform"] = {"os": os, "architecture": machine} | ({"variant": variant[0]} if variant else {})
    return found  # type: ignore[return-value]


def chosen(wanted: str, *entries: Descriptor) -> list[str]:
    return [one["digest"] for one in platforms.choose(entries, platforms.parse(wanted))]


def test_the_best_comes_first_and_the_first_of_equals() -> None:
    offered = [entry("v6", "linux/arm/v6"), entry("v7", "linux/arm/v7"), entry("again", "linux/arm/v7"), entry("any")]
    assert chosen("linux/arm/v7", *offered) == ["v7", "again", "v6", "any"]
    assert chosen("linux/arm/v6", *offered) == ["v6", "any"]


def test_attestations_are_no_images() -> None:
    kind = {"vnd.docker.reference.type": "attestation-manifest"}
    offered = [entry("a", "unknown/unknown"), entry("b", "linux/amd64", **kind), entry("c", **kind)]
    assert chosen("linux/amd64", *offered) == []


def test_this_machine_is_known() -> None:
    assert platforms.host().architecture == architecture()
    assert platforms.rank(platforms.host(), platforms.host()) == 0
