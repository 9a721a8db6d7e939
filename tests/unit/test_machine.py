"""Our own machine code: a child on a stack of its own that has its parent's memory."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, os, signal
from nbcontainers.linux import machine, namespaces
word = []

def child(_):
    word.append("heard")
    os._exit(7)

entry = machine.ENTRY(child)
flags = namespaces._CLONE_VM | namespaces._CLONE_VFORK
stack = namespaces.stack_bottom() - namespaces._STACK
arguments = namespaces._CloneArguments(flags=flags, exit_signal=signal.SIGCHLD, stack=stack, stack_size=namespaces._STACK)
pid = machine.clone3()(ctypes.addressof(arguments), ctypes.sizeof(arguments), entry, None)
os.write(1, f"{os.waitpid(pid, 0)[1] >> 8} {word}".encode())
arguments.flags = 1 << 63
os.write(1, str(machine.clone3()(ctypes.addressof(arguments), ctypes.sizeof(arguments), entry, None)).encode())
os._exit(0)
"""


def test_the_child_goes_on_with_a_function_and_errors_are_negative() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "7 ['heard']-22"
