"""Digests as the image-spec writes them (descriptor.md, Digests): `algorithm:hex`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Protocol

_FORM = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")


class Hash(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


def is_digest(text: object) -> bool:
    return isinstance(text, str) and _FORM.fullmatch(text) is not None


def split(digest: str) -> tuple[str, str]:
    """(algorithm, hex). Raises ValueError for anything but a sha256 or sha512 digest in lower case."""
    if not is_digest(digest):
        raise ValueError(f"{digest!r} is no digest; one looks like sha256: and 64 hexadecimal digits")
    algorithm, _, value = digest.partition(":")
    return algorithm, value


def of(content: bytes, like: str = "") -> str:
    """The digest of `content`: sha256, or the algorithm of the digest `like`."""
    hashed = hashlib.new(like.partition(":")[0] or "sha256", content)
    return f"{hashed.name}:{hashed.hexdigest()}"


def hasher(like: str = "") -> Hash:
    """A new hash: sha256, or of the algorithm of the digest `like`."""
    make: Callable[[], Hash] = hashlib.sha512 if like and split(like)[0] == "sha512" else hashlib.sha256
    return make()
