"""A real kernel with nothing but cgroup v2: Debian's cloud kernel in QEMU, with this very package inside.

This host's cgroups are v1, most users' are v2. The guest's root is an ext4 image of the running Python, the package,
the tests and busybox (`mke2fs -d`, no root needed); the kernel is unpacked from Debian's package and never
installed. It boots under KVM where that works, else under TCG, QEMU's own translator, in some five seconds.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import io
import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import peers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SOURCE = "/src"  # the repository, in the guest
KERNEL_PACKAGE = "linux-image-cloud-amd64"
MODULES = ("virtio_pci", "virtio_blk", "overlay", "veth", "bridge", "tun",
           "nf_tables", "nft_chain_nat", "nft_ct", "nft_nat", "nft_masq", "nft_fib_inet")  # fmt: skip
#: TCG's TSC is the host's: calibrated on a busy host it makes the guest's seconds up to eight times too short.
CLOCK = "clocksource=hpet tsc=unstable"
#: Of the standard library, what no test needs: the image is made anew each time.
LEFT_OUT = ("test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages",
            "dist-packages", "pydoc_data", "config-*", "*.a", "_test*", "xxlimited*")  # fmt: skip
PYTEST = ("pytest", "_pytest", "pluggy", "pygments", "iniconfig", "packaging", "pytest_timeout", "py")


class Result(NamedTuple):
    """`report` is pytest's JUnit XML, `console` all that the guest said, `seconds` from QEMU's start to its end."""

    report: str
    console: str
    seconds: float

    def outcomes(self) -> dict[str, str]:
        """`"passed"`, or what was wrong, by the name of the test."""
        return dict(_outcome(case) for case in ElementTree.fromstring(self.report).iter("testcase"))


def _outcome(case: ElementTree.Element) -> tuple[str, str]:
    for kind in ("failure", "error", "skipped"):
        if (found := case.find(kind)) is not None:
            return case.attrib["name"], f"{kind}: {found.attrib.get('message', '')}\n{found.text or ''}"
    return case.attrib["name"], "passed"


def run(tests: Sequence[str], programs: Iterable[str] = (), timeout: float = 280) -> Result:
    """Run pytest on `tests` (paths and options) as the guest's root; `programs` are taken along from this host."""
    qemu, mke2fs, busybox = (peers.program(name) for name in ("qemu-system-x86_64", "mke2fs", "busybox"))
    kernel, modules = _kernel()
    with tempfile.TemporaryDirectory(prefix="nbc-vm-", dir=_memory()) as name:
        folder = Path(name)
        _stage(folder / "root", busybox, programs)
        (folder / "initrd").write_bytes(_initramfs(busybox, modules))
        _write_init(folder / "root", tests)
        _image(mke2fs, folder / "root", folder / "image")
        return _boot(qemu, kernel, folder, timeout)


def _memory() -> str:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"


# --- the kernel ---------------------------------------------------------------------------------------------------


def _kernel() -> tuple[Path, list[Path]]:
    """(bzImage, modules in the order to load them), unpacked once into the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "nbcontainers-tests", "kernel")
    if not list(cache.glob("boot/vmlinuz-*")):
        _fetch_kernel(cache)
    image = next(cache.glob("boot/vmlinuz-*"))
    return image, _in_order(next(cache.glob("**/lib/modules/*")), MODULES)


def _fetch_kernel(cache: Path) -> None:
    """`apt-get download`, not install: the host keeps its kernel."""
    apt, dpkg = peers.program("apt-get"), peers.program("dpkg-deb")
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache.parent) as folder:
        depends = subprocess.run(
            ["apt-cache", "depends", KERNEL_PACKAGE], capture_output=True, text=True, check=False
        ).stdout
        package = re.search(r"Depends: (linux-image-\S+)", depends)
        command = [apt, "-q", "download", package[1] if package else KERNEL_PACKAGE]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        found = list(Path(folder).glob("*.deb"))
        if not found:
            _missing(f"no kernel from Debian: {done.stderr.strip()[-300:]}")
        subprocess.run([dpkg, "-x", found[0], f"{folder}/unpacked"], check=True)
        with contextlib.suppress(OSError):  # another run was quicker
            os.rename(f"{folder}/unpacked", cache)


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def _in_order(folder: Path, names: Iterable[str]) -> list[Path]:
    """Modules with all they depend on before them; the package has no modules.dep, but each file says it."""
    files = {path.name.split(".")[0].replace("-", "_"): path for path in folder.glob("kernel/**/*.ko*")}
    order: list[Path] = []

    def add(name: str) -> None:
        path = files.get(name)
        if path is None or path in order:
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", _module(path))
        for other in depends[1].decode().split(",") if depends else ():
            add(other.replace("-", "_"))
        order.append(path)

    for name in names:
        add(name)
    return order


def _module(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()


# --- what is in the guest -----------------------------------------------------------------------------------------

INITRAMFS = """#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /proc /sys /dev /root
busybox mount -t devtmpfs devtmpfs /dev
for module in {modules}; do busybox insmod /$module; done
busybox mount -t ext4 /dev/vda /root
exec busybox switch_root /root /init
"""

INIT = """#!/bin/busybox sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
export PYTHONPATH={source}:{source}/packages PYTHONDONTWRITEBYTECODE=1 NBCONTAINERS_TESTS_ALONE=1 NBCONTAINERS_TESTS_VM=1
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp; mount -t tmpfs -o mode=755 tmpfs /run
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
ip link set lo up
cd {source}
{python} -m pytest {tests} --junitxml=/tmp/report.xml -o junit_logging=no -p no:cacheprovider -q --color=no
cat /tmp/report.xml > /dev/ttyS1
sync
poweroff -f
"""


def _stage(root: Path, busybox: str, programs: Iterable[str]) -> None:
    """The guest's files, each at the path it has here."""
    for name in ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var/tmp", "var/lib"):
        (root / name).mkdir(parents=True, exist_ok=True)
    _applets(root, busybox)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    _python(root)
    for name in programs:
        _program(root, Path(peers.program(name)))
    source = root / SOURCE.strip("/")
    for name in ("nbcontainers", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "notebooks", "bench"))
    shutil.copy2(ROOT / "pyproject.toml", source)
    compiled = [sys.executable, "-m", "compileall", "-q", "-d", SOURCE, str(source)]
    subprocess.run(compiled, check=True, capture_output=True)


def _applets(root: Path, busybox: str) -> None:
    shutil.copy2(busybox, root / "bin/busybox")
    for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")


def _interpreter() -> Path:
    """The real file behind a virtual environment's `python`."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def _python(root: Path) -> None:
    _program(root, _interpreter())
    (root / "usr/bin").mkdir(exist_ok=True)
    if not (root / "usr/bin/python3").exists():
        (root / "usr/bin/python3").symlink_to(_interpreter())
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix, "base": sys.base_prefix}))
    target = root / str(library).strip("/")
    shutil.copytree(library, target, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
    for extension in target.glob("lib-dynload/*.so"):
        _libraries(root, extension)
    packages = root / SOURCE.strip("/") / "packages"
    packages.mkdir(parents=True)
    for name in PYTEST:
        found = importlib.util.find_spec(name)
        if found is not None and found.submodule_search_locations:
            shutil.copytree(found.submodule_search_locations[0], packages / name)
        elif found is not None and found.origin:
            shutil.copy2(found.origin, packages)
    for name in ("pluggy", "pytest_timeout"):  # their metadata: a version, and the entry point of the plugin
        module = importlib.util.find_spec(name)
        if module is not None and module.origin:
            for folder in Path(module.origin).parent.glob(f"../{name}-*.dist-info"):
                shutil.copytree(folder, packages / folder.name)
            for folder in Path(module.origin).parent.glob(f"{name}-*.dist-info"):
                shutil.copytree(folder, packages / folder.name)


def _program(root: Path, path: Path) -> None:
    target = root / str(path).strip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)
    _libraries(root, path)


def _libraries(root: Path, path: Path) -> None:
    """The shared objects a program is linked with, ld.so among them: ldd(1)."""
    listing = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
    for library in map(Path, re.findall(r"(/\S+) \(0x", listing)):
        target = root / str(library).strip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(library, target)


def _write_init(root: Path, tests: Sequence[str]) -> None:
    words = " ".join(map(shlex.quote, tests))
    text = INIT.format(source=SOURCE, python=_interpreter(), tests=words)
    (root / "init").write_text(text)
    (root / "init").chmod(0o755)


def _image(mke2fs: str, root: Path, image: Path) -> None:
    """An ext4 file system with the files of `root`; 400 MiB to grow in, of which none is on this host's disk."""
    size = sum(path.lstat().st_size // 4096 + 1 for path in root.rglob("*")) * 4 + (400 << 10)
    options = ["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", str(root)]
    subprocess.run([mke2fs, *options, str(image), str(size)], check=True, capture_output=True)


def _initramfs(busybox: str, modules: Sequence[Path]) -> bytes:
    """cpio(5), "newc": busybox, the modules and a script that goes on to the image."""
    names = [path.name.removesuffix(".xz") for path in modules]
    script = INITRAMFS.format(modules=" ".join(names)).encode()
    files = [("init", script), ("bin/busybox", Path(busybox).read_bytes())]
    files += [(name, _module(path)) for name, path in zip(names, modules, strict=True)]
    archive = io.BytesIO()
    for number, (name, mode, data) in enumerate(_entries(files)):
        _cpio(archive, number, name, mode, data)
    return gzip.compress(archive.getvalue(), 1)


def _entries(files: list[tuple[str, bytes]]) -> Iterator[tuple[str, int, bytes]]:
    yield "bin", 0o40755, b""
    for name, data in files:
        yield name, 0o100755, data
    yield "TRAILER!!!", 0, b""


def _cpio(archive: io.BytesIO, inode: int, name: str, mode: int, data: bytes) -> None:
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    archive.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0")
    archive.write(b"\0" * (-archive.tell() % 4) + data)
    archive.write(b"\0" * (-archive.tell() % 4))


# --- the machine --------------------------------------------------------------------------------------------------


def accelerator() -> str:
    """`kvm` where /dev/kvm opens and is the processor's own; kvm_pvm opens too but boots no stock kernel."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or os.path.exists("/sys/module/kvm_pvm"):
        return "tcg"
    return "kvm" if re.search(r"\b(vmx|svm)\b", Path("/proc/cpuinfo").read_text()) else "tcg"


def _boot(qemu: str, kernel: Path, folder: Path, timeout: float) -> Result:
    how = accelerator()
    command = [
        qemu, "-M", f"q35,accel={how}", "-cpu", "host" if how == "kvm" else "max", "-smp", "2", "-m", "1024",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", str(kernel),
        "-initrd", str(folder / "initrd"), "-append",
        f"console=ttyS0 quiet panic=-1 random.trust_cpu=on no_timer_check mitigations=off psi=1 {CLOCK if how == 'tcg' else ''}",
        "-drive", f"file={folder}/image,if=none,id=root,format=raw,cache=unsafe", "-device", "virtio-blk-pci,drive=root",
        "-serial", f"file:{folder}/console", "-serial", f"file:{folder}/report",
    ]  # fmt: skip
    began = time.monotonic()
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = machine.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        machine.kill()
        said, _ = machine.communicate()
        said += f"\nno end after {timeout} s".encode()
    console = said.decode() + _text(folder / "console")
    report = _text(folder / "report").replace("\r", "")
    if "</testsuites>" not in report:
        pytest.fail(f"the guest brought no report:\n{console[-5000:]}", pytrace=False)
    return Result(report, console, time.monotonic() - began)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
