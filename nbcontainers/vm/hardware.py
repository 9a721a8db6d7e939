"""The command lines of what runs a guest: QEMU, and user-mode-linux."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from typing import Any

from nbcontainers.vm.jail import DISK, INITRD, OWN

UML, TCG, KVM = "uml", "tcg", "kvm"
KINDS = (KVM, UML, TCG)
LABELS = {
    KVM: "virtual machine (QEMU, KVM)",
    UML: "guest kernel at native speed (user-mode-linux)",
    TCG: "emulation (QEMU TCG)",
}
LANES = 3
"""Commands that a guest runs at a time: its own, and others."""
KINDS_OF_PORTS = ("output", "errors", "input", "terminal")
PORTS = ("control", "kernel", *(f"{kind}{lane}" for lane in range(LANES) for kind in KINDS_OF_PORTS))
"""To the guest: words, its kernel's log, and of each lane (see vm/lanes.py) these four."""
BUSES = (
    ("control", "kernel", *(f"{kind}{lane}" for lane in (0, 1) for kind in KINDS_OF_PORTS[:-1])),
    (
        *(f"terminal{lane}" for lane in range(LANES)),
        *(f"{kind}{lane}" for lane in range(2, LANES) for kind in KINDS_OF_PORTS[:-1]),
    ),
)
"""How they are spread over devices of QEMU: each drops what it says of its ports beyond 32 messages, of which a port takes
three, one that is a terminal five. All terminals are on one, which gives them their numbers."""
_QUIET = "quiet panic=-1 printk.time=1 printk.devkmsg=on random.trust_cpu=on mitigations=auto cryptomgr.notests"
#: user-mode-linux tries every way to compute RAID 6 for a sixth of a second; nothing but such an array in a guest needs it.
_NO_TRIALS = "initcall_blacklist=raid6_select_algo"
#: TCG's TSC is the host's: calibrated on a busy host it makes the guest's seconds too short.
_CLOCK = "no_timer_check clocksource=hpet tsc=unstable"
_MIB = 1 << 20


def command(plan: Mapping[str, Any], initrd: int, ports: Sequence[int], servers: Sequence[int]) -> list[str]:
    """The program and its arguments. Of the plan: kind, program, kernel, memory (bytes), cpus, disk (a path or ""),
    folder, devices. The descriptors are inherited: the initramfs, one a port, one a server of `servers`; the kernel's own
    words go to stdout."""
    if plan["kind"] == UML:
        return user_mode(plan, ports)
    return [*qemu(plan, initrd, ports), *_shared(plan, servers)]


def user_mode(plan: Mapping[str, Any], ports: Sequence[int]) -> list[str]:
    """um(7): the kernel is the program. Its root disk is a copy-on-write file of this run over the image's. Paths are
    those of vm/jail.py."""
    lines = [f"ssl{number}=fd:{port}" for number, port in enumerate(ports)]
    disk = [f"ubd0={OWN}/cow,{DISK}" if plan.get("writes", True) else f"ubd0r={DISK}"] if plan["disk"] else []
    return [
        plan["kernel"], f"mem={plan['memory'] // _MIB}M", f"initrd={INITRD}", "rdinit=/init", f"uml_dir={OWN}/", "umid=vm",
        "con=null", "con0=null,fd:1", "console=tty0", "ssl=null", *lines, *disk, *_QUIET.split(), _NO_TRIALS, *plan.get("words", ()),
    ]  # fmt: skip


def qemu(plan: Mapping[str, Any], initrd: int, ports: Sequence[int]) -> list[str]:
    """qemu(1): machine q35, since microvm needs KVM; virtio for disk and ports. Writes to the disk are forgotten."""
    kvm = plan["kind"] == KVM
    clock = "tsc=reliable" if kvm else _CLOCK
    found = [
        plan["program"], "-M", f"q35,accel={plan['kind']}", "-cpu", "host" if kvm else "max",
        "-smp", str(plan["cpus"]), "-m", str(plan["memory"] // _MIB), "-nodefaults", "-no-user-config", "-display", "none",
        "-no-reboot", "-kernel", plan["kernel"], "-initrd", f"/proc/self/fd/{initrd}",
        "-append", f"console=ttyS0 rdinit=/init {_QUIET} {clock}",
        "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
        "-device", "virtio-serial-pci",
    ]  # fmt: skip
    for name, port in zip(PORTS, ports, strict=True):
        device = "virtconsole" if name.startswith("terminal") else "virtserialport"  # which is hvc0, hvc1, …
        found += ["-chardev", f"socket,id={name},fd={port}", "-device", f"{device},chardev={name},name={name}"]
    if plan["disk"]:
        drive = f"file={plan['disk'].replace(',', ',,')},if=none,id=root,format=raw,{'snapshot' if plan.get('writes', True) else 'readonly'}=on"
        found += ["-drive", drive, "-device", "virtio-blk-pci,drive=root"]
    return [*found, *plan.get("devices", ()), *plan.get("words", ()), *_sandbox(plan["program"])]


def _sandbox(program: str) -> list[str]:
    """The seccomp filter that QEMU gives itself: it starts no programs, and gains no privileges. Nothing for one built without."""
    with suppress(OSError), open(program, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        if content.find(b"libseccomp.so") >= 0:
            return ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    return []


def _shared(plan: Mapping[str, Any], servers: Sequence[int]) -> list[str]:
    """Devices of the folders that virtiofsd(1) shows; the guest's memory is shared with it."""
    if not servers:
        return []
    memory = f"memory-backend-memfd,id=ram,size={plan['memory'] // _MIB}M,share=on"
    found = ["-object", memory, "-numa", "node,memdev=ram"]
    for server, descriptor in zip(plan["servers"], servers, strict=True):
        tag = server["tag"]
        found += [
            "-chardev",
            f"socket,id={tag},fd={descriptor}",
            "-device",
            f"vhost-user-fs-pci,chardev={tag},tag={tag}",
        ]
    return found
