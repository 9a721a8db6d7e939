"""Platforms as image indexes name them (image-index.md): `os/architecture[/variant]`, and which ones will do.

Names and order are containerd's (platforms/database.go, compare.go): aarch64 is arm64, arm without a variant is v7,
arm64 without one is v8; a newer processor takes the images of older ones, the best first.
"""

from __future__ import annotations

import platform as machine
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nbcontainers.errors import InvalidArgument
from nbcontainers.oci.image import Descriptor, architecture

_NAMES = {
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "i386": ("386", ""), "i686": ("386", ""),
    "aarch64": ("arm64", ""), "armhf": ("arm", "v7"), "armel": ("arm", "v6"), "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"), "armv8l": ("arm", "v8"),
}  # fmt: skip
_PLAIN = {("amd64", "v1"): "", ("arm64", "v8"): "", ("arm64", "8"): "", ("arm", ""): "v7"}
_ARM = ("v8", "v7", "v6", "v5")


class Platform(NamedTuple):
    """In normal form: make it with `parse`, `of` or `host`."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, self))


def parse(text: str) -> Platform:
    """`linux/arm64`, `linux/arm/v6`; an architecture alone is Linux's. Raises InvalidArgument."""
    parts = text.split("/")
    if len(parts) == 1:
        parts = ["linux", *parts]
    if len(parts) > 3 or not all(part and part.replace("-", "").replace("_", "").isalnum() for part in parts):
        raise InvalidArgument(f"{text!r} is no platform", hint="write OS/ARCHITECTURE[/VARIANT], as linux/arm64")
    return _normal(*parts)


def of(value: Mapping[str, Any]) -> Platform:
    """That of an index's entry, or of an image config."""
    return _normal(*(str(value.get(key) or "") for key in ("os", "architecture", "variant")))


def host() -> Platform:
    """This machine's."""
    return _normal("linux", architecture(), _NAMES.get(machine.machine(), ("", ""))[1])


def _normal(os: str, name: str, variant: str = "") -> Platform:
    name, implied = _NAMES.get(name.lower(), (name.lower(), ""))
    variant = variant.lower() or implied
    if variant.isdigit():
        variant = f"v{variant}"
    return Platform(os.lower(), name, _PLAIN.get((name, variant), variant))


def accepted(wanted: Platform) -> list[Platform]:
    """What runs where `wanted` is asked for, the best first."""
    os, name, variant = wanted
    if name == "amd64":
        levels = [level for level in ("v4", "v3", "v2") if level <= variant]
        return [*(Platform(os, name, level) for level in levels), Platform(os, name), Platform(os, "386")]
    if name == "arm" and variant in _ARM:
        return [Platform(os, name, one) for one in _ARM[_ARM.index(variant) :]]
    if name == "arm64":
        exact = [wanted] if variant else []
        return [*exact, Platform(os, name), *(Platform(os, "arm", one) for one in _ARM)]
    return [wanted]


def rank(wanted: Platform, offered: Platform) -> int | None:
    """How well it will do, 0 is best; None if it will not."""
    order = accepted(wanted)
    return order.index(offered) if offered in order else None


def is_attestation(entry: Descriptor) -> bool:
    """Whether an index's entry describes another entry instead of being an image: BuildKit's attestation manifests."""
    kind = (entry.get("annotations") or {}).get("vnd.docker.reference.type")
    unknown = entry.get("platform") or {}
    return kind == "attestation-manifest" or (unknown.get("os") == "unknown" == unknown.get("architecture"))


def choose(entries: Sequence[Descriptor], wanted: Platform) -> list[Descriptor]:
    """The entries that will do, the best first, the first of equals first. One without a platform may be any."""
    ranked = []
    for entry in entries:
        place = rank(wanted, of(entry["platform"])) if entry.get("platform") else len(accepted(wanted))
        if place is not None and not is_attestation(entry):
            ranked.append((place, entry))
    return [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]
