"""A second opinion: programs that others wrote."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess

from nbcontainers.compare.inside.step import MIB, Absent, scratch


def iperf3() -> tuple[float, str]:
    """A second of TCP on the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    program = program_("iperf3")
    server = subprocess.Popen([program, "-s", "-1", "-p", port, "--forceflush"], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        while b"listening" not in (line := server.stdout.readline()) and line:
            pass
        said = json.loads(told(program, "-c", "127.0.0.1", "-p", port, "-t", "1", "-J"))
        return said["end"]["sum_received"]["bits_per_second"] / 8 / MIB, "MiB/s"
    finally:
        server.kill()
        server.communicate()


def sysbench() -> tuple[float, str]:
    """Prime numbers for a second."""
    said = told(program_("sysbench"), "cpu", "--time=1", "run")
    return number(r"events per second:\s+([\d.]+)", said), "1/s"


def stress_ng() -> tuple[float, str]:
    """A second of its 64-bit integers; it tells its figures on stderr."""
    words = [program_("stress-ng"), "--cpu", "1", "--cpu-method", "int64", "--timeout", "1s", "--metrics-brief"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stderr
    return number(r"cpu\s+(\d+)\s+[\d.]+\s", said), "1/s"


def fio() -> tuple[float, str]:
    """Random reads of 4 KiB from 8 MiB for a second."""
    words = ("--name=compare", "--rw=randread", "--bs=4k", "--size=8M", "--runtime=1", "--time_based")
    said = json.loads(told(program_("fio"), *words, f"--directory={scratch()}", "--output-format=json"))
    (scratch() / "compare.0.0").unlink()
    return said["jobs"][0]["read"]["iops"], "1/s"


def program_(name: str) -> str:
    if path := shutil.which(name):
        return path
    raise Absent(f"the image has no {name} (Debian: apt-get install {name})")


def told(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def number(pattern: str, said: str) -> float:
    if found := re.search(pattern, said):
        return float(found[1])
    raise Absent("it told no figure that is known here")
