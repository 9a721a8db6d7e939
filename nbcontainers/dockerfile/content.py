"""Digests of files by what they are: names, kinds, modes, link targets and bytes. Never times, owners or numbers of links.

A file that has not been touched since (device, inode, size, mtime, ctime) need not be read again: see `remembered`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import NamedTuple

_TICK_NS = 20_000_000
"""The kernel's clock for files stands still so long (10 ms at the most): two changes in it leave the same stamp."""


class Stamp(NamedTuple):
    """What changes when a file is written."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


def remembered(facts: os.stat_result, known: MutableMapping[Stamp, str], read: Callable[[], str]) -> str:
    """What `read` says of a file with these facts; it is not asked again while nobody touches the file."""
    stamp = Stamp(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    if (before := known.get(stamp)) is not None:
        return before
    is_settled = time.time_ns() - facts.st_ctime_ns > _TICK_NS
    found = read()
    if is_settled:
        known[stamp] = found
    return found


def of_file(path: str, facts: os.stat_result) -> str:
    """The digest of one file without its name: kind and mode, and bytes, link target or device number."""
    head = f"{stat.S_IFMT(facts.st_mode):o} {stat.S_IMODE(facts.st_mode):o}\0"
    if stat.S_ISREG(facts.st_mode):
        return _hash(head, of_bytes(path))
    if stat.S_ISLNK(facts.st_mode):
        return _hash("link\0", os.readlink(path))
    return _hash(head, str(facts.st_rdev) if not stat.S_ISDIR(facts.st_mode) else "")


def of_bytes(path: str) -> str:
    """sha256 of a regular file's bytes, in hexadecimal."""
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_tree(files: Iterable[tuple[str, str]]) -> str:
    """The digest of files, each a path and the digest of what it is; the order they come in does not count."""
    total = hashlib.sha256()
    for path, digest in sorted(files):
        total.update(f"{path}\0{digest}\n".encode("utf-8", "surrogateescape"))
    return f"sha256:{total.hexdigest()}"


def _hash(head: str, rest: str) -> str:
    return hashlib.sha256((head + rest).encode("utf-8", "surrogateescape")).hexdigest()
