"""No cgroup: nothing on this host that we may write to. Runs without limits, refuses every limit."""

from __future__ import annotations

from typing import Any

from nbcontainers.cgroups import hints
from nbcontainers.cgroups.cgroup import Limits, Resources
from nbcontainers.cgroups.layout import Layout
from nbcontainers.cgroups.sampler import Sampler
from nbcontainers.errors import HostNotCapable


class Null:
    """Killing is left to the pid namespace: when its init dies, the kernel kills the rest."""

    def __init__(self, record: dict[str, Any], layout: Layout) -> None:
        self.record = record
        self.layout = layout

    @property
    def limits(self) -> Limits:
        return {}

    def create(self) -> None:
        """There is nothing to make."""

    def apply(self, resources: Resources) -> Limits:
        """Device rules are left to the user namespace, where no device node can be made; root has none to be left to."""
        asked = sorted(key for key, value in resources.items() if _asks(value) and key != "devices")
        if resources.get("devices") and not self.record["rootless"]:
            asked.append("devices")
        if asked:
            raise HostNotCapable(
                f"this host gives us no cgroup, so nothing can enforce limits on {', '.join(asked)}",
                hint=hints.delegation(self.layout),
                controllers=asked,
            )
        return {}

    def join_files(self) -> list[int]:
        return []

    def clone_fd(self, beside: int = 0) -> int | None:
        return None

    def procs(self) -> list[int]:
        return []

    def kill(self) -> None:
        """Nothing to kill by."""

    def freeze(self) -> None:
        raise HostNotCapable("without a cgroup nothing can be paused", hint=hints.delegation(self.layout))

    def thaw(self) -> None:
        """Nothing is ever frozen."""

    @property
    def frozen(self) -> bool:
        return False

    def destroy(self) -> None:
        """There is nothing to remove."""

    def sampler(self) -> Sampler:
        """Every figure is -1; `stats.usage` falls back on the rusage of init."""
        return Sampler()


def _asks(section: object) -> bool:
    """Whether a section has any number or word in it that is a limit; -1, 0 and null are none."""
    if isinstance(section, dict):
        return any(_asks(value) for value in section.values())
    if isinstance(section, list):
        return bool(section)
    return section not in (None, False, 0, -1, "")
