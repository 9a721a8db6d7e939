"""A trial boot: the kernel and our init, no image; whether the guest speaks within seconds."""

from __future__ import annotations

from nbcontainers.container import store
from nbcontainers.container.session import Session, Streams
from nbcontainers.engine import Engine
from nbcontainers.launcher import client
from nbcontainers.vm import initramfs, plans
from nbcontainers.vm.kernel import Kernel
from nbcontainers.vm.request import Command, Process, Request, Root

PATIENCE_S = 5.0
_MEMORY = 128 << 20


def boot(engine: Engine, kind: str, program: str, kernel: Kernel) -> None:
    """Boot it and power it off. Raises HostNotCapable where it does not, or not in time."""
    files = plans.modules_of(kernel, plans.PORTS)
    request = Request(
        Command(Process(["/bin/busybox", "true"], ["PATH=/bin"])), Root("none", "/", "bind"), "virtio",
        [initramfs.name_of(path) for path in files],
    )  # fmt: skip
    plan = plans.plan(
        engine, store.new_id(), kind=kind, program=program, kernel=kernel, files=files, request=request, memory=_MEMORY,
        boot_s=PATIENCE_S, run_s=PATIENCE_S,
    )  # fmt: skip
    channel = client.spawn(plans.KEEPER, plan=plan)
    with Session(channel, Streams().unheard()) as session:
        session.wait()
