"""Classic BPF as the kernel runs it, and libseccomp as the peer that compiles the same profile."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pytest

AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386, ARM = 0x40000003, 0x40000028
ALLOW, ENOSYS, EPERM = 0x7FFF0000, 0x00050026, 0x00050001

ACTIONS = {
    "SCMP_ACT_KILL": 0x0, "SCMP_ACT_KILL_THREAD": 0x0, "SCMP_ACT_KILL_PROCESS": 0x80000000, "SCMP_ACT_TRAP": 0x30000,
    "SCMP_ACT_ERRNO": 0x50000, "SCMP_ACT_NOTIFY": 0x7FC00000, "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000, "SCMP_ACT_ALLOW": 0x7FFF0000,
}  # fmt: skip
OPERATORS = {
    "SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}  # fmt: skip

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CTL_OPTIMIZE = 8
_UNKNOWN = -1


class Filter:
    """A program that can be asked what it says of a system call."""

    def __init__(self, program: bytes) -> None:
        assert program
        assert len(program) % 8 == 0
        self.code = list(struct.iter_unpack("<HBBI", program))

    def __len__(self) -> int:
        return len(self.code)

    def __call__(self, number: int, arguments: Sequence[int] = (), audit: int = AUDIT["x86_64"]) -> int:
        """What the kernel gets back for this call; SECCOMP_RET_*."""
        padded = [*arguments, *[0] * 6][:6]
        data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit, 0, *padded)
        accumulator = here = 0
        while True:
            code, yes, no, k = self.code[here]
            here += 1
            match code:
                case 0x20:
                    accumulator = int.from_bytes(data[k : k + 4], "little")
                case 0x54:
                    accumulator &= k
                case 0x05:
                    here += k
                case 0x15 | 0x25 | 0x35 | 0x45:
                    true = {
                        0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k, 0x45: accumulator & k,
                    }[code]  # fmt: skip
                    here += yes if true else no
                case 0x06:
                    return k
                case _:
                    raise AssertionError(f"instruction {code:#x} is not one the kernel's shortcut understands")

    def longest_path(self) -> int:
        """Instructions executed at worst."""
        costs: list[int] = []
        for index in range(len(self.code) - 1, -1, -1):
            code, yes, no, k = self.code[index]
            after = lambda skip, index=index: costs[len(self.code) - index - 2 - skip]  # noqa: E731
            if code == 0x06:
                costs.append(1)
            elif code == 0x05:
                costs.append(1 + after(k))
            elif code in (0x20, 0x54):
                costs.append(1 + after(0))
            else:
                costs.append(1 + max(after(yes), after(no)))
        return costs[-1]


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = [
        ("arg", ctypes.c_uint), ("op", ctypes.c_int), ("datum_a", ctypes.c_uint64), ("datum_b", ctypes.c_uint64),
    ]  # fmt: skip


@cache
def _library() -> Any:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp.so.2 is not installed; `python3 tests` installs it when it runs as root")
    library.seccomp_init.restype = ctypes.c_void_p
    for name in ("init", "arch_add", "arch_remove", "attr_set", "export_bpf", "release", "rule_add_array"):
        getattr(library, f"seccomp_{name}").argtypes = {
            "init": [ctypes.c_uint32], "arch_add": [ctypes.c_void_p, ctypes.c_uint32],
            "arch_remove": [ctypes.c_void_p, ctypes.c_uint32], "attr_set": [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32],
            "export_bpf": [ctypes.c_void_p, ctypes.c_int], "release": [ctypes.c_void_p],
            "rule_add_array": [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p],
        }[name]  # fmt: skip
    library.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    return library


def resolve(name: str, machine: str) -> int:
    """libseccomp's number of a name; negative if it knows none."""
    return int(_library().seccomp_syscall_resolve_name_arch(_MACHINES[machine], name.encode()))


def verdict(action: str, errno_ret: int | None) -> int:
    data = (1 if errno_ret is None else errno_ret) if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else 0
    return ACTIONS[action] | data


def libseccomp_compile(profile: Mapping[str, Any], machine: str, optimize: bool = False) -> bytes:
    """The same profile through libseccomp, with the steps runc takes (libcontainer/seccomp, matchCall)."""
    library = _library()
    default = verdict(profile["defaultAction"], profile.get("defaultErrnoRet"))
    context = library.seccomp_init(default)
    if machine != os.uname().machine:
        assert library.seccomp_arch_add(context, _MACHINES[machine]) == 0
        assert library.seccomp_arch_remove(context, _MACHINES[os.uname().machine]) == 0
    if optimize:
        assert library.seccomp_attr_set(context, _CTL_OPTIMIZE, 2) == 0
    for number, action, comparisons in _rules(profile, default):
        array = (_Comparison * max(1, len(comparisons)))(*comparisons)
        result = library.seccomp_rule_add_array(context, action, number, len(comparisons), array)
        assert result == 0, f"seccomp_rule_add {number} {action:#x}: {result}"
    try:
        return _exported(context)
    finally:
        library.seccomp_release(context)


def _rules(profile: Mapping[str, Any], default: int) -> Iterator[tuple[int, int, list[_Comparison]]]:
    for entry in profile["syscalls"]:
        action = verdict(entry["action"], entry.get("errnoRet"))
        # libseccomp takes the number a call has here, or a made-up negative one, and translates it itself
        numbers = [resolve(name, os.uname().machine) for name in entry["names"]]
        if action == default:
            continue
        arguments = entry.get("args") or []
        made = [_Comparison(a["index"], OPERATORS[a["op"]], a["value"], a.get("valueTwo", 0)) for a in arguments]
        separate = len({a["index"] for a in arguments}) < len(arguments)
        for number in numbers:
            if number != _UNKNOWN:
                yield from ((number, action, [one]) for one in made) if separate else [(number, action, made)]


def _exported(context: Any) -> bytes:
    descriptor = os.memfd_create("bpf")
    try:
        assert _library().seccomp_export_bpf(context, descriptor) == 0
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.read(descriptor, 1 << 20)
    finally:
        os.close(descriptor)
