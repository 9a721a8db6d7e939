"""The protocol every kind of cgroup follows, and the constants they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from nbcontainers.cgroups.sampler import Sampler

#: The folder that holds all our containers, in each hierarchy.
PARENT = "nbcontainers"

#: No program starts in less (bytes); the spec builder refuses it with the same number.
MEMORY_MINIMUM = 512 * 1024

Resources = dict[str, Any]
"""`linux.resources` of an OCI configuration (config-linux.md, Control groups)."""

Limits = dict[str, Any]
"""Limits in force, in the shape of `Resources`, each read back from the kernel; -1 is no limit."""


class Cgroup(Protocol):
    """One container's cgroup, in as many hierarchies as the host has.

    Order of use: `create`, `apply`, `join_files` and `clone_fd` (the child joins), `sampler`, …, `destroy`.
    """

    #: JSON; enough for `detect.open_record` in another process. Complete after `apply`.
    record: dict[str, Any]

    @property
    def limits(self) -> Limits:
        """What the last `apply` returned; empty before."""

    def create(self) -> None:
        """Make the folders. Raises InvalidState if the cgroup exists or would be frozen, HostNotCapable."""

    def apply(self, resources: Resources) -> Limits:
        """Set limits and read each one back. Raises HostNotCapable, InvalidArgument; what was set stays set."""

    def join_files(self) -> list[int]:
        """v1: descriptors (O_WRONLY, O_CLOEXEC) into which the child writes b"0" itself; the caller closes them."""

    def clone_fd(self, beside: int = 0) -> int | None:
        """v2: a directory descriptor for CLONE_INTO_CGROUP; the caller closes it. None where there is no v2 tree.

        `beside` (a pid) asks for the cgroup that process is in: a container with cgroups of its own, as systemd makes
        them, has none in its first one, and the kernel says EBUSY to whoever goes there.

        Where clone3(2) is not to be had (ENOSYS in many an outer container) the child opens `cgroup.procs` below
        this descriptor and writes b"0".
        """

    def procs(self) -> list[int]:
        """The pids of all processes inside, also in cgroups the container made below its own."""

    def kill(self) -> None:
        """SIGKILL to every process inside, frozen ones too; returns without waiting for their end."""

    def freeze(self) -> None:
        """Stop everything inside; returns when it has stopped."""

    def thaw(self) -> None: ...

    @property
    def frozen(self) -> bool: ...

    def destroy(self) -> None:
        """Kill what is left and remove the folders; nothing to do is fine. Raises InvalidState saying what stays."""

    def sampler(self) -> Sampler:
        """A reader of all counters with its files kept open."""
