"""A blob while it comes in: from the start or, after a broken connection, from where it broke."""

from __future__ import annotations

import re
from typing import Any, Self

from nbcontainers.errors import RegistryError
from nbcontainers.oci.image import Descriptor
from nbcontainers.registry import failure
from nbcontainers.registry.endpoint import Endpoint
from nbcontainers.registry.transport import Answer

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_SKIPPED = 1 << 20


class Blob:
    """The bytes of a descriptor from `offset` on; never more than its size. Its digest is the reader's to check.

    `left` are the bytes still to come.
    """

    def __init__(self, endpoint: Endpoint, one: Descriptor, answer: Answer, left: int) -> None:
        self.endpoint = endpoint
        self.digest = one["digest"]
        self.left = left
        self._answer = answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; less only at the end, where it is 0. Raises RegistryError; with `retry`, go on by Range."""
        if not self.left:
            self._check_end()
            return 0
        view = memoryview(buffer)[: self.left]
        try:
            count = self._answer.readinto(view)
        except RegistryError:
            self.endpoint.avoided = True
            raise
        if not count and view:
            self.endpoint.avoided = True
            raise self._error(f"closed the connection with {self.left} bytes of {self.digest} to come", retry=True)
        self.left -= count
        return count

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all that is left by default."""
        buffer = bytearray(self.left if size < 0 else min(size, self.left))
        got = 0
        with memoryview(buffer) as view:
            while got < len(buffer):
                got += self.readinto(view[got:])
        if not buffer and size:
            self.readinto(bytearray(1))
        return bytes(buffer)

    def _check_end(self) -> None:
        """Nothing may come after the last byte; looked for only where the length was not told."""
        if not self._answer.response.isclosed() and self._answer.length is None and self._answer.readinto(bytearray(1)):
            raise self._error(f"sends more of {self.digest} than the size in its descriptor")

    def _error(self, what: str, *, retry: bool = False) -> RegistryError:
        hint = "try again" if retry else "the registry is damaged or lies: do not use this image"
        return RegistryError(f"{self.endpoint.source.host} {what}", hint=hint, retry=retry)

    def close(self) -> None:
        self._answer.close()


def open_blob(endpoint: Endpoint, one: Descriptor, offset: int = 0) -> Blob:
    """Ask for a blob from `offset` on; a registry that knows no Range is read over from the start."""
    digest, size = one["digest"], one["size"]
    path = f"{endpoint.source.path}/blobs/{digest}"
    doing = f"blob {digest[:19]}… of {endpoint.name}"
    headers = {"Range": f"bytes={offset}-{size - 1}"} if 0 < offset < size else {}
    answer = endpoint.ask("GET", path, doing, headers=headers, fine=(200, 206, 416) if headers else (200,))
    if answer.status == 416:
        answer.close()
        answer = endpoint.ask("GET", path, doing)
    try:
        return _checked(endpoint, one, answer, offset)
    except BaseException:
        answer.close()
        raise


def _checked(endpoint: Endpoint, one: Descriptor, answer: Answer, offset: int) -> Blob:
    size = one["size"]
    if answer.status == 206:
        return _checked_part(endpoint, one, answer, offset)
    blob = Blob(endpoint, one, answer, size)
    if failure.is_html(answer.media_type, b""):
        raise failure.not_a_registry(endpoint.source.host, "a web page", 200)
    if answer.length is not None and answer.length != size:
        raise blob._error(f"sends {answer.length} bytes for {blob.digest}, whose descriptor says {size}")
    scratch = bytearray(min(offset, _SKIPPED))
    while skip := offset - (size - blob.left):
        blob.readinto(memoryview(scratch)[:skip])
    return blob


def _checked_part(endpoint: Endpoint, one: Descriptor, answer: Answer, offset: int) -> Blob:
    """A 206 must be the part that was asked for; it may end earlier, and the rest is asked for again."""
    blob = Blob(endpoint, one, answer, one["size"] - offset)
    said = answer.headers.get("Content-Range") or ""
    match = _RANGE.fullmatch(said.strip())
    first, last = (int(match[1]), int(match[2])) if match else (-1, -1)
    if not match or first != offset or not offset <= last < one["size"] or match[3] not in ("*", str(one["size"])):
        raise blob._error(f"answers a request for bytes {offset}-{one['size'] - 1} with Content-Range {said[:80]!r}")
    if answer.length is not None and answer.length != last - first + 1:
        raise blob._error(f"sends {answer.length} bytes as Content-Range {said[:80]!r}")
    return blob
