"""A stage's files and what else is known of it, as far as it is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nbcontainers.dockerfile.state import State
from nbcontainers.image.kept import Kept
from nbcontainers.image.making import Below
from nbcontainers.oci import digest
from nbcontainers.oci.image import Descriptor, descriptor


class Blob(NamedTuple):
    """A layer as it lies in the store."""

    media_type: str
    digest: str
    size: int

    @property
    def descriptor(self) -> Descriptor:
        return descriptor(*self)


@dataclass(frozen=True)
class Files:
    """A stack of layers, bottom first, by DiffID and by blob, and what they lie on (`Image.base`)."""

    diff_ids: tuple[str, ...] = ()
    blobs: tuple[Blob, ...] = ()
    base: str = ""

    @property
    def below(self) -> Below:
        """As `image/making.py` wants them."""
        return {"diff_ids": list(self.diff_ids), "base": self.base}

    @property
    def digest(self) -> str:
        """Of all files, as far as layers say."""
        return digest.of("\n".join(filter(None, (self.base, *self.diff_ids))).encode())

    def plus(self, result: Kept) -> Files:
        if not result["diff_id"]:
            return self
        one = result["descriptor"]
        blob = Blob(one["mediaType"], one["digest"], one["size"])
        return Files((*self.diff_ids, result["diff_id"]), (*self.blobs, blob), self.base)


@dataclass(frozen=True)
class Result:
    """A stage, or the image it begins with, as far as it is: `key` stands for its files and how they came to be.

    `machine`: architecture, os and variant of the config; `base`: name and digest of the image it began with, which has
    `below` layers.
    """

    state: State
    files: Files
    key: str
    history: tuple[Mapping[str, Any], ...] = ()
    created: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)
    base: tuple[str, str] = ("", "")
    below: int = 0
