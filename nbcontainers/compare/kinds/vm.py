"""Virtual machines: each execution boots one with the same image, runs the command in it, and powers off."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread

from nbcontainers.compare.target import UNSYNCED, Execute, Missing, Plan, Sink, Target
from nbcontainers.engine import default_engine
from nbcontainers.errors import Error, HostNotCapable
from nbcontainers.image.store import resolve
from nbcontainers.vm import api, choice, disk, finding, running
from nbcontainers.vm.hardware import KVM, TCG, UML
from nbcontainers.vm.options import MachineOptions

_BOOTS_S = 120.0
_LOOKS, _LOOK_S = 20, 0.3
_FORGOTTEN = "what is written to its disk is thrown away with it, and never waited for"
_KINDS = {KVM: "QEMU, KVM", UML: "user-mode-linux", TCG: "emulation, QEMU TCG"}


class Machine:
    """Its kernel, and how its processor is made, stand in its label wherever a number of it stands."""

    kind = "vm"

    def __init__(self, name: str) -> None:
        self.name = name
        self.wanted = name.partition(":")[2] or "auto"
        self._made: dict[str, str] = {}
        """Facts of what it was last opened with."""

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
                "limits": "the machine's own; no cgroup", **self._made}  # fmt: skip

    def _chosen(self) -> choice.Choice | Missing:
        try:
            return choice.choose(default_engine(), self.wanted)
        except HostNotCapable as error:
            return Missing(error.message, error.hint)

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[Execute]:
        self._made = self._machine(plan)

        def execute(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
            done = api.run(plan.image, *command, stdout=stdout, stderr=stderr, raise_error=False, engine=plan.engine,
                           **self._options(plan))  # fmt: skip
            return done.exit_code if done.exit_code is not None else 125

        yield execute

    def _processors(self, plan: Plan) -> int:
        """As many as the others may use; user-mode-linux has one."""
        found = self._chosen()
        return 1 if isinstance(found, Missing) or found.kind == UML else plan.limits.width

    def _machine(self, plan: Plan) -> dict[str, str]:
        count, memory = self._processors(plan), plan.limits.memory or running.MEMORY
        made = {"machine": f"{memory >> 20} MiB, {count} processor{'s' * (count > 1)}"}
        if plan.limits.cpuset:
            elsewhere = "" if self.wanted == "uml" else ", its other threads elsewhere"
            made["pinned"] = f"its processor on the host's {plan.limits.cpuset}{elsewhere}"
        return made

    def _options(self, plan: Plan) -> MachineOptions:
        options: MachineOptions = {
            "kind": self.wanted, "entrypoint": "", "user": "0", "workdir": "/", "pull": "never", "env": {**plan.variables(), UNSYNCED: _FORGOTTEN},
            "volume": [f"{plan.volume}:/nbc-volume"],
        }  # fmt: skip
        if plan.published:
            options["publish"] = [f"127.0.0.1:{port}:{port}" for port in plan.published]
            options["kind"] = self._kind()
        if plan.limits.memory is not None:
            options["memory"] = plan.limits.memory
        if (count := self._processors(plan)) > 1:
            options["cpus"] = count
        if plan.limits.cpuset:
            options["cpuset_cpus"] = plan.limits.cpuset
        if plan.seconds is not None:
            options["timeout"] = plan.seconds
        return options

    def _kind(self) -> str:
        """The one that was chosen: a network of another kind would be another machine."""
        found = self._chosen()
        return self.wanted if isinstance(found, Missing) else found.kind

    def stored(self, plan: Plan) -> list[Path]:
        """The kernel, and the disk."""
        found = self._chosen()
        if isinstance(found, Missing):
            return []
        image = resolve(plan.engine, plan.image)
        return [Path(found.kernel.path), *([] if plan.on_host else [disk.place(plan.engine, image)])]

    def idle(self, plan: Plan) -> AbstractContextManager[list[int]] | None:
        return self._sleeping(plan)

    @contextmanager
    def _sleeping(self, plan: Plan) -> Iterator[list[int]]:
        """Its keeper, the program that is the machine, and those that serve it. It ends with us, whatever ends us."""
        name, told, failures = f"compare-{secrets.token_hex(6)}", Event(), list[str]()
        options: MachineOptions = {**self._options(plan), "name": name}

        def stay() -> None:
            try:
                api.run(plan.image, "sh", "-c", "echo; sleep 600", stdout=lambda data: told.set(), raise_error=False,
                        stderr=lambda data: None, engine=plan.engine, **options)  # fmt: skip
            except Error as error:
                failures.append(error.message)
            finally:
                told.set()

        thread = Thread(target=stay, daemon=True)
        thread.start()
        try:
            if not told.wait(_BOOTS_S):
                raise HostNotCapable(f"{self.name} did not boot within {_BOOTS_S:.0f} s")
            if failures:
                raise HostNotCapable(failures[0])
            keeper = finding.find(plan.engine, name).state.get("keeper")
            if keeper is None:
                raise HostNotCapable(f"{self.name} ended at once")
            yield [keeper, *_settled(keeper)]
        finally:
            with suppress(Error):
                api.kill(name, engine=plan.engine)
            thread.join(_BOOTS_S)


def _settled(keeper: int) -> list[int]:
    """Its descendants, once they stay the same: of user-mode-linux each process of the guest is one, and a boot has many."""
    seen: list[int] = []
    for _ in range(_LOOKS):
        if (now := _descendants(keeper)) == seen:
            break
        seen = now
        time.sleep(_LOOK_S)
    return seen


def _descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [one for child in map(int, children) for one in (child, *_descendants(child))]


NAMES: dict[str, Callable[[], Target]] = {name: partial(Machine, name) for name in ("vm", "vm:kvm", "vm:tcg", "vm:uml")}
