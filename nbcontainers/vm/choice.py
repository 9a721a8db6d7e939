"""Which kind of virtual machine this host can have: KVM where a kernel was seen to boot in it, user-mode-linux, or QEMU's
translator, which is emulation."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.errors import Error, HostNotCapable
from nbcontainers.vm import kernel, probe, registers
from nbcontainers.vm.hardware import KVM, TCG, UML
from nbcontainers.vm.kernel import Kernel

QEMU = "qemu-system-x86_64"
_DEVICE = "/dev/kvm"


@dataclass(frozen=True)
class Choice:
    """What boots: `program` is QEMU's path, or the kernel's own of user-mode-linux; `reason` says why this kind."""

    kind: str
    program: str
    kernel: Kernel
    reason: str
    preload: str = ""


def choose(engine: Engine, wanted: str, given: str = "", *, network: bool = False) -> Choice:
    """The kind asked for, or of `auto` the first that works; with QEMU's network only those of QEMU. Raises HostNotCapable, which says
    what each one lacks."""
    if network and wanted == UML:
        raise HostNotCapable(
            "--network user is QEMU's, and user-mode-linux is none",
            hint="take --kind tcg or kvm, or a network of network ls",
        )
    if wanted != "auto":
        return _MAKE[wanted](engine, given, "as asked")
    lacking: list[str] = []
    reasons: list[str] = []
    for kind in kernel.kinds_of(Path(given)) if given else (KVM, UML, TCG):
        if kind == KVM and (why := no_kvm()):
            reasons.append(f"no KVM: {why}")
            continue
        if kind == UML and network:
            reasons.append("no uml: --network user is QEMU's")
            continue
        try:
            return _MAKE[kind](engine, given, "; ".join(reasons))
        except HostNotCapable as error:
            reasons.append(f"no {kind}: {error.message}")
            lacking.append(error.hint)
    raise HostNotCapable(
        f"no virtual machine can run here: {'; '.join(reasons)}", hint=" or ".join(dict.fromkeys(filter(None, lacking)))
    )


def no_kvm() -> str:
    """Why KVM cannot work here; "" where it may, which only a boot proves."""
    if not os.path.exists(_DEVICE):
        return "there is no /dev/kvm"
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened"
    if os.path.exists("/sys/module/kvm_pvm"):
        return "/dev/kvm is kvm_pvm's, which boots no stock kernel"
    flags = re.search(r"\b(vmx|svm)\b", Path("/proc/cpuinfo").read_text())
    modules = [name for name in ("kvm_intel", "kvm_amd") if os.path.exists(f"/sys/module/{name}")]
    return "" if flags or modules else "the processor offers neither vmx nor svm"


def _user_mode(engine: Engine, given: str, reason: str) -> Choice:
    found = kernel.find(engine, uml=True, given=given)
    return Choice(UML, str(found.path), found, reason, registers.shim(engine, found.release))


def _emulated(engine: Engine, given: str, reason: str) -> Choice:
    return Choice(TCG, _qemu(), kernel.find(engine, uml=False, given=given), reason)


def _accelerated(engine: Engine, given: str, reason: str) -> Choice:
    """Only where a boot has proved it, once a kernel, processor and QEMU."""
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        raise HostNotCapable(f"no KVM here: {no_kvm()}", hint="take --kind uml or --kind tcg")
    found = Choice(KVM, _qemu(), kernel.find(engine, uml=False, given=given), reason or "a kernel was seen to boot")
    if problem := _proved(engine, found):
        raise HostNotCapable(f"KVM is here, but no kernel boots in it: {problem}", hint="take --kind uml or --kind tcg")
    return found


_MAKE = {UML: _user_mode, TCG: _emulated, KVM: _accelerated}


def _qemu() -> str:
    if path := shutil.which(QEMU):
        return path
    raise HostNotCapable(f"{QEMU} is not installed here", hint="apt-get install qemu-system-x86")


def _proved(engine: Engine, choice: Choice) -> str:
    """What went wrong in the trial boot, "" for nothing; remembered until the host starts anew, for this kernel, QEMU and processor."""
    started = Path("/proc/sys/kernel/random/boot_id").read_text().strip()  # a busy host may boot better next time
    stamps = [f"{path}:{os.stat(path).st_mtime_ns}" for path in (choice.program, choice.kernel.path)]
    key = " ".join([started, _processor(), *stamps])
    path = engine.cache / "vm" / "kvm.json"
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        known = {}
    if known.get("key") != key:
        try:
            probe.boot(engine, choice.kind, choice.program, choice.kernel)
            known = {"key": key, "problem": ""}
        except Error as error:
            known = {"key": key, "problem": error.message}
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(json.dumps(known))
    return str(known["problem"])


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else ""
