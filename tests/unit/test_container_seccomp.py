"""The default profile's rules one by one, and profiles in Docker's and Podman's form."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcontainers.container.seccomp import chosen_profile, default_profile, read_profile, resolve_profile
from nbcontainers.errors import InvalidArgument
from nbcontainers.linux import seccomp, syscalls
from tests.bpf import ALLOW, AUDIT, ENOSYS, EPERM, Filter

MACHINES = ["x86_64", "aarch64"]
PODMAN = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",
          "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"}  # fmt: skip


class Verdicts:
    """What a profile says of calls by name."""

    def __init__(self, profile: dict[str, Any], machine: str) -> None:
        self.table = syscalls.numbers(machine)
        self.audit = AUDIT[machine]
        self.filter = Filter(seccomp.compile_profile(profile, machine))

    def __call__(self, name: str, *arguments: int) -> int:
        return self.filter(self.table[name], arguments, self.audit)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_kernels_attack_surface_is_closed_by_default(machine: str) -> None:
    verdict = Verdicts(default_profile(PODMAN, machine), machine)
    closed = """
        add_key bpf delete_module finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter
        io_uring_register io_uring_setup kcmp kexec_file_load kexec_load keyctl mount mount_setattr move_mount
        move_pages open_by_handle_at open_tree perf_event_open pivot_root process_madvise quotactl quotactl_fd reboot
        request_key sethostname setdomainname setns settimeofday clock_settime swapoff swapon syslog umount2 unshare
        userfaultfd vhangup acct mbind set_mempolicy pidfd_getfd lookup_dcookie nfsservctl"""
    assert {name: verdict(name) for name in closed.split() if verdict(name) != EPERM} == {}


@pytest.mark.parametrize("machine", MACHINES)
def test_what_programs_need_is_open(machine: str) -> None:
    verdict = Verdicts(default_profile(set(), machine), machine)
    names = "read openat execve futex mmap ptrace seccomp landlock_add_rule statx close_range rseq openat2 getrandom"
    assert {verdict(name) for name in names.split()} == {ALLOW}


@pytest.mark.parametrize("machine", MACHINES)
def test_new_namespaces_cannot_be_made(machine: str) -> None:
    verdict = Verdicts(default_profile(set(), machine), machine)
    thread = 0x3D0F00  # what pthread_create(3) passes
    assert verdict("clone", thread) == verdict("clone", 17) == ALLOW
    for flag in (0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00020000):
        assert verdict("clone", thread | flag) == EPERM
        assert verdict("clone", flag | 1 << 32) == EPERM
    assert verdict("clone3") == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_socket_families(machine: str) -> None:
    verdict = Verdicts(default_profile(set(), machine), machine)
    closed = [family for family in range(1, 46) if verdict("socket", family, 1, 0) != ALLOW]
    assert closed == [12, 19, 20, 23, 25, 34, 37, 38, 40]  # 38 is AF_ALG, 40 AF_VSOCK
    assert verdict("socket", 1 << 32 | 2) == verdict("socket", 46) == verdict("socket", (1 << 64) - 1) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_netlink_without_the_hosts_device_events(machine: str) -> None:
    verdict = Verdicts(default_profile(set(), machine), machine)
    assert [protocol for protocol in range(23) if verdict("socket", 16, 3, protocol) != ALLOW] == [15]
    assert verdict("socket", 16, 3, 15 | 1 << 32) == verdict("socket", 16, 3, 0xFFFFFFFF) == EPERM


def test_personalities() -> None:
    verdict = Verdicts(default_profile(set(), "x86_64"), "x86_64")
    assert {verdict("personality", value) for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)} == {ALLOW}
    assert {verdict("personality", value) for value in (0x40000, 0x0400000, 1 << 32)} == {EPERM}  # no ASLR, …


@pytest.mark.parametrize(("capability", "name"), [
    ("CAP_SYS_ADMIN", "mount"), ("CAP_SYS_ADMIN", "unshare"), ("CAP_SYS_ADMIN", "clone3"), ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"), ("CAP_SYS_MODULE", "init_module"), ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp"), ("CAP_SYS_RAWIO", "iopl"), ("CAP_SYS_TIME", "settimeofday"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"), ("CAP_SYS_NICE", "mbind"), ("CAP_SYSLOG", "syslog"), ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"), ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
])  # fmt: skip
def test_a_capability_opens_its_calls(capability: str, name: str) -> None:
    assert Verdicts(default_profile(PODMAN - {capability}, "x86_64"), "x86_64")(name) in (EPERM, ENOSYS)
    assert Verdicts(default_profile({capability}, "x86_64"), "x86_64")(name) == ALLOW


def test_a_container_with_sys_admin_may_make_namespaces() -> None:
    verdict = Verdicts(default_profile({"CAP_SYS_ADMIN"}, "x86_64"), "x86_64")
    assert verdict("clone", 0x10000000) == ALLOW


def test_the_default_profile_is_plain_json_and_always_the_same() -> None:
    profile = default_profile(PODMAN, "x86_64")
    assert json.loads(json.dumps(profile)) == profile == default_profile(set(PODMAN), "x86_64")
    assert profile["architectures"] == ["SCMP_ARCH_X86_64"]
    assert default_profile(PODMAN, "aarch64")["architectures"] == ["SCMP_ARCH_AARCH64"]


# --- Docker's form ---

DOCKERS = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": None},
    ],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": None, "comment": "", "includes": {}, "excludes": {}},
        {"name": "write", "action": "SCMP_ACT_ALLOW"},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["sync"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "5.10"}},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]}},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["modify_ldt"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
        {"names": ["chdir"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["arm64"]}},
    ],
}


def names(profile: dict[str, Any]) -> set[str]:
    return {name for rule in profile["syscalls"] for name in rule["names"]}


@pytest.mark.parametrize(("capabilities", "arch", "kernel", "expected"), [
    (set[str](), "x86_64", "6.1.0-18-amd64", {"ptrace", "clone3", "modify_ldt", "chdir"}),
    (set[str](), "aarch64", "6.1.0", {"ptrace", "clone3"}),
    (set[str](), "aarch64", "4.7.9-custom", {"sync", "clone3"}),
    (set[str](), "aarch64", "5.9", {"ptrace", "sync", "clone3"}),
    ({"CAP_SYS_ADMIN"}, "aarch64", "6.1.0", {"ptrace", "mount"}),
    ({"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"}, "aarch64", "5.10", {"ptrace", "mount", "kcmp"}),
])  # fmt: skip
def test_conditions_of_dockers_form(capabilities: set[str], arch: str, kernel: str, expected: set[str]) -> None:
    profile = resolve_profile(DOCKERS, capabilities, arch, kernel)
    assert names(profile) == {"read", "write"} | expected
    assert all(set(rule) <= {"names", "action", "errnoRet", "args"} for rule in profile["syscalls"])


def test_the_architectures_of_dockers_form() -> None:
    assert resolve_profile(DOCKERS, (), "x86_64")["architectures"] == [
        "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32",
    ]  # fmt: skip
    assert resolve_profile(DOCKERS, (), "aarch64")["architectures"] == ["SCMP_ARCH_AARCH64"]


def test_an_oci_profile_stays_as_it_is() -> None:
    profile = default_profile(PODMAN, "x86_64")
    assert resolve_profile(profile, set(), "x86_64") == profile


def test_podmans_error_names() -> None:
    document = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS", "syscalls": [
        {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errno": "EPERM"},
        {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errno": "EPERM", "errnoRet": 5},
    ]}  # fmt: skip
    profile = resolve_profile(document, (), "x86_64")
    assert profile["defaultErrnoRet"] == 38
    assert [rule["errnoRet"] for rule in profile["syscalls"]] == [1, 5]


@pytest.mark.may_skip("the file is of Podman's Debian package golang-github-containers-common")
def test_podmans_own_profile_is_understood() -> None:
    path = Path("/usr/share/containers/seccomp.json")
    if not path.exists():
        pytest.skip(f"no {path}")
    verdict = Verdicts(read_profile(str(path), PODMAN, os.uname().machine), os.uname().machine)
    assert verdict("read") == ALLOW
    assert verdict("kexec_load") != ALLOW


@pytest.mark.parametrize(("document", "message"), [
    ([], "a seccomp profile is a JSON object"),
    ({"architectures": ["SCMP_ARCH_X86"], "archMap": [{}]}, "both architectures and archMap"),
    ({"syscalls": "read"}, "not a list of objects"),
    ({"syscalls": ["read"]}, "not a list of objects"),
    ({"syscalls": [{"name": "read", "names": ["read"]}]}, "both name and names"),
    ({"defaultErrno": "EVERYTHING"}, "unknown error 'EVERYTHING'"),
    ({"syscalls": [{"names": ["read"], "includes": {"minKernel": "new"}}]}, "'new' is no kernel version"),
])  # fmt: skip
def test_a_damaged_profile_is_explained(document: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        resolve_profile(document, (), "x86_64")
    assert caught.value.hint


def test_what_security_opt_seccomp_takes(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(DOCKERS))
    assert chosen_profile("unconfined", PODMAN, "x86_64") is None
    assert chosen_profile("", PODMAN, "x86_64") == chosen_profile("builtin", PODMAN, "x86_64")
    assert chosen_profile("", PODMAN, "x86_64") == default_profile(PODMAN, "x86_64")
    read = chosen_profile(str(file), PODMAN, "x86_64")
    assert read is not None
    assert "read" in names(read)


@pytest.mark.parametrize(("content", "message"), [
    (None, "cannot read the seccomp profile"),
    (b"{", "is not JSON"),
    (b"\xff\xfe", "is not JSON"),
    (b" " * (1 << 20) + b"{}", "larger than 1 MiB"),
    (b"{}", "no defaultAction"),
    (b'{"defaultAction": "SCMP_ACT_DENY"}', "unknown seccomp action"),
    (b'{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"]}]}', "unknown seccomp action None"),
])  # fmt: skip
def test_a_file_that_is_no_profile_is_refused_at_once(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "profile.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidArgument, match=message) as caught:
        read_profile(str(file), (), "x86_64")
    assert caught.value.hint


KEYS = [
    "names", "name", "action", "args", "index", "value", "valueTwo", "op", "errno", "errnoRet", "includes", "excludes",
    "caps", "arches", "minKernel", "flags", "syscalls", "archMap", "architectures", "architecture", "subArchitectures",
]  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 1 << 65)
    | st.floats()
    | st.sampled_from(["read", "SCMP_ACT_ERRNO", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.sampled_from(["syscalls", "rule", "archMap", "top"]), st.sampled_from(KEYS), JSON)
def test_no_document_does_worse_than_an_explained_error(place: str, key: str, value: Any) -> None:
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW"} | ({key: value} if place == "rule" else {})
    document: dict[str, Any] = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}
    document |= {} if place == "rule" else {key if place == "top" else place: value}
    with contextlib.suppress(InvalidArgument):
        seccomp.compile_profile(resolve_profile(document, (), "x86_64"), "x86_64")
