"""What of the host's /etc and /opt a container on `host` does not see.

A mask is an overlay layer with whiteouts over files, opaque empty folders over folders, and harmless files in place
of those that programs insist on. Hidden is what only its owner may read, that is everything an ordinary user of the
machine could not read either, and a list of secrets that some systems leave readable.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.layer.lower import OPAQUE

SECRETS = (
    "shadow*", "gshadow*", "sudoers*", "machine-id", "ssh/ssh_host_*", "ssl/private", "pki/tls/private",
    "pki/consumer", "pki/entitlement", "letsencrypt", "krb5.keytab", "wireguard", "openvpn", "ipsec.*", "ppp/*secrets",
    "NetworkManager/system-connections", "netplan", "wpa_supplicant/*", "security/opasswd", "kubernetes", "rancher",
    "docker/*.pem", "docker/key.json", "containers/auth.json", "ceph/*keyring", "exim4/passwd*", "postfix/*passwd*",
    "msmtprc", "fstab.cred*", "samba/*.tdb", "cloud/*", "subuid*", "subgid*", "polkit-1", "cups/*.conf", "rndc.key",
)  # fmt: skip
"""Patterns below /etc, hidden whatever their mode."""
_SECRET = re.compile("|".join(map(fnmatch.translate, SECRETS)))

_DEPTH = {"etc": 8, "opt": 2}
_FORM = 3
"""Counts up when the form of the masks changes, so that old ones are not used."""

_stamps: dict[tuple[Path, str], tuple[dict[str, int], Path]] = {}


def of(engine: Engine, top: str) -> str | None:
    """The folder that masks /`top`, made when something there has changed; None where nothing is masked.

    Whether it has is told by the times of the folders seen before: one stat(2) each.
    """
    if top not in _DEPTH or not os.path.isdir(f"/{top}"):
        return None
    known = _stamps.get((engine.root, top))
    if known and known[1].exists() and all(_time(path) == time for path, time in known[0].items()):
        return str(known[1])
    times: dict[str, int] = {}
    hidden = sorted(_hidden(top, times))
    folder = _build(engine, top, hidden)
    _stamps[engine.root, top] = times, folder
    return str(folder)


def _time(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _hidden(top: str, times: dict[str, int]) -> Iterator[tuple[str, bool]]:
    """(path below the top folder, whether it is a folder) of all that is to be hidden; fills `times`."""
    todo = [("", _DEPTH[top])]
    while todo:
        below, depth = todo.pop()
        folder = f"/{top}/{below}" if below else f"/{top}"
        times[folder] = _time(folder)
        for entry in entries(folder):
            path = f"{below}/{entry.name}" if below else entry.name
            mode = entry.stat(follow_symlinks=False).st_mode
            is_folder = stat.S_ISDIR(mode)
            if is_secret(top, path, mode):
                yield path, is_folder
            elif is_folder and depth > 1:
                todo.append((path, depth - 1))


def entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:  # ours neither
        return []


def is_secret(top: str, path: str, mode: int) -> bool:
    if top == "etc" and _SECRET.match(path):
        return True
    if stat.S_ISLNK(mode):
        return False
    if stat.S_ISDIR(mode):
        return not mode & stat.S_IXOTH
    return not mode & stat.S_IROTH or stat.S_ISSOCK(mode)


def _build(engine: Engine, top: str, hidden: list[tuple[str, bool]]) -> Path:
    names = repr((_FORM, top, hidden, _accounts() if top == "etc" else "", engine.rootless))
    return made_once(engine, f"host-{top}", names, lambda folder: _fill(engine, folder, top, hidden))


def made_once(engine: Engine, kind: str, content: str, fill: Callable[[Path], None]) -> Path:
    """The folder of our cache with what `content` describes; `fill` makes that where it is not there yet."""
    final = engine.cache / f"{kind}-{hashlib.sha256(os.fsencode(content)).hexdigest()[:16]}"
    if final.exists():
        return final
    temporary = engine.cache / f".{final.name}-{os.urandom(4).hex()}"
    temporary.mkdir()
    try:
        fill(temporary)
        os.rename(temporary, final)
    except BaseException as error:
        shutil.rmtree(temporary)
        if not isinstance(error, OSError) or not final.exists():  # else somebody else made the same one just now
            raise
    return final


def _fill(engine: Engine, mask: Path, top: str, hidden: list[tuple[str, bool]]) -> None:
    mask.chmod(0o755)
    for path, is_folder in hidden:
        _mirror(mask, top, os.path.dirname(path))
        if is_folder:
            (mask / path).mkdir()
            (mask / path).chmod(0o755)
            os.setxattr(mask / path, OPAQUE[1 if engine.rootless else 0], b"y")
        else:
            os.mknod(mask / path, stat.S_IFCHR | 0o600, os.makedev(0, 0))
    if top == "etc":
        for name, text in _replacements().items():
            (mask / name).unlink(missing_ok=True)
            (mask / name).write_text(text, errors="surrogateescape")
            (mask / name).chmod(0o640 if "shadow" in name else 0o444)


def _mirror(mask: Path, top: str, below: str) -> None:
    """The folders on the way, with the modes they have on the host: the topmost layer's count."""
    path = mask
    for part in Path(below).parts:
        path /= part
        if not path.exists():
            path.mkdir()
            path.chmod(stat.S_IMODE((Path("/") / top / path.relative_to(mask)).stat().st_mode))


def _accounts() -> list[str]:
    """Names of the accounts and groups, which shadow(5) and gshadow(5) are made of."""
    found = []
    for path in ("/etc/passwd", "/etc/group"):
        try:
            lines = Path(path).read_text(errors="surrogateescape").splitlines()
        except OSError:
            lines = []
        found.append("\n".join(line.partition(":")[0] for line in lines if line[:1] not in "+-#"))
    return found


def _replacements() -> dict[str, str]:
    """shadow(5) and gshadow(5) in which nobody has a password, an empty machine-id(5): new machine."""
    users, groups = _accounts()
    return {
        "shadow": "".join(f"{name}:*:19000:0:99999:7:::\n" for name in users.split()),
        "gshadow": "".join(f"{name}:*::\n" for name in groups.split()),
        "machine-id": "",
    }
