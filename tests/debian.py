"""Root file systems of Debian's packages: programs as a course uses them, unpacked without being installed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests import peers

_LIBC = ("libc6", "libcrypt1", "libgcc-s1", "libssl3", "zlib1g", "libpcre2-8-0")
NGINX = ("nginx", "nginx-common", *_LIBC)
MARIADB = (
    "mariadb-server-core", "mariadb-client-core", "libmariadb3", "libaio1", "libnuma1", "libstdc++6", "libsystemd0",
    "liburing2", "libedit2", "libncurses6", "libtinfo6", "libbsd0", "libmd0", "libcap2", "libgcrypt20", "libgpg-error0",
    "liblz4-1", "liblzma5", "libzstd1", *_LIBC,
)  # fmt: skip
IPERF = ("iperf3", "libiperf0", "libsctp1", *_LIBC)


_BASE = {
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def archive(path: Path, packages: Sequence[str], files: Mapping[str, str] | None = None) -> None:
    """A tar of the packages' files, `files` (by path, their text) and the few that Debian's base would have made."""
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=path.parent) as folder:
        root = Path(folder, "root")
        _unpack(Path(folder), root, packages)
        for name, mode in (("tmp", 0o1777), ("run", 0o755), ("var/log", 0o755), ("var/lib", 0o755), ("etc", 0o755)):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name).chmod(mode)
        for name, text in {**_BASE, **(files or {})}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        subprocess.run(["tar", "-C", root, "-cf", path, "."], check=True)


def _unpack(folder: Path, root: Path, packages: Sequence[str]) -> None:
    apt, dpkg = peers.program("apt-get"), peers.program("dpkg-deb")
    done = subprocess.run([apt, "-q", "download", *packages], cwd=folder, capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.deb"))
    if len(found) < len(packages):
        _missing(f"not all packages came from Debian: {done.stderr.strip()[-300:]}")
    for one in found:
        subprocess.run([dpkg, "-x", one, root], check=True)


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
