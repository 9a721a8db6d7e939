"""-v, --mount and --tmpfs, and the volumes an image declares, as the `mounts` of the runtime-spec (config.md, Mounts)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nbcontainers.container import parse
from nbcontainers.container.host import Host
from nbcontainers.container.options import RunOptions, bad, texts, values
from nbcontainers.errors import Error, ImageError, InvalidArgument, NotFound
from nbcontainers.option import size

_PROPAGATION = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
#: Words of -v that change the mount itself.
_FLAGS = ("exec", "noexec", "suid", "nosuid", "dev", "nodev")
#: Words that ask for nothing here: SELinux labels where there is no SELinux, Docker Desktop's consistency, copy-up.
_NEUTRAL = ("z", "Z", "rw", "nocopy", "cached", "delegated", "consistent", "rbind", "bind")
_TMPFS = ("nosuid", "noexec", "nodev")
_TMPFS_FLAGS = ("ro", "rw", *_FLAGS)
_KEYS = {
    "bind": ("bind-propagation", "bind-nonrecursive", "relabel", "consistency"),
    "volume": ("volume-nocopy", "consistency"),
    "tmpfs": ("tmpfs-size", "tmpfs-mode"),
}
_SHORT = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}


class Mounted(NamedTuple):
    """One mount a user asked for. `volume` is its name: "" for a mount that is none; `anonymous` ones go with --rm."""

    document: dict[str, Any]
    volume: str = ""
    anonymous: bool = False

    @property
    def target(self) -> str:
        return str(self.document["destination"])


def asked(
    options: RunOptions, image_volumes: Iterable[str], volumes: str, id: str, host: Host, *, cwd: str | None = None
) -> list[Mounted]:
    """What the options and the image's `Volumes` ask for, parents before what is below them.

    `volumes` is the folder of the named volumes; `id` names the anonymous ones. Raises InvalidArgument for words that
    mean nothing and NotFound for a host path that is not there: nothing is made for a typing error.
    """
    place = _Place(volumes, id, host, cwd)
    found = [
        *values(options, "volume", place.short),
        *values(options, "mount", place.long),
        *_tmpfs(options),
    ]
    targets = [mounted.target for mounted in found]
    for target in targets:
        if targets.count(target) > 1:
            raise InvalidArgument(f"two mounts on {target}", hint="give each mount a target of its own")
    found += [_of_image(place, path) for path in image_volumes if os.path.normpath(path) not in targets]
    return sorted(found, key=lambda mounted: mounted.target.count("/"))


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
        parts = text.split(":")
        if len(parts) == 1:
            return self.anonymous(text)
        if len(parts) > 3 or not parts[0]:
            raise ValueError(f"{text!r} is no volume; write /host/folder:/container/folder[:ro] or NAME:/folder")
        source, destination = parts[0], target(parts[1])
        words = parts[2].split(",") if len(parts) == 3 else []
        return self._bind(source, destination, _volume_words(words)) if _is_path(source) else self._volume(
            source, destination, _volume_words(words))  # fmt: skip

    def long(self, text: str) -> Mounted:
        """`type=bind,source=/a,target=/b,readonly`."""
        given = _keys(text)
        kind = given.pop("type", "volume")
        if kind not in _KEYS:
            raise ValueError(f"type {kind!r} is unknown; write type=bind, type=volume or type=tmpfs")
        allowed = {"source", "target", "readonly", *_KEYS[kind]}
        if unknown := sorted(given.keys() - allowed):
            raise ValueError(f"{kind} has no key {unknown[0]!r}; write {', '.join(sorted(allowed))}")
        if "target" not in given:
            raise ValueError(f"{text!r} has no target; write target=/folder")
        destination, source = target(given["target"]), given.get("source", "")
        if kind == "tmpfs":
            return Mounted(_tmpfs_document(destination, _tmpfs_words(given)))
        words = _bind_words(given)
        if kind == "bind":
            if not source:
                raise ValueError("a bind mount needs a source; write source=/host/folder")
            return self._bind(source, destination, words)
        return self._volume(source, destination, words) if source else self.anonymous(destination, words)

    def anonymous(self, path: str, words: list[str] | None = None) -> Mounted:
        """A volume of this container's own, named after both: the same each time the container is made."""
        from hashlib import sha256

        destination = target(path)
        name = sha256(f"{self.id}\0{destination}".encode()).hexdigest()
        return self._volume(name, destination, words or [])._replace(anonymous=True)

    def _bind(self, source: str, destination: str, words: list[str]) -> Mounted:
        path = os.path.normpath(os.path.join(self.cwd or os.getcwd(), os.path.expanduser(source)))
        if not self.host.exists(path):
            raise _missing(path, destination)
        return Mounted(_bind_document(path, destination, words))

    def _volume(self, name: str, destination: str, words: list[str]) -> Mounted:
        path = f"{self.volumes}/{volume_name(name)}/_data"
        return Mounted(_bind_document(path, destination, words), name)


def _missing(path: str, destination: str) -> Error:
    name = os.path.basename(path) or "data"
    return NotFound(
        f"the volume source {path} does not exist on this host",
        hint=f"type mkdir -p {path} first, or -v {name}:{destination} for a volume made on demand",
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


def volume_name(name: str) -> str:
    """Docker's grammar: [a-zA-Z0-9][a-zA-Z0-9_.-]*, which is never a path."""
    if not (name[:1].isalnum() and name.isascii() and all(c.isalnum() or c in "_.-" for c in name) and len(name) < 256):
        raise ValueError(
            f"{name!r} is no volume name: letters, digits, '_', '.' and '-'; write ./{name.lstrip('./')} for a folder of the host"
        )
    return name


def _is_path(source: str) -> bool:
    return source.startswith(("/", "./", "../", "~/")) or source in (".", "..", "~")


def _volume_words(words: list[str]) -> list[str]:
    """The mount options that the words of -v mean."""
    found = []
    for word in words:
        if word == "U":
            raise ValueError("U (change the owner of the source) is not supported; chown the folder on the host first")
        if word in _PROPAGATION or word in _FLAGS:
            found.append(word)
        elif word == "ro":
            found += ["ro", "rro"]
        elif word not in _NEUTRAL:
            raise ValueError(f"{word!r} is no option of a volume; write ro, rw, {', '.join(_PROPAGATION + _FLAGS)}")
    return found


def _bind_words(given: dict[str, str]) -> list[str]:
    words = ["ro", "rro"] if _true(given, "readonly") else []
    if propagation := given.get("bind-propagation"):
        if propagation not in _PROPAGATION:
            raise ValueError(f"bind-propagation {propagation!r} is unknown; write one of {', '.join(_PROPAGATION)}")
        words.append(propagation)
    return [*words, "bind"] if _true(given, "bind-nonrecursive") else words


def _true(given: dict[str, str], key: str) -> bool:
    if given.get(key, "false") not in ("true", "false", "1", "0", ""):
        raise ValueError(f"{key}={given[key]} is neither true nor false; write {key} or {key}=false")
    return key in given and given[key] in ("true", "1", "")


def _bind_document(source: str, destination: str, words: list[str]) -> dict[str, Any]:
    kind = [] if "bind" in words else ["rbind"]
    propagation = [] if any(word in _PROPAGATION for word in words) else ["rprivate"]
    return {"destination": destination, "type": "bind", "source": source, "options": [*kind, *propagation, *words]}


def _keys(text: str) -> dict[str, str]:
    """The comma-separated keys of --mount under their long names."""
    found = {}
    for part in text.split(","):
        key, _, value = part.partition("=")
        found[_SHORT.get(key, key)] = value
    return found


def _tmpfs(options: RunOptions) -> list[Mounted]:
    given = options.get("tmpfs")
    if isinstance(given, Mapping):  # as docker-py has it
        given = [f"{path}:{words}" for path, words in given.items()]
    found = []
    for text in texts("tmpfs", given):
        path, _, words = text.partition(":")
        try:
            found.append(Mounted(_tmpfs_document(target(path), [w for w in words.split(",") if w])))
        except ValueError as error:
            raise bad("tmpfs", str(error)) from None
    return found


def _tmpfs_words(given: dict[str, str]) -> list[str]:
    words = ["ro"] if _true(given, "readonly") else []
    words += [f"size={size(given['tmpfs-size'])}"] if "tmpfs-size" in given else []
    return words + ([f"mode={given['tmpfs-mode']}"] if "tmpfs-mode" in given else [])


def _tmpfs_document(destination: str, words: list[str]) -> dict[str, Any]:
    """Docker's options of a tmpfs: nosuid, noexec, nodev, everybody may write (tmpfs(5))."""
    data, flags = {"mode": "1777"}, [flag for flag in _TMPFS if flag.removeprefix("no") not in words]
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
