"""Code that runs in a container and reports what it could do there: the attacker's side of the escape tests."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import nbcontainers
from nbcontainers.errors import Error

#: What every attacking Python program starts with. `attempt` says "done" or the name of the error.
PRELUDE = '''
import ctypes, errno, fcntl, json, os, signal, socket, stat, struct, sys, time
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

def call(number, *arguments):
    """syscall(2) by number; "done" or the name of the error."""
    arguments = [a if isinstance(a, bytes) else ctypes.c_ulong(a & 0xFFFFFFFFFFFFFFFF) for a in arguments]
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *(arguments + [ctypes.c_ulong(0)] * (6 - len(arguments))))
    return "done" if result != -1 else errno.errorcode[ctypes.get_errno()]

def libc(name, *arguments):
    """A function of the C library; "done" or the name of the error."""
    ctypes.set_errno(0)
    return "done" if getattr(_libc, name)(*arguments) != -1 else errno.errorcode[ctypes.get_errno()]

def attempt(function, *arguments, **options):
    """What function() returns if that is a word, else "done", or the name of the error."""
    try:
        result = function(*arguments, **options)
    except OSError as error:
        return errno.errorcode.get(error.errno, repr(error))
    return result if isinstance(result, str) else "done"

def read(path, size=4096):
    with open(path, "rb", buffering=0) as file:
        return "empty" if not file.read(size) else "done"

def write(path, data=b"x"):
    with open(path, "wb", buffering=0) as file:
        file.write(data)

def report(**facts):
    print("\\n@@" + json.dumps(facts), flush=True)
'''


class Done(NamedTuple):
    """How a command in a container ended."""

    exit_code: int
    stdout: str
    stderr: str


class Sink:
    """Collects what a program writes."""

    def __init__(self) -> None:
        self.data = bytearray()

    def __call__(self, data: bytes) -> None:
        self.data += data

    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


def run(image: str, *command: str, **options: Any) -> Done:
    """`nbcontainers.run` to its end; nothing of the container stays."""
    out, err = Sink(), Sink()
    container = nbcontainers.run(
        image, *command, stdout=out, stderr=err, **({"rm": True, "raise_error": False} | options)
    )
    return Done(container.exit_code, out.text(), err.text())


def execute(container: Any, *command: str, **options: Any) -> Done:
    """`container exec` to its end."""
    out, err = Sink(), Sink()
    done = container.exec(*command, stdout=out, stderr=err, **({"raise_error": False} | options))
    return Done(getattr(done, "exit_code", done), out.text(), err.text())


def explained(function: Callable[[], Done]) -> Done | None:
    """What `function` returns, or None if it raised an error of ours; anything else it raises goes on."""
    try:
        return function()
    except Error as error:
        return None if error.message else Done(-1, "", "an error without a word")


def program(code: str) -> list[str]:
    """The command line of an attacking Python program; it ends with `report(...)`."""
    return [sys.executable, "-I", "-c", PRELUDE + textwrap.dedent(code)]


def facts(done: Done) -> dict[str, Any]:
    """What the program reported."""
    reports = [line[2:] for line in done.stdout.splitlines() if line.startswith("@@")]
    assert reports, f"the program in the container failed ({done.exit_code}):\n{done.stdout}\n{done.stderr}"
    found = json.loads(reports[-1])
    assert isinstance(found, dict)
    return found


def python(code: str, image: str = "host", **options: Any) -> dict[str, Any]:
    """Run an attacking Python program in a container of its own."""
    return facts(run(image, *program(code), **options))


def shell(script: str, image: str = "mini", **options: Any) -> Done:
    return run(image, "sh", "-c", script, **options)


@contextmanager
def running(image: str = "mini", *command: str, **options: Any) -> Iterator[Any]:
    """A container in the background, removed at the end."""
    container = nbcontainers.run(image, *(command or ("sleep", "1000")), detach=True, **options)
    try:
        yield container
    finally:
        container.rm(force=True)
