"""Through indexes, one in another, to the manifests for a platform: one walk for registries, layouts and archives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from nbcontainers.errors import ImageError, NotFound
from nbcontainers.oci import platform as platforms
from nbcontainers.oci.image import INDEXES, Descriptor, read_document, read_index
from nbcontainers.oci.platform import Platform

NESTED = 3
"""Indexes one in another that are followed; nobody makes more than two."""


class Choice:
    """The manifests for `wanted`. `read` gives the checked content behind an index's entry.

    `offered` is whose images there are in what was read. What was seen once is not read again: many indexes may list the same ones, which list the same ones.
    """

    def __init__(self, read: Callable[[Descriptor], bytes], wanted: Platform, what: str) -> None:
        self._read, self._wanted, self._what = read, wanted, what
        self.seen: set[str] = set()
        self.offered: list[Platform] = []

    def manifests(self, content: bytes, depth: int = 1) -> Iterator[Descriptor]:
        """Entries of the index `content`, and of those in it, the best first; an index that is not there is passed over."""
        if depth > NESTED:
            message = f"{self._what} has more than {NESTED} indexes one in another"
            raise ImageError(message, hint="ask its maker for another form")
        listed = entries(content, self._what)
        self.offered += offered(listed)
        for entry in platforms.choose(listed, self._wanted):
            if entry["digest"] in self.seen:
                continue
            self.seen.add(entry["digest"])
            if entry.get("mediaType") not in INDEXES:
                yield entry
                continue
            try:
                inner = self._read(entry)
            except NotFound:
                continue
            yield from self.manifests(inner, depth + 1)


def offered(listed: Sequence[Descriptor]) -> list[Platform]:
    """Whose images an index says it has."""
    return [
        platforms.of(entry["platform"]) for entry in listed
        if entry.get("platform") and not platforms.is_attestation(entry)
    ]  # fmt: skip


def entries(content: bytes, what: str) -> list[Descriptor]:
    """Those of an index. ImageError for what is none."""
    return read_index(read_document(content, f"the index of {what}"), f"the index of {what}")
