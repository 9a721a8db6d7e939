"""What a container gets when nothing is asked for: the stricter of Docker's and Podman's choice, item by item.

Sources: moby `oci/defaults.go` and `profiles/seccomp`, containers/common `pkg/config/default.go` (both 2026).
"""

from __future__ import annotations

from typing import Any

OCI_VERSION = "1.2.0"

#: Podman's eleven: Docker's without AUDIT_WRITE, MKNOD and NET_RAW.
CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",
    "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
)  # fmt: skip

#: The union of both engines' lists.
MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware", "/sys/fs/selinux",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PIDS_LIMIT = 2048
SHM_SIZE = 64 * 2**20
UMASK = 0o022
STOP_SIGNAL = "SIGTERM"
STOP_TIMEOUT = 10
DETACH_KEYS = "ctrl-p,ctrl-q"
#: Podman's, where the host allows as many.
OPEN_FILES = 1048576
CPU_PERIOD = 100_000

NAMESPACES = ("pid", "mount", "uts", "ipc", "network", "cgroup", "time")

#: The nodes every container has (config-linux.md, Default Devices) and its terminals: c major:minor.
DEVICES = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2))
_PSEUDO_TERMINALS = 136

#: Docker's two: no privilege is needed to ping or to listen on port 80 of a network of one's own.
NETWORK_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}

SYSFS = {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}
CGROUP = {
    "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
    "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
}  # fmt: skip


def mounts(shm_size: int, *, terminal_group: bool) -> list[dict[str, Any]]:
    """/proc, /dev and what is in it. `terminal_group`: whether gid 5 (tty) exists in our user namespace."""
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    return [
        _mount("/proc", "proc", ["nosuid", "noexec", "nodev"]),
        _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount("/dev/pts", "devpts", terminals + ["gid=5"] * terminal_group),
        _mount("/dev/shm", "tmpfs", ["nosuid", "noexec", "nodev", "mode=1777", f"size={shm_size}"], "shm"),
        _mount("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
    ]


def _mount(destination: str, kind: str, options: list[str], source: str = "") -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source or kind, "options": options}


def device_rules() -> list[dict[str, Any]]:
    """The device cgroup: nothing but the standard nodes; not even making other nodes, for which MKNOD is missing."""
    allowed: list[tuple[int, int | None]] = [*DEVICES, (_PSEUDO_TERMINALS, None)]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    for major, minor in allowed:
        numbers = {"major": major} if minor is None else {"major": major, "minor": minor}
        rules.append({"allow": True, "type": "c", **numbers, "access": "rwm"})
    return rules
