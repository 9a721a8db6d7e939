"""Makes what the project needs on a bare machine: a virtual environment, Debian packages, an ordinary user.

Standard library only, since it runs before anything is installed. `python3 notebooks` and `python3 tests` use it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"

PACKAGES = {
    "crun": "crun",
    "runc": "runc",
    "podman": "podman",
    "catatonit": "catatonit",
    "dockerd": "docker.io",
    "buildah": "buildah",
    "skopeo": "skopeo",
    "umoci": "umoci",
    "docker-registry": "docker-registry",
    "openssl": "openssl",
    "newuidmap": "uidmap",
    "nft": "nftables",
    "ip": "iproute2",
    "busybox": "busybox-static",
    "fuse-overlayfs": "fuse-overlayfs",
    "slirp4netns": "slirp4netns",
    "runuser": "util-linux",
    "lsns": "util-linux",
    "capsh": "libcap2-bin",
    "ps": "procps",
    "zstd": "zstd",
    "gcc": "gcc",
    "qemu-system-x86_64": "qemu-system-x86",
    "linux.uml": "user-mode-linux",
    "mke2fs": "e2fsprogs",
    "mksquashfs": "squashfs-tools",
    "mkfs.erofs": "erofs-utils",
    "lz4": "lz4",
    "nginx": "nginx-light",
    "chromium": "chromium",
}
"""Debian's package of each program that the tests compare with or use."""

EXTRA_PACKAGES = ("fonts-dejavu-core", "libc6-dev")


class Failed(Exception):
    """A step that did not work; the message says what to do."""


def say(text: str) -> None:
    print(f"-- {text}", flush=True)


def call(command: Sequence[str | Path], **options: object) -> None:
    done = subprocess.run([str(word) for word in command], check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise Failed(f"`{' '.join(map(str, command))}` ended with exit status {done.returncode}")


def virtual_environment(extras: str, folder: Path = VENV, python: str = sys.executable, source: Path = ROOT) -> Path:
    """The Python of a virtual environment with the project and `extras` in it; made, completed or left as it is."""
    if sys.version_info < (3, 11):  # noqa: UP036  (this file is what tells an older Python)
        raise Failed(f"nbcontainers needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    interpreter = folder / "bin/python"
    stamp = folder / f"nbcontainers-{extras.replace(',', '-')}.stamp"
    state = fingerprint(python, source)
    if interpreter.exists() and stamp.exists() and stamp.read_text() == state:
        return interpreter
    if not works(interpreter):
        say(f"making {folder}")
        # Without pip: Debian keeps ensurepip in a package of its own (python3-venv).
        call([python, "-m", "venv", "--clear", "--without-pip", folder])
    say(f"installing nbcontainers[{extras}] and what it needs")
    install(interpreter, "--editable", f"{source}[{extras}]")
    stamp.write_text(state)
    return interpreter


def works(interpreter: Path) -> bool:
    return interpreter.exists() and subprocess.run([interpreter, "-c", ""], check=False).returncode == 0


def fingerprint(python: str, source: Path) -> str:
    project = hashlib.sha256((source / "pyproject.toml").read_bytes()).hexdigest()
    return f"{os.path.realpath(python)} {source} {project}\n"


def install(interpreter: Path, *requirements: str) -> None:
    """Install into that environment with the pip of this Python, or with any other pip of the machine."""
    quiet = [] if os.environ.get("NBCONTAINERS_VERBOSE") else ["--quiet"]
    options = ["--python", str(interpreter), "install", "--disable-pip-version-check", "--no-input", *quiet]
    environment = {key: value for key, value in os.environ.items() if key != "PIP_USER"}
    call([*pip(), *options, *requirements], env=environment)


def pip() -> list[str]:
    """A pip that knows `--python` (22.3 or newer)."""
    for python in (sys.executable, "python3", "/usr/bin/python3"):
        command = [python, "-m", "pip"]
        with contextlib.suppress(OSError):
            done = subprocess.run([*command, "--python", python, "--version"], capture_output=True, check=False)
            if done.returncode == 0:
                return command
    raise Failed("there is no pip (22.3 or newer); type: apt-get install python3-pip")


def missing_packages() -> list[str]:
    """Debian packages whose program is not on this machine."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/libexec/podman"
    found = {package for name, package in PACKAGES.items() if shutil.which(name, path=path)}
    packages = [package for package in PACKAGES.values() if package not in found]
    return packages + [name for name in EXTRA_PACKAGES if not installed(name)]


def installed(package: str) -> bool:
    done = subprocess.run(["dpkg", "-s", package], capture_output=True, check=False)
    return done.returncode == 0


def debian_packages() -> bool:
    """Install the programs that the tests compare with. False when they are missing and cannot be installed."""
    missing = missing_packages() if shutil.which("dpkg") else []
    if not missing:
        return True
    command = f"apt-get install {' '.join(missing)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say(f"missing, so that comparisons with them are skipped; as root type: {command}")
        return False
    say(command)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with no_services():
        call(["apt-get", "-q", "update"], env=environment, stdout=subprocess.DEVNULL)
        options = ["-q", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"]
        call(["apt-get", "install", *options, *missing], env=environment, stdout=subprocess.DEVNULL)
    return True


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Keep packages from starting daemons (dockerd would change the host's firewall); see policy-rc.d(8)."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def project_files(source: Path = ROOT) -> list[Path]:
    """What git tracks, and new files that it would track; relative to `source`."""
    command = ["git", "-C", str(source), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, check=True).stdout
    names = sorted({Path(os.fsdecode(name)) for name in listing.split(b"\0") if name})
    return [name for name in names if (source / name).exists()]


def copy_project(target: Path) -> None:
    """The project as an ordinary user would have cloned it; files that went away go there too."""
    wanted = project_files()
    if target.exists():
        remove_others(target, wanted)
    for name in wanted:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, place)


def remove_others(target: Path, wanted: Iterable[Path]) -> None:
    keep = {target / name for name in wanted}
    for path in target.rglob("*"):
        if path.is_file() and path not in keep and ".venv" not in path.parts:
            path.unlink()
