"""Virtual machines: each execution boots one with the same image, runs the command in it, and powers off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from nbcontainers.compare.target import Execute, Missing, Plan, Sink, Target
from nbcontainers.engine import default_engine
from nbcontainers.errors import HostNotCapable
from nbcontainers.vm import api, choice
from nbcontainers.vm.hardware import KVM, TCG, UML
from nbcontainers.vm.options import MachineOptions


_KINDS = {KVM: "QEMU, KVM", UML: "user-mode-linux", TCG: "emulation, QEMU TCG"}


class Machine:
    """Its kernel, and how its processor is made, stand in its label wherever a number of it stands."""

    kind = "vm"

    def __init__(self, name: str) -> None:
        self.name = name
        self.wanted = name.partition(":")[2] or "auto"

    @property
    def label(self) -> str:
        found = self._chosen()
        return self.name if isinstance(found, Missing) else f"vm ({_KINDS[found.kind]})"

    def missing(self, plan: Plan) -> Missing | None:
        if isinstance(found := self._chosen(), Missing):
            return found
        if plan.limits.cpus and plan.limits.cpus != int(plan.limits.cpus):
            return Missing(f"a virtual machine has whole processors, not {plan.limits.cpus:g}", "write --cpus 1")
        return None

    def facts(self) -> dict[str, str]:
        found = self._chosen()
        if isinstance(found, Missing):
            return {}
        return {"accelerator": found.kind, "kernel": found.kernel.release, "why": found.reason,
                "limits": "memory and processors of the machine; no cgroup, not pinned"}  # fmt: skip

    def _chosen(self) -> choice.Choice | Missing:
        try:
            return choice.choose(default_engine(), self.wanted)
        except HostNotCapable as error:
            return Missing(error.message, error.hint)

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[Execute]:
        def execute(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
            done = api.run(plan.image, *command, stdout=stdout, stderr=stderr, raise_error=False, engine=plan.engine,
                           **self._options(plan))  # fmt: skip
            return done.exit_code if done.exit_code is not None else 125

        yield execute

    def _options(self, plan: Plan) -> MachineOptions:
        options: MachineOptions = {
            "kind": self.wanted, "entrypoint": "", "pull": "never", "env": plan.variables(),
            "volume": [f"{plan.volume}:/nbc-volume"],
        }  # fmt: skip
        if plan.limits.memory is not None:
            options["memory"] = plan.limits.memory
        if plan.limits.cpus is not None:
            options["cpus"] = plan.limits.cpus
        return options

    def idle(self, plan: Plan) -> AbstractContextManager[list[int]] | None:
        return None


NAMES: dict[str, Callable[[], Target]] = {name: partial(Machine, name) for name in ("vm", "vm:kvm", "vm:tcg", "vm:uml")}
