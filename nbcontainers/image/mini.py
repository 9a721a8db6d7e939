"""The embedded image `mini`: a real OCI image of a few MB, put together from this host's own programs.

Of busybox where it is installed (a static one needs nothing else), else of the shell, coreutils and their shared
libraries. Layers: the skeleton of a root file system; shell and tools; extras (ps, ip, grep, sed, awk, find) where
they are programs of their own. Everything is sorted and its times are SOURCE_DATE_EPOCH or 0, so the same host makes
the same digest. It is made when first asked for, and again after `image rm mini`.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable
from nbcontainers.image import elf, layout
from nbcontainers.image.image import MINI, Image
from nbcontainers.oci import digest
from nbcontainers.oci.image import (
    CONFIG,
    LAYER,
    MANIFEST,
    Descriptor,
    ImageConfig,
    architecture,
    created,
    encode,
    epoch,
    manifest,
)

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SEARCH = "/usr/bin:/bin:/usr/sbin:/sbin:/run/current-system/sw/bin"
_SHELLS = ("dash", "bash", "ash", "zsh")
_COREUTILS = (
    "[ arch b2sum base32 base64 basename basenc cat chgrp chmod chown chroot cksum comm cp csplit cut date dd df dir "
    "dircolors dirname du echo env expand expr factor false fmt fold groups head hostid id install join link ln "
    "logname ls md5sum mkdir mkfifo mknod mktemp mv nice nl nohup nproc numfmt od paste pathchk pinky pr printenv "
    "printf ptx pwd readlink realpath rm rmdir runcon seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf "
    "sleep sort split stat stdbuf stty sum sync tac tail tee test timeout touch tr true truncate tsort tty uname "
    "unexpand uniq unlink users vdir wc who whoami yes"
).split()
_EXTRAS = "ps ip grep sed awk mawk gawk find xargs free uptime kill pgrep pkill hostname mount umount".split()
_FOLDERS = {
    "dev": 0o755, "etc": 0o755, "home": 0o755, "mnt": 0o755, "opt": 0o755, "proc": 0o555, "root": 0o700, "run": 0o755,
    "srv": 0o755, "sys": 0o555, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/lib": 0o755, "usr/lib64": 0o755,
    "usr/local": 0o755, "usr/local/bin": 0o755, "usr/sbin": 0o755, "usr/share": 0o755, "var": 0o755, "var/cache": 0o755,
    "var/lib": 0o755, "var/log": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
_LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin", "var/run": "/run"}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
                  "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\ndaemon:x:1:\ntty:x:5:\nusers:x:100:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:::::::\ndaemon:*:::::::\nnobody:*:::::::\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
    "etc/hostname": "mini\n",
    "etc/resolv.conf": "",
    "etc/profile": f"export PATH={_PATH}\nexport PS1='\\h:\\w\\$ '\n",
    "etc/os-release": 'NAME="nbcontainers mini"\nID=mini\nPRETTY_NAME="nbcontainers mini"\nVERSION_ID=1\n',
}  # fmt: skip


class Member(NamedTuple):
    """One member of a layer: a folder, a link (`target`), a copy of the host's file `source`, or a text."""

    path: str
    mode: int = 0o755
    target: str = ""
    source: str = ""
    text: str | None = None


def build(engine: Engine) -> Image:
    """Put the image together and name it localhost/mini:latest. HostNotCapable where there is no shell to take."""
    tools, extras = _members()
    layers = [_tar(_skeleton()), _tar(tools), *([_tar(extras)] if extras else [])]
    sources = [one.source for one in (*tools, *extras) if one.source]
    with layout.adding(engine):
        diff_ids = [digest.of(content) for content in layers]
        blobs: list[Descriptor] = [
            {"mediaType": LAYER, "digest": diff_id, "size": len(content)}
            for diff_id, content in zip(diff_ids, layers, strict=True)
        ]
        for blob, content in zip(blobs, layers, strict=True):
            layout.put(engine, [content], blob)
        config = layout.put_document(engine, encode(_config(diff_ids, sources)), CONFIG)
        target = layout.put_document(engine, manifest(config, blobs), MANIFEST)
        with layout.update(engine, "mini") as manifests:
            layout.set_name(manifests, MINI, target, embedded=True)
    return Image(engine, target["digest"], MINI, target["size"])


def _config(diff_ids: Sequence[str], sources: Iterable[str]) -> ImageConfig:
    """Created when the newest of its programs was."""
    moment = created(max(int(os.stat(path).st_mtime) for path in sources))
    parts = ("skeleton", "shell and tools", "extras")[: len(diff_ids)]
    return {
        "created": moment, "architecture": architecture(), "os": "linux",
        "config": {"Env": [f"PATH={_PATH}"], "Cmd": ["/bin/sh"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": [{"created": moment, "created_by": f"nbcontainers mini: {part}"} for part in parts],
    }  # fmt: skip


def _skeleton() -> list[Member]:
    found = [Member(path, mode) for path, mode in _FOLDERS.items()]
    found += [Member(path, target=target) for path, target in _LINKS.items()]
    return found + [Member(path, 0o640 if path == "etc/shadow" else 0o644, text=text) for path, text in _FILES.items()]


def _members() -> tuple[list[Member], list[Member]]:
    """Shell and tools; extras."""
    busybox = shutil.which("busybox", path=_SEARCH)
    if busybox:
        return _busybox(busybox), []
    shell = next((path for name in _SHELLS if (path := shutil.which(name, path=_SEARCH))), None)
    if shell is None:
        raise HostNotCapable("there is no shell here to make the image mini of", hint="apt-get install busybox-static")
    tools = [*_programs([os.path.basename(shell), *_COREUTILS]), Member("usr/bin/sh", target=os.path.basename(shell))]
    tools += _libraries(tools)
    extras = _programs(_EXTRAS)
    taken = {one.path for one in tools}
    extras += [one for one in _libraries(extras) if one.path not in taken]
    return tools, extras


def _busybox(path: str) -> list[Member]:
    """The program, a link for each of its applets, and its libraries if it is not static."""
    applets = subprocess.run([path, "--list-full"], capture_output=True, text=True, check=True, timeout=10)
    found = [Member("usr/bin/busybox", source=os.path.realpath(path))]
    for applet in sorted(set(applets.stdout.split())):
        folder = "usr/sbin" if "sbin" in applet.split("/") else "usr/bin"
        if (name := os.path.basename(applet)) not in ("busybox", "linuxrc"):
            found.append(Member(f"{folder}/{name}", target="../bin/busybox" if "sbin" in folder else "busybox"))
    return found + _libraries(found)


def _programs(names: Iterable[str]) -> list[Member]:
    """Copies in usr/bin; several names of one file (a multi-call program, or alternatives) are links to the first."""
    found: list[Member] = []
    first: dict[str, str] = {}
    for name in names:
        path = shutil.which(name, path=_SEARCH)
        if path is None:
            continue
        source = os.path.realpath(path)
        if source in first:
            found.append(Member(f"usr/bin/{name}", target=first[source]))
        elif elf.read(source):
            first[source] = name
            found.append(Member(f"usr/bin/{name}", source=source))
    return found


def _libraries(members: Iterable[Member]) -> list[Member]:
    """The libraries the programs need, where the linker looks for them; /lib* is a link to /usr/lib* here."""
    paths = sorted(set(elf.libraries([one.source for one in members if one.source])))
    found = []
    for path in paths:
        place = os.path.normpath(path).lstrip("/")
        place = f"usr/{place}" if place.split("/")[0] in ("lib", "lib64") else place
        found.append(Member(place, source=os.path.realpath(path)))
        if not place.startswith("usr/lib"):
            found.append(Member(f"usr/lib/{os.path.basename(place)}", target=f"/{place}"))
    return found


def _tar(members: Iterable[Member]) -> bytes:
    """A reproducible layer: sorted, owned by root, one time for all."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in sorted(map(_entry, _with_parents(members)), key=lambda pair: pair[0].name):
            info.mtime = epoch() or 0
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _with_parents(members: Iterable[Member]) -> Iterator[Member]:
    """Folders that are not in the skeleton, before what is in them."""
    made = set(_FOLDERS)
    for member in members:
        parts = member.path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            above = "/".join(parts[:depth])
            if above not in made:
                made.add(above)
                yield Member(above)
        yield member


def _entry(member: Member) -> tuple[tarfile.TarInfo, bytes]:
    info, content = tarfile.TarInfo(member.path), b""
    info.mode = member.mode
    if member.target:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, member.target, 0o777
    elif member.source:
        with open(member.source, "rb") as file:
            content = file.read()
    elif member.text is not None:
        content = member.text.encode()
    else:
        info.type = tarfile.DIRTYPE
    info.size = len(content)
    return info, content
