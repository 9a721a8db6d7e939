"""The compiler of seccomp profiles says what libseccomp says; its cache trusts nothing; the kernel obeys."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nbcontainers.container.seccomp import default_profile
from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.linux import seccomp, syscalls
from tests.bpf import ALLOW, ARM, AUDIT, ENOSYS, EPERM, I386, Filter, libseccomp_compile, resolve, verdict

MACHINES = ["x86_64", "aarch64"]
DETERMINISTIC = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))  # a busy machine
LARGEST = (1 << 64) - 1

CAPABILITIES = [
    set[str](),
    {"CAP_CHOWN", "CAP_SYS_CHROOT", "CAP_SETUID"},
    {"CAP_SYS_ADMIN"},
    {"CAP_SYS_PTRACE", "CAP_SYS_NICE", "CAP_BPF", "CAP_PERFMON", "CAP_SYS_TIME", "CAP_SYS_BOOT", "CAP_SYSLOG"},
]


def interesting(values: set[int]) -> list[int]:
    """Values at, beside and far above each, and with the same low or high word."""
    near = {value + step for value in values | {0, 1} for step in (-1, 0, 1)}
    return sorted(
        {value & LARGEST for value in near | {v | 1 << 32 for v in near} | {v << 32 for v in values} | {LARGEST}}
    )


def argument_values(profile: dict[str, Any]) -> list[int]:
    arguments = [a for rule in profile["syscalls"] for a in rule.get("args") or ()]
    return interesting({a["value"] for a in arguments} | {a.get("valueTwo", 0) for a in arguments})


def differences(profile: dict[str, Any], machine: str, vectors: list[list[int]]) -> list[tuple[int, list[int]]]:
    """Calls of which we and libseccomp say something else, of the numbers it knows and the profile can know."""
    ours = Filter(seccomp.compile_profile(profile, machine))
    theirs = Filter(libseccomp_compile(profile, machine))
    table = syscalls.numbers(machine)
    newest = max((table[name] for rule in profile["syscalls"] for name in rule["names"] if name in table), default=999)
    known = [number for name, number in table.items() if resolve(name, machine) == number and number <= newest]
    audit = AUDIT[machine]
    searched = {table.get(name) for rule in profile["syscalls"] if rule.get("args") for name in rule["names"]}
    some = vectors[::40] + vectors[-1:]
    return [
        (n, v) for n in known for v in (vectors if n in searched else some) if ours(n, v, audit) != theirs(n, v, audit)
    ]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("capabilities", CAPABILITIES)
def test_the_default_profile_is_what_libseccomp_makes_of_it(capabilities: set[str], machine: str) -> None:
    profile = default_profile(capabilities, machine)
    vectors = [[value] for value in argument_values(profile)] + [[0, 7, 7, 7, 7, 7], [LARGEST] * 6]
    assert differences(profile, machine, vectors) == []


def deny_all(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    # the second rule makes the newest known call part of the profile, so that nothing is "too new" for it
    known = {"names": ["rseq_slice_yield"], "action": "SCMP_ACT_LOG"}
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [*rules, known], **more}


def allow(name: str, *arguments: dict[str, Any]) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": list(arguments)}


def condition(index: int, op: str, value: int, second: int = 0) -> dict[str, Any]:
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": second}


NAMES = ["read", "openat", "socket", "clone", "personality", "ioctl", "clone3", "gettid", "no_such_call"]
VALUES = st.one_of(
    st.integers(0, 9), st.sampled_from([0x7E020000, 1 << 31, 1 << 32, (1 << 32) - 1, LARGEST]), st.integers(0, LARGEST)
)
OPERATORS = [f"SCMP_CMP_{name}" for name in ("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ")]
ARGUMENT = st.fixed_dictionaries(
    {"index": st.integers(0, 5), "value": VALUES, "valueTwo": VALUES, "op": st.sampled_from(OPERATORS)}
)
PLAIN_ACTIONS = ["ALLOW", "LOG", "KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "NOTIFY"]
ACTION = st.one_of(
    st.sampled_from([{"action": f"SCMP_ACT_{name}"} for name in PLAIN_ACTIONS]),
    st.builds(
        lambda action, number: {"action": action, "errnoRet": number},
        st.sampled_from(["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"]), st.integers(0, 4094),  # libseccomp takes no 4095, the kernel does
    ),
)  # fmt: skip


@st.composite
def profiles(draw: st.DrawFn, lists: st.SearchStrategy[list[list[dict[str, Any]]]]) -> dict[str, Any]:
    """Profiles in which the rules of one call, whose arguments are `lists`, share one action."""
    default = draw(ACTION)
    rules = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        action = draw(ACTION)
        rules += [{"names": [name], **action, "args": arguments} for arguments in draw(lists)]
    number = {"defaultErrnoRet": default["errnoRet"]} if "errnoRet" in default else {}
    return {"defaultAction": default["action"], **number, "syscalls": rules}


#: One rule of up to three conditions, or many that ask one argument for one value: there everybody agrees. Of rules
#: that overlap libseccomp 2.5 makes a wrong tree: it says of (1, 0, 2) that arg0 > 1, or arg0 < 9 and arg2 == 0.
AGREED = st.one_of(
    st.lists(ARGUMENT, max_size=3, unique_by=lambda a: a["index"]).map(lambda rule: [rule]),
    st.tuples(st.integers(0, 5), st.lists(VALUES, min_size=1, max_size=8, unique=True)).map(
        lambda pair: [[condition(pair[0], "EQ", value)] for value in pair[1]]
    ),
)


@settings(DETERMINISTIC, max_examples=150)
@given(profiles(AGREED), st.data())
def test_any_profile_is_what_libseccomp_makes_of_it(profile: dict[str, Any], data: st.DataObject) -> None:
    values = argument_values(profile)
    vectors = data.draw(st.lists(st.lists(st.sampled_from(values), min_size=6, max_size=6), min_size=5, max_size=20))
    assume(profile["defaultAction"] != "SCMP_ACT_NOTIFY")  # which libseccomp refuses
    assert differences(profile, os.uname().machine, vectors) == []


TRUTH = {
    "SCMP_CMP_EQ": lambda argument, value, _: argument == value,
    "SCMP_CMP_NE": lambda argument, value, _: argument != value,
    "SCMP_CMP_LT": lambda argument, value, _: argument < value,
    "SCMP_CMP_LE": lambda argument, value, _: argument <= value,
    "SCMP_CMP_GT": lambda argument, value, _: argument > value,
    "SCMP_CMP_GE": lambda argument, value, _: argument >= value,
    "SCMP_CMP_MASKED_EQ": lambda argument, mask, bits: argument & mask == bits & mask,
}


def meaning(profile: dict[str, Any], name: str, vector: list[int]) -> int:
    """What a profile says of a call, word by word."""
    default = verdict(profile["defaultAction"], profile.get("defaultErrnoRet"))
    rules = []
    for rule in profile["syscalls"]:
        action, arguments = verdict(rule["action"], rule.get("errnoRet")), rule["args"]
        if name in rule["names"] and action != default:
            separate = len({a["index"] for a in arguments}) < len(arguments)
            rules += [(action, [a]) for a in arguments] if separate else [(action, arguments)]
    holds = lambda a: TRUTH[a["op"]](vector[a["index"]], a["value"], a["valueTwo"])  # noqa: E731
    for action, arguments in sorted(rules, key=lambda rule: bool(rule[1])):  # those without conditions first
        if all(map(holds, arguments)):
            return action
    return default


@settings(DETERMINISTIC, max_examples=200)
@given(profiles(st.lists(st.lists(ARGUMENT, max_size=3), min_size=1, max_size=5)), st.data())
def test_a_program_is_what_the_profile_means(profile: dict[str, Any], data: st.DataObject) -> None:
    profile["syscalls"].append({"names": ["rseq_slice_yield"], "action": "SCMP_ACT_LOG", "args": []})
    run = Filter(seccomp.compile_profile(profile, "x86_64"))
    values = argument_values(profile)
    table = syscalls.numbers("x86_64")
    for vector in data.draw(
        st.lists(st.lists(st.sampled_from(values), min_size=6, max_size=6), min_size=5, max_size=20)
    ):
        for name in {*NAMES[:-1], "write"}:
            assert run(table[name], vector) == meaning(profile, name, vector)


@settings(DETERMINISTIC, max_examples=60)
@given(st.lists(ARGUMENT, min_size=1, max_size=6, unique_by=lambda a: a["index"]), st.data())
def test_all_conditions_of_a_rule_must_hold(arguments: list[dict[str, Any]], data: st.DataObject) -> None:
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": arguments}
    run = Filter(seccomp.compile_profile(deny_all(rule), "x86_64"))
    values = interesting({a["value"] for a in arguments} | {a["valueTwo"] for a in arguments})
    for vector in data.draw(st.lists(st.lists(st.sampled_from(values), min_size=6, max_size=6), min_size=10)):
        holds = all(TRUTH[a["op"]](vector[a["index"]], a["value"], a["valueTwo"]) for a in arguments)
        assert run(0, vector) == (ALLOW if holds else EPERM)


def test_two_conditions_on_one_argument_are_alternatives_as_in_runc() -> None:
    rule = allow("read", condition(0, "EQ", 3), condition(0, "EQ", 5))
    run = Filter(seccomp.compile_profile(deny_all(rule), "x86_64"))
    assert [run(0, [value]) for value in (3, 4, 5)] == [ALLOW, EPERM, ALLOW]


def test_a_rule_without_conditions_comes_before_those_with() -> None:
    strict = {"names": ["read"], "action": "SCMP_ACT_KILL_PROCESS"}
    for rules in ([strict, allow("read", condition(0, "EQ", 3))], [allow("read", condition(0, "EQ", 3)), strict]):
        assert Filter(seccomp.compile_profile(deny_all(*rules), "x86_64"))(0, [3]) == 0x80000000


def test_conditional_rules_are_tried_in_their_order() -> None:
    deny = {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": [condition(0, "GE", 5)]}
    run = Filter(seccomp.compile_profile(deny_all(deny, allow("read", condition(0, "LE", 10))), "x86_64"))
    assert [run(0, [value]) for value in (4, 7, 11)] == [ALLOW, 0x50005, 0x50005]


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_newer_than_the_profile_get_enosys_as_in_runc(machine: str) -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": [allow("openat2")]}
    run = Filter(seccomp.compile_profile(profile, machine))
    verdicts = [run(number, audit=AUDIT[machine]) for number in (436, 437, 438, 471, 500, 511, 600, 0x3FFFFFFF)]
    assert verdicts == [EPERM, ALLOW, ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS]


def test_under_a_default_that_kills_only_calls_no_kernel_has_get_enosys() -> None:
    profile = {"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [allow("read")]}
    run = Filter(seccomp.compile_profile(profile, "x86_64"))
    assert [run(number) for number in (0, 1, 471, 472)] == [ALLOW, 0x80000000, 0x80000000, ENOSYS]


@pytest.mark.parametrize("action", ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"])
def test_under_a_permissive_default_new_calls_get_the_default(action: str) -> None:
    profile = {"defaultAction": action, "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO"}]}
    run = Filter(seccomp.compile_profile(profile, "x86_64"))
    assert [run(number) for number in (165, 472, 548)] == [EPERM, run(0), run(0)]


@pytest.mark.parametrize("profile", [
    default_profile(set(), "x86_64"),
    {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
])  # fmt: skip
def test_i386_and_x32_calls_are_closed_whatever_the_profile_says(profile: dict[str, Any]) -> None:
    run = Filter(seccomp.compile_profile(profile, "x86_64"))
    assert {run(number, audit=I386) for number in range(600) if number not in (1, 252)} == {ENOSYS}
    assert {run(1, audit=I386), run(252, audit=I386)} == {ALLOW}  # exit(2): or musl's exit would never return
    assert {run(number | 0x40000000) for number in range(600)} == {ENOSYS}
    assert {run(number) for number in range(512, 548)} == {ENOSYS}
    assert run(-1) == ENOSYS


def test_arm_calls_are_closed_on_aarch64() -> None:
    run = Filter(seccomp.compile_profile(default_profile(set(), "aarch64"), "aarch64"))
    assert {run(number, audit=ARM) for number in range(600) if number not in (1, 248)} == {ENOSYS}


def test_calls_of_another_abi_are_killed_where_the_default_kills() -> None:
    run = Filter(seccomp.compile_profile({"defaultAction": "SCMP_ACT_KILL_PROCESS"}, "x86_64"))
    assert {run(0, audit=I386), run(1, audit=I386), run(0x40000000), run(520)} == {0x80000000}


def test_rules_that_differ_in_one_argument_are_searched_together() -> None:
    rules = [allow("read", condition(0, "EQ", 16), condition(2, "EQ", value)) for value in range(0, 100, 2)]
    run = Filter(seccomp.compile_profile(deny_all(*rules), "x86_64"))
    assert [run(0, [16, 7, value]) for value in (0, 1, 98, 99, 100)] == [ALLOW, EPERM, ALLOW, EPERM, EPERM]
    assert run(0, [15, 7, 0]) == run(0, [16, 7, 1 << 32]) == EPERM
    assert run.longest_path() < 25


def test_the_default_program_is_short() -> None:
    run = Filter(seccomp.compile_profile(default_profile(set(), "x86_64"), "x86_64"))
    assert len(run) < 130
    assert run.longest_path() < 30
    assert len(run) * 3 < len(Filter(libseccomp_compile(default_profile(set(), "x86_64"), "x86_64")))


def test_a_program_of_more_than_4096_instructions_is_refused() -> None:
    rules = [allow("read", condition(0, "EQ", i << 32 | i), condition(1, "EQ", i << 33)) for i in range(2000)]
    with pytest.raises(InvalidArgument, match="BPF instructions, the kernel takes 4096"):
        seccomp.compile_profile(deny_all(*rules), "x86_64")


@pytest.mark.parametrize(("profile", "message"), [
    ({}, "no defaultAction"),
    ({"defaultAction": "ALLOW"}, "unknown seccomp action 'ALLOW'"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}, "SCMP_ACT_ALLOW takes no errnoRet"),
    ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}, "errnoRet is 4096"),
    ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": -1}, "errnoRet is -1"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["FLAG"]}, "unknown seccomp flag 'FLAG'"),
    (deny_all({"action": "SCMP_ACT_ALLOW"}), "names None"),
    (deny_all({"names": "read", "action": "SCMP_ACT_ALLOW"}), "names 'read'"),
    (deny_all({"names": ["read"]}), "unknown seccomp action None"),
    (deny_all(allow("read", condition(6, "EQ", 1))), "index 6"),
    (deny_all(allow("read", condition(0, "EQ", -1))), "value -1"),
    (deny_all(allow("read", condition(0, "EQ", 1 << 64))), "value 18446744073709551616"),
    (deny_all(allow("read", condition(0, "LIKE", 1))), "unknown seccomp operator 'SCMP_CMP_LIKE'"),
])  # fmt: skip
def test_what_is_no_profile_is_said_to_be_none(profile: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message.replace("(", r"\(")) as caught:
        seccomp.compile_profile(profile, "x86_64")
    assert caught.value.hint


def test_a_machine_without_a_table_is_refused() -> None:
    with pytest.raises(HostNotCapable, match="no system call table for s390x"):
        seccomp.compile_profile(deny_all(), "s390x")


# --- cache ---

PROFILE = default_profile({"CAP_CHOWN"}, os.uname().machine)


def cached_file(folder: Path) -> Path:
    return next(folder.glob("seccomp-*.bpf"))


def test_the_cache_gives_the_same_program(tmp_path: Path) -> None:
    first = seccomp.compile_cached(PROFILE, tmp_path / "cache")
    assert first == seccomp.compile_profile(PROFILE, os.uname().machine)
    before = cached_file(tmp_path / "cache").stat()
    assert seccomp.compile_cached(json.loads(json.dumps(PROFILE)), tmp_path / "cache") == first
    after = cached_file(tmp_path / "cache").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert after.st_mode & 0o777 == 0o600
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".bpf"]


def _allow_everything(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:32] + bytes.fromhex("060000000000ff7f"))


@pytest.mark.parametrize("damage", [
    _allow_everything,
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-3]),
    lambda path: path.write_bytes(path.read_bytes() + bytes(8)),
    lambda path: path.chmod(0o666),
    lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    lambda path: (path.unlink(), os.mkfifo(path, 0o600)),
    lambda path: (path.unlink(), path.mkdir(0o700), path.rmdir(), path.write_bytes(b"x" * 100_000)),
])  # fmt: skip
def test_a_cached_program_that_was_touched_is_made_again(tmp_path: Path, damage: Any) -> None:
    program = seccomp.compile_cached(PROFILE, tmp_path)
    damage(cached_file(tmp_path))
    assert seccomp.compile_cached(PROFILE, tmp_path) == program
    assert cached_file(tmp_path).read_bytes()[32:] == program


@pytest.mark.as_root
def test_a_cached_program_of_somebody_else_is_made_again(tmp_path: Path) -> None:
    program = seccomp.compile_cached(PROFILE, tmp_path)
    os.chown(cached_file(tmp_path), 1000, 1000)
    assert seccomp.compile_cached(PROFILE, tmp_path) == program
    assert cached_file(tmp_path).stat().st_uid == 0


def test_another_profiles_program_in_its_place_is_not_taken(tmp_path: Path) -> None:
    program = seccomp.compile_cached(PROFILE, tmp_path)
    name = cached_file(tmp_path).name
    seccomp.compile_cached({"defaultAction": "SCMP_ACT_ALLOW"}, tmp_path)
    other = next(path for path in tmp_path.glob("*.bpf") if path.name != name)
    other.replace(tmp_path / name)
    assert seccomp.compile_cached(PROFILE, tmp_path) == program


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert seccomp.compile_cached(PROFILE, tmp_path / "file" / "cache")


def test_a_cached_program_is_there_in_a_third_of_a_millisecond(tmp_path: Path) -> None:
    seccomp.compile_cached(PROFILE, tmp_path)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        seccomp.compile_cached(PROFILE, tmp_path)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.0003


def test_notify_is_refused_since_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="SCMP_ACT_NOTIFY needs a seccomp agent"):
        seccomp.compile_cached(deny_all({"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}), tmp_path)


def test_the_version_is_raised_when_programs_change() -> None:
    """If this fails, raise seccomp.VERSION and put the new digest here: cached programs of old are then not used."""
    rules = [
        allow("read"), allow("write", condition(0, "LE", 2)), allow("clone", condition(0, "MASKED_EQ", 0x7E020000)),
        allow("openat", condition(0, "NE", 7), condition(1, "GT", 1 << 40)),
    ]  # fmt: skip
    programs = [seccomp.compile_profile(deny_all(*rules), machine) for machine in MACHINES]
    digests = [hashlib.sha256(program).hexdigest()[:16] for program in programs]
    assert (seccomp.VERSION, digests) == (1, ["d3891ffa0ef55805", "0d27b44bc5fcab6d"])


# --- the kernel ---


def under(profile: dict[str, Any], code: str, tmp_path: Path, flags: str = "[]") -> subprocess.CompletedProcess[str]:
    """Run `code` in a process of its own after loading the profile; it needs no privileges, only no_new_privs."""
    program = seccomp.compile_profile(profile, os.uname().machine)
    (tmp_path / "program").write_bytes(program)
    text = (
        "import ctypes, os, sys, errno\n"
        "from nbcontainers.linux import seccomp, process\n"
        f"program = open({str(tmp_path / 'program')!r}, 'rb').read()\n"
        "process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)\n"
        "before = set(sys.modules)\n"
        f"seccomp.load(program, {flags})\n"
        "assert set(sys.modules) == before\n" + code
    )
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=20, check=False)


def test_the_kernel_obeys(tmp_path: Path) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71, "args": [condition(1, "EQ", 0)]},
    ]}  # fmt: skip
    code = """
for call in (lambda: os.mkdir("/tmp/x"), lambda: os.kill(os.getpid(), 0), lambda: os.kill(os.getpid(), 18)):
    try: call(); print("allowed")
    except OSError as error: print(errno.errorcode[error.errno])
"""
    assert under(profile, code, tmp_path).stdout.split() == ["ENOTSUP", "EPROTO", "allowed"]


def test_a_process_that_is_to_be_killed_is_killed(tmp_path: Path) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_KILL_PROCESS"}]}
    assert under(profile, "os.sync()", tmp_path).returncode == -31  # SIGSYS


def test_every_flag_is_taken_by_the_kernel(tmp_path: Path) -> None:
    done = under({"defaultAction": "SCMP_ACT_ALLOW"}, "print('in')", tmp_path, flags=repr(list(seccomp.FLAGS)))
    assert (done.stdout, done.stderr) == ("in\n", "")


def test_an_ordinary_python_lives_under_the_default_profile(tmp_path: Path) -> None:
    code = """
import socket, subprocess, tempfile, threading, sqlite3, asyncio
subprocess.run(["true"], check=True)
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
socket.socketpair(); socket.socket()
print(asyncio.run(asyncio.sleep(0, "loop")))
"""
    done = under(default_profile(set(), os.uname().machine), code, tmp_path)
    assert (sorted(done.stdout.split()), done.stderr) == (["loop", "thread"], "")


def test_a_refused_program_names_the_call() -> None:
    with pytest.raises(OSError, match=r"seccomp: (Invalid argument|Permission denied)") as caught:
        seccomp.load(b"\xff" * 8)
    assert caught.value.errno == (22 if os.geteuid() == 0 else 13)  # who has no privilege is told that first
