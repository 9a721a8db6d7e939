"""-v, --mount and --tmpfs, and the volumes an image declares, as the `mounts` of the runtime-spec (config.md, Mounts).

Nothing is made here: what has to be made for them is in `container.mounting`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nbcontainers.container import parse
from nbcontainers.container.host import Host
from nbcontainers.container.options import RunOptions, bad, texts, values
from nbcontainers.errors import Error, ImageError, InvalidArgument, NotFound
from nbcontainers.option import size

PROPAGATION = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
#: Words of -v that change the mount itself.
_FLAGS = ("exec", "noexec", "suid", "nosuid", "dev", "nodev")
#: Words that ask for nothing here: SELinux labels where there is no SELinux, Docker Desktop's consistency.
_NEUTRAL = ("z", "Z", "rw", "cached", "delegated", "consistent", "rbind", "bind")
_TMPFS = ("nosuid", "noexec", "nodev")
_TMPFS_FLAGS = ("ro", "rw", *_FLAGS)
_KEYS = {
    "bind": ("bind-propagation", "bind-nonrecursive", "bind-recursive", "relabel", "consistency", "chown"),
    "volume": (
        "volume-nocopy",
        "volume-subpath",
        "volume-opt",
        "volume-label",
        "volume-driver",
        "consistency",
        "chown",
    ),
    "tmpfs": ("tmpfs-size", "tmpfs-mode"),
    "image": ("image-subpath",),
}
_SHORT = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "U": "chown",
          "subpath": "volume-subpath"}  # fmt: skip
_MANY = ("volume-opt", "volume-label")


class Mounted(NamedTuple):
    """One mount a user asked for: its `document` of the runtime-spec, and what has to be done for it."""

    document: dict[str, Any]
    volume: str = ""
    """The name of the volume; "" for a mount that is none."""
    anonymous: bool = False
    """Whether the volume goes with the container."""
    image: str = ""
    """The image whose files are mounted."""
    copy: bool = True
    """Whether an empty volume gets what the image has there."""
    chown: bool = False
    """Whether the container's user gets all of it."""
    subpath: str = ""
    """What of the volume or image is mounted."""
    made: str = ""
    """A folder of the host that is made if it is missing."""
    opt: Sequence[str] = ()
    label: Sequence[str] = ()
    """Of a volume that is made for this."""

    @property
    def target(self) -> str:
        return str(self.document["destination"])

    @property
    def kind(self) -> str:
        """`volume`, `image`, `tmpfs` or `bind`."""
        if self.volume or self.image:
            return "volume" if self.volume else "image"
        return str(self.document["type"])

    @property
    def record(self) -> dict[str, Any]:
        """What `container inspect` shows of it, and --volumes-from reads."""
        words = self.document["options"]
        propagation = next((word for word in words if word in PROPAGATION), "")
        return {
            "type": self.kind, "name": self.volume or self.image, "source": self.document["source"],
            "destination": self.target, "driver": "local" if self.volume else "", "rw": "ro" not in words,
            "propagation": propagation, "anonymous": self.anonymous, "subpath": self.subpath, "options": words,
        }  # fmt: skip


def asked(
    options: RunOptions, image_volumes: Iterable[str], volumes: str, id: str, host: Host, *,
    cwd: str | None = None, others: Sequence[Mounted] = (),
) -> list[Mounted]:  # fmt: skip
    """What the options and the image's `Volumes` ask for, parents before what is below them.

    `volumes` is the folder of the named volumes; `id` names the anonymous ones; `others` are those of --volumes-from,
    which give way. Raises InvalidArgument for words that mean nothing and NotFound for a host path that is not there:
    nothing is made for a typing error.
    """
    place = _Place(volumes, id, host, cwd)
    found = [*_volumes(options, place), *values(options, "mount", place.long), *_tmpfs(options)]
    targets = [mounted.target for mounted in found]
    for target in targets:
        if targets.count(target) > 1:
            raise InvalidArgument(f"two mounts on {target}", hint="give each mount a target of its own")
    found += {other.target: other for other in others if other.target not in targets}.values()
    _refuse_precious(found)
    targets = [mounted.target for mounted in found]
    found += [_of_image(place, path) for path in image_volumes if os.path.normpath(path) not in targets]
    return sorted(found, key=lambda mounted: mounted.target.count("/"))


def _refuse_precious(asked: Iterable[Mounted]) -> None:
    """:U on a folder of the host's own would take it from everybody else."""
    for source in [one.document["source"] for one in asked if one.chown and not one.volume]:
        from nbcontainers.volume.ownership import PRECIOUS

        if source in {*PRECIOUS, os.path.expanduser("~")}:
            raise InvalidArgument(
                f"{source} belongs to the host, and U would give all of it to the container's user",
                hint="leave U out, or mount a folder below it",
            )


def _volumes(options: RunOptions, place: _Place) -> list[Mounted]:
    """-v as a list of texts, or in Python a mapping: `{source: target}`, `{source: "target:ro"}`, or as docker-py has it
    `{source: {"bind": target, "mode": "ro"}}`. A source may be a path or a volume's handle."""
    given: Any = options.get("volume")
    if not isinstance(given, Mapping):
        return values(options, "volume", place.short)
    return [_parsed("volume", place.pair, source, where) for source, where in given.items()]


def as_texts(given: Any) -> list[str]:
    """What was given for -v, in whatever form, as one text a mount."""
    if not isinstance(given, Mapping):
        return texts("volume", given)
    found = []
    for source, where in given.items():
        name = os.path.join(".", source) if isinstance(source, os.PathLike) else str(source)
        found.append(
            f"{name}:{where['bind']}:{where.get('mode', 'rw')}" if isinstance(where, Mapping) else f"{name}:{where}"
        )
    return found


def _parsed(name: str, parse: Callable[..., Mounted], *given: Any) -> Mounted:
    try:
        return parse(*given)
    except ValueError as error:
        raise bad(name, str(error)) from None


def _of_image(place: _Place, path: str) -> Mounted:
    """A volume that the image asks for; what it may not have is the image's fault."""
    try:
        return place.anonymous(path)
    except ValueError as error:
        problem = str(error).partition("; ")[0]
        raise ImageError(f"the image asks for a volume on {path!r}: {problem}", hint="use another image") from None


class _Place:
    """Where sources are: the folder of volumes, the container's id, the folder relative paths start from."""

    def __init__(self, volumes: str, id: str, host: Host, cwd: str | None) -> None:
        self.volumes, self.id, self.host, self.cwd = volumes, id, host, cwd

    def short(self, text: str) -> Mounted:
        """`SOURCE:TARGET[:OPTIONS]`, or a TARGET alone for an anonymous volume."""
        parts = os.fspath(text).split(":")
        if len(parts) == 1:
            return self.anonymous(parts[0])
        if len(parts) > 3 or not parts[0]:
            raise ValueError(f"{text!r} is no volume; write /host/folder:/container/folder[:ro] or NAME:/folder")
        return self.between(parts[0], parts[1], parts[2].split(",") if len(parts) == 3 else [])

    def pair(self, source: Any, where: Any) -> Mounted:
        """An entry of a mapping."""
        if isinstance(where, Mapping):
            destination, words = where.get("bind", ""), where.get("mode", "rw")
        else:
            destination, _, words = str(where).partition(":")
        if isinstance(source, os.PathLike):
            source = os.path.join(".", os.fspath(source))
        return self.between(str(source), destination, words.split(",") if words else [])

    def between(self, source: str, destination: str, words: list[str]) -> Mounted:
        options, copy, chown = _volume_words(words)
        if _is_path(source):
            found = self._bind(source, target(destination), options, make=True)
        else:
            found = self._volume(source, target(destination), options)
        return found._replace(copy=copy, chown=chown)

    def long(self, text: str) -> Mounted:
        """`type=bind,source=/a,target=/b,readonly`."""
        given = _keys(text)
        kind = given.pop("type", ["volume"])[-1]
        if kind not in _KEYS:
            raise ValueError(f"type {kind!r} is unknown; write type=bind, type=volume, type=tmpfs or type=image")
        allowed = {"source", "target", "readonly", *_KEYS[kind]}
        if unknown := sorted(given.keys() - allowed):
            raise ValueError(f"{kind} has no key {unknown[0]!r}; write {', '.join(sorted(allowed))}")
        if "target" not in given:
            raise ValueError(f"{text!r} has no target; write target=/folder")
        last = {key: found[-1] for key, found in given.items()}
        destination, source = target(last["target"]), last.get("source", "")
        if kind == "tmpfs":
            if source:
                raise ValueError(f"a tmpfs has no source {source!r}; leave it out, or write type=volume")
            return Mounted(_tmpfs_document(destination, _tmpfs_words(last)))
        if kind == "image":
            return self._image(source, destination, last)
        words, chown = _bind_words(last), _true(last, "chown")
        if kind == "bind":
            if not source:
                raise ValueError("a bind mount needs a source; write source=/host/folder")
            return self._bind(source, destination, words, make=False)._replace(chown=chown)
        return self._long_volume(source, destination, words, given)._replace(chown=chown)

    def _long_volume(
        self, source: str, destination: str, words: list[str], given: Mapping[str, Sequence[str]]
    ) -> Mounted:
        last = {key: found[-1] for key, found in given.items()}
        if last.get("volume-driver", "local") != "local":
            raise ValueError(f"there is no volume driver {last['volume-driver']!r}; leave volume-driver out")
        found = self._volume(source, destination, words) if source else self.anonymous(destination, words)
        return found._replace(
            copy=not _true(last, "volume-nocopy"), subpath=_subpath(last.get("volume-subpath", "")),
            opt=given.get("volume-opt", ()), label=given.get("volume-label", ()),
        )  # fmt: skip

    def _image(self, source: str, destination: str, given: Mapping[str, str]) -> Mounted:
        if not source:
            raise ValueError("an image mount needs a source; write source=IMAGE")
        if "readonly" in given and not _true(given, "readonly"):
            raise ValueError("the files of an image are mounted read-only; leave readonly out")
        document = _bind_document("", destination, ["ro", "rro"])
        return Mounted(document, image=source, subpath=_subpath(given.get("image-subpath", "")))

    def anonymous(self, path: str, words: list[str] | None = None) -> Mounted:
        """A volume of this container's own, named after both: the same each time the container is made."""
        from hashlib import sha256

        destination = target(path)
        name = sha256(f"{self.id}\0{destination}".encode()).hexdigest()
        return self._volume(name, destination, words or [])._replace(anonymous=True)

    def _bind(self, source: str, destination: str, words: list[str], *, make: bool) -> Mounted:
        path = os.path.normpath(os.path.join(self.cwd or os.getcwd(), os.path.expanduser(source)))
        there = self.host.exists(path)
        if not there and not make:
            raise _missing(path, destination)
        return Mounted(_bind_document(path, destination, words), made="" if there else path)

    def _volume(self, name: str, destination: str, words: list[str]) -> Mounted:
        from nbcontainers.volume.store import check_name

        try:
            check_name(name)
        except InvalidArgument as error:
            raise ValueError(f"{error.message}; {error.hint}") from None
        return Mounted(_bind_document(f"{self.volumes}/{name}/_data", destination, words), name)


def _missing(path: str, destination: str) -> Error:
    name = os.path.basename(path) or "data"
    return NotFound(
        f"the mount source {path} does not exist on this host",
        hint=f"type mkdir -p {path} first, -v {path}:{destination} to have it made, or -v {name}:{destination} for a volume",
        path=path,
    )


def target(path: str) -> str:
    """A place to mount on: absolute, not the root, not in /proc."""
    normal = parse.path(path)
    if normal == "/":
        raise ValueError("the root file system is the image's; write a folder below / as target")
    if normal == "/proc" or normal.startswith("/proc/"):
        raise ValueError(f"{normal} belongs to the kernel; write a target outside /proc")
    return normal


def _subpath(path: str) -> str:
    if path and (path.startswith("/") or ".." in path.split("/") or "\0" in path):
        raise ValueError(
            f"the subpath {path!r} leads out; write a path below the volume's or image's root, as data/today"
        )
    return path


def _is_path(source: str) -> bool:
    return source.startswith(("/", "./", "../", "~/")) or source in (".", "..", "~")


def _volume_words(words: list[str]) -> tuple[list[str], bool, bool]:
    """The mount options that the words of -v mean, whether the image's files are copied, and whether :U was there."""
    found = []
    for word in words:
        if word in PROPAGATION or word in _FLAGS:
            found.append(word)
        elif word in ("ro", "readonly"):
            found += ["ro", "rro"]
        elif word not in (*_NEUTRAL, "U", "nocopy", "copy"):
            raise ValueError(
                f"{word!r} is no option of a volume; write ro, rw, U, nocopy, {', '.join(PROPAGATION + _FLAGS)}"
            )
    return found, "nocopy" not in words, "U" in words


def _bind_words(given: Mapping[str, str]) -> list[str]:
    words = ["ro", "rro"] if _true(given, "readonly") else []
    if propagation := given.get("bind-propagation"):
        if propagation not in PROPAGATION:
            raise ValueError(f"bind-propagation {propagation!r} is unknown; write one of {', '.join(PROPAGATION)}")
        words.append(propagation)
    if _true(given, "bind-nonrecursive"):
        words.append("bind")
    return _recursion(given["bind-recursive"], words) if "bind-recursive" in given else words


def _recursion(how: str, words: list[str]) -> list[str]:
    """Docker's bind-recursive: what happens to the mounts below the source."""
    if how not in ("enabled", "disabled", "writable", "readonly"):
        raise ValueError(f"bind-recursive={how} is unknown; write enabled, disabled, writable or readonly")
    if how == "disabled":
        return [*words, "bind"]
    if how == "writable":
        return [word for word in words if word != "rro"]
    if how == "readonly" and "ro" not in words:
        raise ValueError("bind-recursive=readonly needs readonly; write readonly,bind-recursive=readonly")
    return words


def _true(given: Mapping[str, str], key: str) -> bool:
    if given.get(key, "false") not in ("true", "false", "1", "0", ""):
        raise ValueError(f"{key}={given[key]} is neither true nor false; write {key} or {key}=false")
    return key in given and given[key] in ("true", "1", "")


def _bind_document(source: str, destination: str, words: list[str]) -> dict[str, Any]:
    kind = [] if "bind" in words else ["rbind"]
    propagation = [] if any(word in PROPAGATION for word in words) else ["rprivate"]
    return {"destination": destination, "type": "bind", "source": source, "options": [*kind, *propagation, *words]}


def _keys(text: str) -> dict[str, list[str]]:
    """The comma-separated keys of --mount under their long names, as CSV: "…" may hold a comma (RFC 4180)."""
    import csv

    found: dict[str, list[str]] = {}
    try:
        parts = next(csv.reader([os.fspath(text)], strict=True), [])
    except csv.Error as error:
        raise ValueError(f'{text!r} cannot be read: {error}; write KEY=VALUE,…, and "KEY=a,b" for a comma') from None
    for part in parts:
        key, _, value = part.partition("=")
        found.setdefault(_SHORT.get(key, key), []).append(value)
    if twice := [key for key, given in found.items() if len(given) > 1 and key not in _MANY]:
        raise ValueError(f"{twice[0]} is given twice; write it once")
    return found


def _tmpfs(options: RunOptions) -> list[Mounted]:
    given = options.get("tmpfs")
    if isinstance(given, Mapping):  # as docker-py has it
        given = [f"{path}:{words}" for path, words in given.items()]
    return [_parsed("tmpfs", _short_tmpfs, os.fspath(text)) for text in texts("tmpfs", given)]


def _short_tmpfs(text: str) -> Mounted:
    path, _, words = text.partition(":")
    return Mounted(_tmpfs_document(target(path), [word for word in words.split(",") if word]))


def _tmpfs_words(given: Mapping[str, str]) -> list[str]:
    words = ["ro"] if _true(given, "readonly") else []
    words += [f"size={size(given['tmpfs-size'])}"] if "tmpfs-size" in given else []
    return words + ([f"mode={given['tmpfs-mode']}"] if "tmpfs-mode" in given else [])


def _tmpfs_document(destination: str, words: list[str]) -> dict[str, Any]:
    """Docker's options of a tmpfs: nosuid, noexec, nodev (tmpfs(5)). Without a mode it has that of the image's folder, and
    where there is none everybody may write."""
    data: dict[str, str] = {}
    flags = [flag for flag in _TMPFS if flag.removeprefix("no") not in words]
    for word in words:
        key, equals, text = word.partition("=")
        if not equals and word in _TMPFS_FLAGS:
            flags += [word] * (word not in flags)
        elif key == "size" and equals:
            data["size"] = text if text.endswith("%") else str(parse.positive_size(text))
        elif key == "mode" and text and not set(text) - set("01234567"):
            data["mode"] = text
        elif key in ("uid", "gid", "nr_inodes") and text.isdecimal():
            data[key] = text
        else:
            raise ValueError(f"{word!r} is no option of a tmpfs; write size=64m, mode=755, uid=, gid=, ro, exec")
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs",
            "options": [*flags, *(f"{key}={text}" for key, text in data.items())]}  # fmt: skip
