"""Small workloads, one function an axis, in plain Python and, where it is there, numpy. Arguments: the token, names of axes.

Each returns a figure and its unit, by its own clock; what it needs and does not find it says by `Absent`.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

clock = time.perf_counter
MIB = 1 << 20
BUDGET_S = 0.04


class Absent(Exception):
    """Why an axis cannot be measured on this target."""


def per(step: Callable[[], object], least: int = 3) -> float:
    """Seconds a step takes: one to warm up, then as many as fit into BUDGET_S; a slow target does fewer of them."""
    step()
    begun, count = clock(), 0
    while clock() - begun < BUDGET_S or count < least:
        step()
        count += 1
    return (clock() - begun) / count


def integer() -> tuple[float, str]:
    def step() -> None:
        total = 0
        for number in range(100_000):
            total += number & 7

    return per(step) * 1e3, "ms"


def sha256() -> tuple[float, str]:
    data = b"x" * MIB
    return 1 / per(lambda: hashlib.sha256(data).digest()), "MiB/s"


def matmul() -> tuple[float, str]:
    numpy, size = _numpy(), 256
    a = numpy.random.default_rng(1).random((size, size))
    return 2 * size**3 / per(lambda: a @ a) / 1e9, "GFLOP/s"


def bandwidth() -> tuple[float, str]:
    """STREAM's triad on arrays far larger than most caches: 3 of 32 MiB."""
    numpy, size = _numpy(), 4 * MIB
    a, b, c = numpy.ones(size), numpy.ones(size), numpy.ones(size)

    def step() -> None:
        numpy.multiply(b, 3.0, out=a)
        numpy.add(a, c, out=a)

    return 5 * 8 * size / per(step) / 2**30, "GiB/s"


def latency() -> tuple[float, str]:
    """A chase through 32 MiB in random order: each place says which is next."""
    numpy, size = _numpy(), 4 * MIB
    order = numpy.random.default_rng(1).permutation(size)
    chain = numpy.empty(size, dtype="int64")
    chain[order] = numpy.roll(order, -1)
    place = numpy.zeros(1, dtype="int64")

    def step() -> None:
        nonlocal place
        for _ in range(1000):
            place = chain[place]

    return per(step) / 1000 * 1e9, "ns"


def page_fault() -> tuple[float, str]:
    count = 512

    def step() -> None:
        with mmap.mmap(-1, count * mmap.PAGESIZE) as memory:
            for place in range(0, count * mmap.PAGESIZE, mmap.PAGESIZE):
                memory[place] = 1

    return per(step) / count * 1e6, "µs"


def syscall() -> tuple[float, str]:
    def step() -> None:
        for _ in range(1000):
            os.getppid()

    return per(step) / 1000 * 1e9, "ns"


def switch() -> tuple[float, str]:
    """A byte to another process and back: two context switches, four system calls."""
    here, there = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        while os.read(there[0], 1) == b"x":
            os.write(here[1], b"x")
        os._exit(0)

    def step() -> None:
        os.write(there[1], b"x")
        os.read(here[0], 1)

    took = per(step, 50)
    os.write(there[1], b".")
    os.waitpid(child, 0)
    return took * 1e6, "µs"


def fork() -> tuple[float, str]:
    def step() -> None:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)

    return per(step, 10) * 1e3, "ms"


def execute() -> tuple[float, str]:
    program = next((path for path in ("/bin/true", "/usr/bin/true") if os.path.exists(path)), "")
    if not program:
        raise Absent("there is no /bin/true")
    return per(lambda: os.waitpid(os.posix_spawn(program, [program], os.environ), 0), 10) * 1e3, "ms"


def read_cached() -> tuple[float, str]:
    path = _scratch() / "read"
    path.write_bytes(os.urandom(8 * MIB))
    buffer = bytearray(MIB)

    def step() -> None:
        file.seek(0)
        while file.readinto(buffer):
            pass

    with open(path, "rb", buffering=0) as file:
        took = per(step)
    path.unlink()
    return 8 / took, "MiB/s"


def write_sync() -> tuple[float, str]:
    return _synced(_scratch()), "ms"


def volume_write_sync() -> tuple[float, str]:
    folder = os.environ.get("NBC_VOLUME", "")
    if not os.path.isdir(folder):
        raise Absent("this target shares no folder with the host")
    return _synced(Path(folder)), "ms"


def small_files() -> tuple[float, str]:
    """Make, look at and remove a file."""
    path = _scratch() / "small"

    def step() -> None:
        path.write_bytes(b"x")
        path.stat()
        path.unlink()

    return per(step) * 1e6, "µs"


def round_trip() -> tuple[float, str]:
    """A byte to a thread over TCP on the loopback interface, and back."""

    def step() -> None:
        connection.sendall(b"x")
        connection.recv(1)

    with _connected(_echo) as connection:
        return per(step, 50) * 1e6, "µs"


def loopback() -> tuple[float, str]:
    """A MiB over TCP on the loopback interface, and a byte back when all has come."""
    data = b"x" * MIB

    def step() -> None:
        connection.sendall(data)
        connection.recv(1)

    with _connected(_swallow) as connection:
        return 1 / per(step), "MiB/s"


def sqlite() -> tuple[float, str]:
    """Transactions of one row, each on the disk before the next."""
    import sqlite3

    path = _scratch() / "data.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("CREATE TABLE t (a INTEGER, b TEXT)")
        took = per(lambda: base.execute("INSERT INTO t VALUES (1, 'text')"), 10)
    path.unlink()
    return 1 / took, "1/s"


def http() -> tuple[float, str]:
    """Requests a second over one connection, answered by Python's own server in a thread."""
    from http.client import HTTPConnection
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Hello(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    def step() -> None:
        connection.request("GET", "/")
        connection.getresponse().read()

    with HTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with closing(HTTPConnection("127.0.0.1", server.server_port)) as connection:
            took = per(step, 20)
        server.shutdown()
    return 1 / took, "1/s"


def importing() -> tuple[float, str]:
    """Another interpreter that imports a good deal of the standard library."""
    words = [sys.executable, "-c", "import asyncio, email.message, http.client, json, xml.dom"]
    begun = clock()
    subprocess.run(words, check=True)
    return (clock() - begun) * 1e3, "ms"


def fit() -> tuple[float, str]:
    """A random forest of scikit-learn on its own digits."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as error:
        raise Absent(f"Python here has no {error.name}") from None
    data = load_digits()
    model = RandomForestClassifier(10, random_state=1, n_jobs=1)
    begun = clock()
    model.fit(data.data, data.target)
    return (clock() - begun) * 1e3, "ms"


def iperf3() -> tuple[float, str]:
    """A second of TCP on the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    program = _program("iperf3")
    server = subprocess.Popen([program, "-s", "-1", "-p", port], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        while b"listening" not in (line := server.stdout.readline()) and line:
            pass
        said = json.loads(_told(program, "-c", "127.0.0.1", "-p", port, "-t", "1", "-J"))
        return said["end"]["sum_received"]["bits_per_second"] / 8 / MIB, "MiB/s"
    finally:
        server.kill()
        server.communicate()


def sysbench() -> tuple[float, str]:
    """Prime numbers for a second."""
    said = _told(_program("sysbench"), "cpu", "--time=1", "run")
    return _number(r"events per second:\s+([\d.]+)", said), "1/s"


def stress_ng() -> tuple[float, str]:
    """A second of its 64-bit integers; it tells its figures on stderr."""
    words = [_program("stress-ng"), "--cpu", "1", "--cpu-method", "int64", "--timeout", "1s", "--metrics-brief"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stderr
    return _number(r"cpu\s+(\d+)\s+[\d.]+\s", said), "1/s"


def fio() -> tuple[float, str]:
    """Random reads of 4 KiB from 8 MiB for a second."""
    words = ("--name=compare", "--rw=randread", "--bs=4k", "--size=8M", "--runtime=1", "--time_based")
    said = json.loads(_told(_program("fio"), *words, f"--directory={_scratch()}", "--output-format=json"))
    (_scratch() / "compare.0.0").unlink()
    return said["jobs"][0]["read"]["iops"], "1/s"


def _program(name: str) -> str:
    if path := shutil.which(name):
        return path
    raise Absent(f"the image has no {name} (Debian: apt-get install {name})")


def _told(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def _number(pattern: str, said: str) -> float:
    if found := re.search(pattern, said):
        return float(found[1])
    raise Absent("it told no figure that is known here")


def about() -> None:
    """Facts of this target: which Python, which libraries, how many processors, which BLAS for which processor."""
    found = {"python": sys.version.split()[0], "kernel": os.uname().release, "processors": str(os.cpu_count())}
    if hasattr(os, "sched_getaffinity"):
        found["allowed processors"] = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    found |= {"scratch": _file_system(_scratch()), "memory limit": _memory_limit(), "cpu limit": _cpu_limit()}
    try:
        numpy = _numpy()
        a = numpy.ones((2, 2))
        a @ a
        found |= {"numpy": numpy.__version__, "blas": _blas(numpy)}
    except Absent as absent:
        found["numpy"] = str(absent)
    for key, value in found.items():
        print(f"{TOKEN} fact {key} = {value}", flush=True)


def _memory_limit() -> str:
    """As the kernel has it: cgroups(7), whichever version limits memory here."""
    said = _limit("memory", "memory.limit_in_bytes") or _limit("", "memory.max")
    if said.isdecimal() and int(said) < 1 << 60:
        return f"{int(said) >> 20} MiB"
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return f"none; the machine has {total} MiB"


def _cpu_limit() -> str:
    """Processors, of the quota in a period."""
    both = _limit("", "cpu.max").split()
    quota, period = both or (_limit("cpu", "cpu.cfs_quota_us"), _limit("cpu", "cpu.cfs_period_us"))
    return f"{int(quota) / int(period):g}" if quota.isdecimal() and period.isdecimal() else "none"


def _limit(controller: str, name: str) -> str:
    """What a file of our cgroup says; "" where there is none. In a cgroup namespace ours is the mount's top."""
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return ""
    for _, controllers, path in lines:
        if controller in controllers.split(","):
            top = Path("/sys/fs/cgroup", controller)
            for place in (top / path.lstrip("/") / name, top / name):
                if place.exists():
                    return place.read_text().strip()
    return ""


def _file_system(folder: Path) -> str:
    """Its type, and whether it keeps the promise of fsync (overlayfs.rst, Volatile mount)."""
    mounts = [line.split()[1:4] for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [mount for mount in mounts if folder.is_relative_to(mount[0])]
    _, kind, options = max(above, key=lambda mount: len(mount[0]), default=("", "unknown", ""))
    return f"{kind}, volatile" if {"volatile", "fsync=volatile"} & {*options.split(",")} else kind


def _blas(numpy: Any) -> str:
    """Its name and version, and the processor it chose its code for: openblas_get_corename."""
    import ctypes

    said = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    words = f"{said.get('name')} {said.get('version')}"
    paths = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "blas" in line.lower()}
    for path in sorted(paths):
        library = ctypes.CDLL(path)
        for name in ("openblas_get_corename", "scipy_openblas_get_corename64_", "openblas_get_corename64_"):
            if hasattr(library, name):
                corename = getattr(library, name)
                corename.restype = ctypes.c_char_p
                return f"{words} for {corename().decode()}"
    return words


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        raise Absent("Python here has no numpy") from None
    return numpy


def _scratch() -> Path:
    return Path(os.environ.get("NBC_SCRATCH", "/tmp"))


def _synced(folder: Path) -> float:
    """Milliseconds for 4 KiB to be on the disk."""
    path, data = folder / "synced", os.urandom(4096)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def step() -> None:
        os.write(descriptor, data)
        os.fsync(descriptor)

    took = per(step, 10)
    os.close(descriptor)
    path.unlink()
    return took * 1e3


def _connected(serve: Callable[[socket.socket], None]) -> socket.socket:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = socket.create_connection(server.getsockname()[:2])
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other, _ = server.accept()
    other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=serve, args=(other,), daemon=True).start()
    return connection


def _echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(1):
            connection.sendall(data)


def _swallow(connection: socket.socket) -> None:
    """Answers each MiB."""
    with connection:
        buffer, left = bytearray(MIB), MIB
        while got := connection.recv_into(buffer, left):
            left -= got
            if not left:
                connection.sendall(b"x")
                left = MIB


def measure(name: str) -> None:
    """One line of what came of it."""
    try:
        value, unit = globals()[name]()
        print(f"{TOKEN} figure {name} {value!r} {unit}", flush=True)
    except Absent as absent:
        print(f"{TOKEN} absent {name} {absent}", flush=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{TOKEN} absent {name} {error}", flush=True)


TOKEN = sys.argv[1]
print(TOKEN, "begin", flush=True)
started = time.perf_counter_ns()
if sys.argv[2:] == ["about"]:
    about()
else:
    for one in sys.argv[2:]:
        measure(one)
print(f"{TOKEN} end {time.perf_counter_ns() - started} ns", flush=True)
