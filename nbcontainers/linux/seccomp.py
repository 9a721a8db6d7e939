"""seccomp(2): an OCI `linux.seccomp` profile becomes a classic BPF program, is cached, and is loaded.

What a profile means here is what it means to runc and libseccomp:

- unknown names are ignored, and so is a rule whose action is the default action;
- of the rules for one system call one without conditions comes first, then they are tried in their order;
- conditions of a rule must all hold, unless two of them look at the same argument: then any is enough;
- a number higher than every name of the profile gives ENOSYS where the default is ERRNO, so that a C library that
  is newer than the profile falls back instead of giving up. Under a stricter default the same holds only for
  numbers that no kernel known here has.

Stricter than both: whatever `architectures` says, only the machine's own calls are open. Those of another ABI
(32-bit calls, by `int 0x80` too, and x32) give ENOSYS as on a kernel built without it: nothing of the kernel is
reached, and a program that only probes lives on. They are killed where the profile's default is to kill. 32-bit
exit(2) works: a program told ENOSYS there would try again for ever.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
from _blake2 import blake2b
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.linux import bpf, libc, syscalls

VERSION = 1
"""Part of every cache key: raise it whenever the same profile gives another program (a unit test pins it)."""

ALLOW, LOG, TRACE, NOTIFY = 0x7FFF0000, 0x7FFC0000, 0x7FF00000, 0x7FC00000
ERRNO, TRAP, KILL_THREAD, KILL_PROCESS = 0x00050000, 0x00030000, 0x00000000, 0x80000000

ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD, "SCMP_ACT_KILL_THREAD": KILL_THREAD, "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": TRAP, "SCMP_ACT_ERRNO": ERRNO, "SCMP_ACT_NOTIFY": NOTIFY, "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_LOG": LOG, "SCMP_ACT_ALLOW": ALLOW,
}  # fmt: skip

FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1, "SECCOMP_FILTER_FLAG_LOG": 2, "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
}  # fmt: skip

_LARGEST = (1 << 64) - 1
_ENOSYS = ERRNO | errno.ENOSYS
_PERMISSIVE = (ALLOW, LOG, TRACE)
_KILL = (KILL_THREAD, KILL_PROCESS)

_SECCOMP_SET_MODE_FILTER = 1
_FIRST_X32, _LAST_X32, _X32_BIT = 512, 547, 0x40000000


class _Machine(NamedTuple):
    """AUDIT_ARCH_* of <linux/audit.h>, and exit(2) and exit_group(2) of the 32-bit ABI beside it."""

    audit: int
    compat_exit: tuple[int, int]


_MACHINES = {"x86_64": _Machine(0xC000003E, (1, 252)), "aarch64": _Machine(0xC00000B7, (1, 248))}


class Condition(NamedTuple):
    """True if argument `argument` (0 to 5) lies in one of the closed `ranges`, or if its bits of `mask` equal `bits`."""

    argument: int
    ranges: tuple[tuple[int, int], ...] = ()
    mask: int = 0
    bits: int = 0


class Rule(NamedTuple):
    conditions: tuple[Condition, ...]
    verdict: int


def compile_profile(profile: Mapping[str, Any], machine: str) -> bytes:
    """An OCI profile (runtime-spec, config-linux.md, "Seccomp") as an array of struct sock_filter.

    `machine` as uname(2) names it. Raises InvalidArgument for a profile that is not one, HostNotCapable for a
    machine without a table.
    """
    if machine not in _MACHINES:
        raise HostNotCapable(f"no system call table for {machine}", hint="run with --security-opt seccomp=unconfined")
    default = _default(profile)
    rules = _rules(profile, syscalls.numbers(machine), default)
    program = bpf.Program()
    native = program.load(
        bpf.NUMBER, program.choose(_steps(program, rules, default, _newest(profile, machine, default), machine))
    )
    foreign = _foreign(program, default, machine)
    program.load(bpf.ARCHITECTURE, program.test(bpf.EQUAL, _MACHINES[machine].audit, native, foreign))
    if len(program) > bpf.MAXIMUM:
        raise InvalidArgument(
            f"the seccomp profile needs {len(program)} BPF instructions, the kernel takes {bpf.MAXIMUM}",
            hint="use fewer rules with arguments",
        )
    return program.assemble()


def compile_cached(profile: Mapping[str, Any], cache_dir: Path) -> bytes:
    """The program of `profile` for this machine, from `cache_dir` or put there now.

    A cached file counts only if it is ours alone and its checksum holds. Raises as `compile_profile` does, and
    InvalidArgument for SCMP_ACT_NOTIFY, since there is nobody to listen.
    """
    machine = os.uname().machine
    text = json.dumps([VERSION, machine, profile], sort_keys=True, separators=(",", ":"))
    key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    path = os.path.join(cache_dir, f"seccomp-{key.hex()}.bpf")
    program = _read_cache(path, key)
    if program is None:
        _refuse_listener(profile)
        program = compile_profile(profile, machine)
        _write_cache(path, key, program)
    return program


class _FilterProgram(ctypes.Structure):
    """struct sock_fprog of <linux/filter.h>."""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def load(program: bytes, flags: Sequence[str] = ()) -> None:
    """Put this thread, and all it will ever start, under `program`. Needs no_new_privs or CAP_SYS_ADMIN.

    Called inside the container, so it imports nothing. Raises OSError.
    """
    document = _FilterProgram(len(program) // 8, libc.address(program))
    bits = sum(FLAGS[flag] for flag in flags)
    straggler = libc.syscall("seccomp", _SECCOMP_SET_MODE_FILTER, bits, ctypes.addressof(document))
    if straggler:  # TSYNC: the thread that could not be taken along
        raise libc.failure(errno.EBUSY, f"seccomp(SECCOMP_FILTER_FLAG_TSYNC), thread {straggler}")


# --- reading a profile ---


def objects(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of JSON objects under `key`; none if it is absent or null. Raises InvalidArgument for anything else."""
    entries = document.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidArgument(f"{key} of the seccomp profile is not a list of objects", hint="see the runtime-spec")
    return entries


def _default(profile: Mapping[str, Any]) -> int:
    flags = profile.get("flags") or []
    for flag in flags if isinstance(flags, list) else [flags]:
        if not isinstance(flag, str) or flag not in FLAGS:
            raise InvalidArgument(f"unknown seccomp flag {flag!r}", hint=f"known: {', '.join(FLAGS)}")
    if "defaultAction" not in profile:
        raise InvalidArgument("the seccomp profile has no defaultAction", hint='add "defaultAction": "SCMP_ACT_ERRNO"')
    return _verdict(profile["defaultAction"], profile.get("defaultErrnoRet"))


def _verdict(action: object, errno_ret: int | None) -> int:
    if not isinstance(action, str) or action not in ACTIONS:
        raise InvalidArgument(f"unknown seccomp action {action!r}", hint=f"one of {', '.join(ACTIONS)}")
    verdict = ACTIONS[action]
    if verdict not in (ERRNO, TRACE):
        if errno_ret is not None:
            raise InvalidArgument(f"{action} takes no errnoRet", hint="remove it or use SCMP_ACT_ERRNO")
        return verdict
    number = errno.EPERM if errno_ret is None else errno_ret
    limit = 4095 if verdict == ERRNO else 0xFFFF
    if type(number) is not int or not 0 <= number <= limit:
        raise InvalidArgument(
            f"seccomp errnoRet is {errno_ret!r}", hint=f"a number from 0 to {limit}, such as 1 (EPERM)"
        )
    return verdict | number


def _rules(profile: Mapping[str, Any], table: Mapping[str, int], default: int) -> dict[int, list[Rule]]:
    """The rules of each number, in their order; the ones that change nothing are left out."""
    rules: dict[int, list[Rule]] = {}
    for entry in objects(profile, "syscalls"):
        verdict = _verdict(entry.get("action"), entry.get("errnoRet"))
        alternatives = _alternatives([_condition(document) for document in objects(entry, "args")])
        if verdict != default:
            for name in _names(entry):
                if name in table:
                    rules.setdefault(table[name], []).extend(Rule(each, verdict) for each in alternatives)
    return rules


def _names(entry: Mapping[str, Any]) -> list[str]:
    names = entry.get("names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InvalidArgument(f"a seccomp rule has names {names!r}", hint='write "names": ["openat", …]')
    return names


def _alternatives(conditions: list[Condition]) -> list[tuple[Condition, ...]]:
    """All conditions at once; but two on one argument are alternatives (runc: `hasMultipleArgs` in matchCall)."""
    if len({condition.argument for condition in conditions}) < len(conditions):
        return [(condition,) for condition in conditions]
    return [tuple(conditions)]


def _condition(document: Mapping[str, Any]) -> Condition:
    index, operator = document.get("index"), document.get("op")
    value, second = document.get("value", 0), document.get("valueTwo", 0)
    if type(index) is not int or not 0 <= index <= 5:
        raise InvalidArgument(f"a seccomp argument has index {index!r}", hint="a system call has arguments 0 to 5")
    for number in (value, second):
        if type(number) is not int or not 0 <= number <= _LARGEST:
            raise InvalidArgument(f"a seccomp argument has value {number!r}", hint="a number from 0 to 2^64 - 1")
    if operator == "SCMP_CMP_MASKED_EQ" and value:
        return Condition(index, mask=value, bits=second & value)
    ranges = {
        "SCMP_CMP_EQ": [(value, value)],
        "SCMP_CMP_NE": [(0, value - 1), (value + 1, _LARGEST)],
        "SCMP_CMP_LT": [(0, value - 1)],
        "SCMP_CMP_LE": [(0, value)],
        "SCMP_CMP_GE": [(value, _LARGEST)],
        "SCMP_CMP_GT": [(value + 1, _LARGEST)],
        "SCMP_CMP_MASKED_EQ": [(0, _LARGEST)],
    }
    if not isinstance(operator, str) or operator not in ranges:
        raise InvalidArgument(f"unknown seccomp operator {operator!r}", hint=f"one of {', '.join(ranges)}")
    return Condition(index, tuple((first, last) for first, last in ranges[operator] if first <= last))


def _newest(profile: Mapping[str, Any], machine: str, default: int) -> int:
    """The highest number the profile speaks about; above it lies the future."""
    table = syscalls.numbers(machine)
    named = [table[name] for entry in objects(profile, "syscalls") for name in _names(entry) if name in table]
    if default & 0xFFFF0000 == ERRNO and named:
        return max(named)
    return max(table.values())


def _refuse_listener(profile: Mapping[str, Any]) -> None:
    actions = [profile.get("defaultAction"), *(entry.get("action") for entry in objects(profile, "syscalls"))]
    if "SCMP_ACT_NOTIFY" in actions:
        raise InvalidArgument(
            "SCMP_ACT_NOTIFY needs a seccomp agent, and nbcontainers connects to none",
            hint="use SCMP_ACT_ERRNO, or SCMP_ACT_LOG to only watch",
        )


# --- writing the program ---


def _steps(
    program: bpf.Program, rules: Mapping[int, list[Rule]], default: int, newest: int, machine: str
) -> list[tuple[int, int]]:
    """Where to go on for each system call number."""
    conditional: dict[tuple[Rule, ...], int] = {}
    order = {number: tuple(_in_order(found)) for number, found in rules.items()}
    for chain in order.values():
        if chain[0].conditions and chain not in conditional:
            conditional[chain] = _chain(program, chain, default)
    otherwise = program.give(default)
    places = {
        number: conditional[chain] if chain in conditional else program.give(chain[0].verdict)
        for number, chain in order.items()
    }
    steps = [(number, places.get(number, otherwise)) for number in range(newest + 1)]
    return steps + _beyond(program, default, newest, machine)


def _beyond(program: bpf.Program, default: int, newest: int, machine: str) -> list[tuple[int, int]]:
    """Numbers that are newer than the profile, and on x86_64 those of the x32 ABI."""
    future = program.give(default if default & 0xFFFF0000 in _PERMISSIVE else _ENOSYS)
    steps = [(newest + 1, future)]
    if machine == "x86_64":
        closed = program.give(_closed(default))
        steps += [(_FIRST_X32, closed), (_LAST_X32 + 1, future), (_X32_BIT, closed)]
    return steps


def _closed(default: int) -> int:
    """What a call of another ABI gets."""
    return default if default in _KILL else _ENOSYS


def _foreign(program: bpf.Program, default: int, machine: str) -> int:
    closed = program.give(_closed(default))
    if default in _KILL:
        return closed
    allow = program.give(ALLOW)
    steps = [(0, closed)]
    for number in _MACHINES[machine].compat_exit:
        steps += [(number, allow), (number + 1, closed)]
    return program.load(bpf.NUMBER, program.choose(steps))


def _in_order(rules: list[Rule]) -> list[Rule]:
    """One rule without conditions makes all others void, as in libseccomp. Joins what one search can answer."""
    for rule in rules:
        if not rule.conditions:
            return [rule]
    joined: list[Rule] = []
    for rule in rules:
        both = _join(joined[-1], rule) if joined else None
        joined[-1:] = [both] if both else [*joined[-1:], rule]
    return joined


def _join(one: Rule, other: Rule) -> Rule | None:
    """Two rules that differ only in the ranges of one argument as one rule; None if they differ in more."""
    if one.verdict != other.verdict or len(one.conditions) != len(other.conditions):
        return None
    differing = [
        index for index, pair in enumerate(zip(one.conditions, other.conditions, strict=True)) if pair[0] != pair[1]
    ]
    if len(differing) != 1:
        return None if differing else one
    mine, theirs = one.conditions[differing[0]], other.conditions[differing[0]]
    if mine.argument != theirs.argument or mine.mask or theirs.mask:
        return None
    conditions = list(one.conditions)
    conditions[differing[0]] = Condition(mine.argument, mine.ranges + theirs.ranges)
    return Rule(tuple(conditions), one.verdict)


def _chain(program: bpf.Program, rules: Sequence[Rule], default: int) -> int:
    place = program.give(default)
    for rule in reversed(rules):
        otherwise, place = place, program.give(rule.verdict)
        for condition in reversed(rule.conditions):
            place = _test(program, condition, place, otherwise)
    return place


def _test(program: bpf.Program, condition: Condition, yes: int, no: int) -> int:
    offset = bpf.ARGUMENTS + 8 * condition.argument
    if not condition.mask:
        return program.choose_wide(offset, _membership(condition.ranges, yes, no))
    for shift in (0, 32):  # the high word is written last, and so tested first
        mask, bits = condition.mask >> shift & 0xFFFFFFFF, condition.bits >> shift & 0xFFFFFFFF
        if mask:
            same = program.test(bpf.EQUAL, bits, yes, no)
            yes = program.load(offset + shift // 8, program.mask(mask, same))
    return yes


def _membership(ranges: Sequence[tuple[int, int]], yes: int, no: int) -> list[tuple[int, int]]:
    """A step function that is `yes` within the closed ranges; they may overlap."""
    union: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if union and first <= union[-1][1] + 1:
            union[-1] = (union[-1][0], max(last, union[-1][1]))
        else:
            union.append((first, last))
    steps = [] if union and not union[0][0] else [(0, no)]
    for first, last in union:
        steps += [(first, yes), (last + 1, no)]
    return [step for step in steps if step[0] <= _LARGEST]


# --- cache ---


def _read_cache(path: str, key: bytes) -> bytes | None:
    """The program in `path`, or None if there is none that can be trusted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077 or status.st_uid != os.geteuid():
            return None
        content = os.read(descriptor, 32 + 8 * bpf.MAXIMUM + 1)
    finally:
        os.close(descriptor)
    program = content[32:]
    whole = bool(program) and len(program) % 8 == 0 and content[:32] == _checksum(program, key)
    return program if whole else None


def _write_cache(path: str, key: bytes, program: bytes) -> None:
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, _checksum(program, key) + program)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError:
        return  # a full or read-only disk costs time at the next start, not this container


def _checksum(program: bytes, key: bytes) -> bytes:
    return blake2b(program, key=key, digest_size=32).digest()
