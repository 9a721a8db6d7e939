"""Who a container runs as: `USER[:GROUP]` looked up in the image's own passwd(5) and group(5).

No NSS and nothing of the image is executed: both files are read in the unpacked layers as the merged tree shows them,
links followed inside, regular files of bounded size only (CVE-2024-9676, CVE-2026-47262). All digits are always an id,
never a name (CVE-2016-3697).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from nbcontainers.container import defaults
from nbcontainers.errors import Error, ImageError, InvalidArgument, NotFound
from nbcontainers.layer import lower
from nbcontainers.linux import inroot

LARGEST_FILE = 4 * 2**20
LARGEST_ID = 2**32 - 2
"""(uid_t) -1 means "leave as it is": setresuid(2)."""
_ORDINARY = "use an image with an ordinary one"
_MOST_GROUPS = 65536  # NGROUPS_MAX, getgroups(2)


class Identity(NamedTuple):
    """uid, gid and supplementary groups of a process, and what passwd(5) says of it."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"
    name: str = ""

    @property
    def user(self) -> dict[str, Any]:
        """`process.user` of config.md. Its own group is also among the additional ones, or a set-group-id program would take it
        away, and with it what is forbidden to that group (CVE-2022-36109). Root is forbidden nothing."""
        groups = [self.gid, *self.groups] if self.uid or self.gid else list(self.groups)
        return {"uid": self.uid, "gid": self.gid, "umask": defaults.UMASK} | (
            {"additionalGids": groups} if groups else {}
        )


class _User(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


_known: dict[tuple[object, ...], Identity] = {}


def resolve(text: str, layers: Sequence[str], extra: Sequence[str] = (), image: str = "the image") -> Identity:
    """The identity `text` names, with the groups `extra` added; `layers` are unpacked layers, the top one first.

    As the image-spec has it (config.md, User): a group given takes the place of all the groups the image gives the
    user. Raises InvalidArgument for bad text, NotFound for a name the image does not have, ImageError for a damaged
    or hostile file.
    """
    key = (text, *layers, *extra, *_stamp(layers))
    if (found := _known.get(key)) is None:
        found = _known[key] = look_up(text, layers, extra, image)
    return found


def _stamp(layers: Sequence[str]) -> list[int]:
    """Layers never change, but the host's own root does."""
    if "/" not in layers:
        return []
    found = []
    for path in ("/etc/passwd", "/etc/group"):
        try:
            status = os.stat(path)
        except OSError:
            continue
        found += [status.st_mtime_ns, status.st_ino]
    return found


def look_up(text: str, layers: Sequence[str], extra: Sequence[str] = (), image: str = "the image") -> Identity:
    """As `resolve`, of layers that may change."""
    name, colon, group = (text or "0").partition(":")
    if not name or (colon and not group) or any(ord(c) <= 32 for c in text):
        raise InvalidArgument(
            f"--user: {text!r} is no user", hint="write NAME, UID, NAME:GROUP or UID:GID", option="user"
        )
    users = list(_users(layers))
    found = _user(name, users, image)
    groups = list(_groups(layers)) if colon or found.name or extra else []
    if colon:
        gid, more = _gid(group, groups, image), []
    else:
        gid, more = found.gid, [g.gid for g in groups if found.name and found.name in g.members]
    more += [_gid(name, groups, image) for name in extra]
    unique = tuple(dict.fromkeys(g for g in more if g != gid))[:_MOST_GROUPS]
    return Identity(found.uid, gid, unique, found.home, found.name)


def names(layers: Sequence[str]) -> dict[int, str]:
    """The image's names of uids; the first of several counts. Raises ImageError."""
    found: dict[int, str] = {}
    for user in _users(layers):
        found.setdefault(user.uid, user.name)
    return found


def _user(name: str, users: list[_User], image: str) -> _User:
    number = _number(name, "user")
    if number is not None:
        return next((user for user in users if user.uid == number), _User("", number, 0, "/"))
    for user in users:
        if user.name == name:
            return user
    raise _unknown("user", name, [user.name for user in users], image)


def _gid(name: str, groups: list[_Group], image: str) -> int:
    number = _number(name, "group")
    if number is not None:
        return number
    for group in groups:
        if group.name == name:
            return group.gid
    raise _unknown("group", name, [group.name for group in groups], image)


def _number(text: str, kind: str) -> int | None:
    """The id that all digits mean; None for a name."""
    if not (text.isascii() and text.isdecimal()):
        return None
    if len(text) > 10 or int(text) > LARGEST_ID:
        raise InvalidArgument(
            f"--user: {text} is above the largest {kind} id", hint=f"write 0 to {LARGEST_ID}", option="user"
        )
    return int(text)


def _unknown(kind: str, name: str, names: list[str], image: str) -> Error:
    has = f"it has {', '.join(names[:12])}{', …' if len(names) > 12 else ''}; " if names else ""
    return NotFound(f"{image} has no {kind} {name!r}", hint=f"{has}any number works too, as 1000", option="user")


def _users(layers: Sequence[str]) -> Iterator[_User]:
    """The well-formed lines of /etc/passwd."""
    for fields in _lines(layers, "passwd", 7):
        uid, gid = _id(fields[2]), _id(fields[3])
        if uid is not None and gid is not None and fields[0]:
            home = fields[5] if fields[5].startswith("/") and fields[5].isprintable() else "/"
            yield _User(fields[0], uid, gid, home)


def _groups(layers: Sequence[str]) -> Iterator[_Group]:
    for fields in _lines(layers, "group", 4):
        gid = _id(fields[2])
        if gid is not None and fields[0]:
            yield _Group(fields[0], gid, tuple(fields[3].split(",")))


def _id(text: str) -> int | None:
    good = text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= LARGEST_ID
    return int(text) if good else None


def _lines(layers: Sequence[str], name: str, count: int) -> Iterator[list[str]]:
    for line in read(layers, f"etc/{name}").split(b"\n"):
        fields = line.decode("utf-8", "surrogateescape").split(":")
        if len(fields) == count:
            yield fields


def read(layers: Sequence[str], path: str) -> bytes:
    """A small file as the stacked layers show it; b"" where there is none. Raises ImageError for anything else."""
    opened = [os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for layer in layers]
    try:
        if place := lower.follow(opened, path):
            return _read_regular(place, path)
        if lower.find(opened, path.encode()):
            raise ImageError(f"/{path} of the image is a link that leads nowhere", hint=_ORDINARY, path=path)
        return b""
    finally:
        for layer in opened:
            os.close(layer)


def _read_regular(place: lower.Found, path: str) -> bytes:
    """What is there is looked at before it is opened. The topmost layer may be a running container's, which can put
    a link in its place meanwhile: that is not followed."""
    try:
        found = inroot.openat2(
            place.layer, os.fsdecode(place.path), os.O_PATH, inroot.RESOLVE_IN_ROOT | inroot.RESOLVE_NO_SYMLINKS
        )
    except OSError as error:
        raise ImageError(
            f"/{path} of the image cannot be opened: {error.strerror}", hint=_ORDINARY, path=path
        ) from None
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"/{path} of the image is no regular file", hint=_ORDINARY, path=path)
        if status.st_size > LARGEST_FILE:
            size = f"{status.st_size} bytes; at most {LARGEST_FILE} are read"
            raise ImageError(f"/{path} of the image has {size}", hint=_ORDINARY, path=path)
        file = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(found)
    with os.fdopen(file, "rb") as content:
        return content.read(LARGEST_FILE)
