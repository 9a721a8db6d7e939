"""The handle of a container: its id and its engine. Everything else is read from the disk when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, Unpack

from nbcontainers import view
from nbcontainers.container import store
from nbcontainers.engine import Engine, default_engine
from nbcontainers.errors import InvalidArgument

if TYPE_CHECKING:
    import pandas

    from nbcontainers.container.isolation.xray import XRay
    from nbcontainers.container.log import Log
    from nbcontainers.container.metrics import Plot
    from nbcontainers.container.options import LogOptions, UpdateOptions
    from nbcontainers.container.session import Sink, Source
    from nbcontainers.container.terminal import Terminal
    from nbcontainers.image.image import Image
    from nbcontainers.table import Table

Document = dict[str, Any]

RUNNING, ENDED = ("running", "paused", "restarting"), ("created", "exited", "dead")
"""States with a program that runs or will again by itself, and without one; between them is `stopping`."""


@dataclass(frozen=True)
class Kept:
    """What is left of a container that was removed at its end (--rm): its records, log and samples."""

    record: Mapping[str, Any]
    ended: Mapping[str, Any]
    log: bytes = b""
    metrics: bytes = b""


@dataclass(frozen=True)
class Container:
    """One container. Sizes are bytes, times seconds; what this host could not measure is None.

    Properties raise NotFound once the container is removed, but for one that `run` itself removed at its end.
    As a context manager it is removed on leaving.
    """

    engine: Engine
    id: str
    kept: Kept | None = field(default=None, compare=False, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self.removed:
            self.rm(force=True)

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def record(self) -> Mapping[str, Any]:
        """container.json: what was asked for when it was made."""
        return self.kept.record if self.kept else store.read(self.engine, self.id, "container.json")

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def name(self) -> str:
        return str(self.record["name"])

    @property
    def image(self) -> str:
        """The reference it was made from."""
        return str(self.record["image"])

    @property
    def command(self) -> list[str]:
        return list(self.record["command"])

    @property
    def created(self) -> str:
        """RFC 3339, UTC, with nanoseconds."""
        return str(self.record["created"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.record["labels"])

    # -- how it is -------------------------------------------------------------------------------------------------

    @property
    def removed(self) -> bool:
        return not os.path.isdir(store.folder(self.engine, self.id))

    @property
    def status(self) -> str:
        """`created`, `running`, `paused`, `stopping` (its program has ended, its monitor tidies), `exited`, `restarting`
        (its policy starts it again in a moment), or `dead`: its monitor was killed (`system prune` tidies up)."""
        return "exited" if self.kept else status(self.engine, self.id)

    @property
    def running(self) -> bool:
        return self.status in RUNNING

    @property
    def pid(self) -> int | None:
        """Of its pid 1, as the host sees it; None unless it runs."""
        state = store.state(self.engine, self.id)
        return int(state["pid"]) if store.alive(state) else None

    @property
    def addresses(self) -> dict[str, list[str]]:
        """By network its addresses; empty unless it runs."""
        from nbcontainers.container.endpoints import addresses

        return addresses(self)

    @property
    def ip(self) -> str | None:
        """Its first address; None unless it runs on a network."""
        return next((found for several in self.addresses.values() for found in several), None)

    @property
    def ports(self) -> dict[str, list[str]]:
        """By port (`80/tcp`) where the host listens for it (`0.0.0.0:8080`); empty unless it runs."""
        from nbcontainers.container.endpoints import published

        found: dict[str, list[str]] = {}
        for inner, where in published(self):
            found.setdefault(inner, []).append(where)
        return found

    # -- how it ended and what it used -----------------------------------------------------------------------------

    @property
    def ended(self) -> Mapping[str, Any]:
        """exit.json; empty while it has not ended."""
        return self.kept.ended if self.kept else store.ended(self.engine, self.id)

    @property
    def exit_code(self) -> int | None:
        """0 to 255; 128 + n after signal n."""
        return self.ended.get("exit_code")

    @property
    def reason(self) -> str | None:
        """`exited`, `signal`, `oom` or `error`."""
        return self.ended.get("reason")

    @property
    def signal(self) -> int | None:
        """The signal that ended pid 1."""
        return self.ended.get("signal")

    @property
    def oom_killed(self) -> bool:
        """Whether the kernel killed a process of it for lack of memory."""
        return bool(self.ended.get("oom_killed"))

    @property
    def started_at(self) -> str | None:
        from nbcontainers.container.usage import started_at

        return started_at(self)

    @property
    def finished_at(self) -> str | None:
        return self.ended.get("finished_at")

    @property
    def wall_s(self) -> float | None:
        """From start to end; so far, while it runs."""
        from nbcontainers.container.usage import elapsed

        return elapsed(self)

    @property
    def limits(self) -> Mapping[str, Any]:
        """The limits in force, read back from the kernel, in the form of the runtime-spec's `linux.resources`."""
        from nbcontainers.container.usage import limits

        return limits(self)

    @property
    def usage(self) -> Mapping[str, float | int | None]:
        """What it used (see nbcontainers.cgroups.stats.Usage): at its end, or so far."""
        from nbcontainers.container.usage import usage

        return usage(self)

    @property
    def cpu_s(self) -> float | None:
        """Processor time, user and system together."""
        return self.usage.get("cpu_s")

    @property
    def user_s(self) -> float | None:
        return self.usage.get("user_s")

    @property
    def system_s(self) -> float | None:
        return self.usage.get("system_s")

    @property
    def throttled_s(self) -> float | None:
        """Time in which --cpus held it back."""
        return self.usage.get("throttled_s")

    @property
    def memory_peak(self) -> int | None:
        return _whole(self.usage.get("memory_peak"))

    @property
    def memory_limit(self) -> int | None:
        return _whole(self.usage.get("memory_limit"))

    @property
    def oom_kills(self) -> int | None:
        return _whole(self.usage.get("oom_kills"))

    @property
    def pids_peak(self) -> int | None:
        return _whole(self.usage.get("pids_peak"))

    @property
    def io_read_bytes(self) -> int | None:
        return _whole(self.usage.get("io_read_bytes"))

    @property
    def io_write_bytes(self) -> int | None:
        return _whole(self.usage.get("io_write_bytes"))

    def metrics(self) -> pandas.DataFrame:
        """The samples, one row each, with units in the columns' names: `nbcontainers.container.metrics.frame`."""
        from nbcontainers.container.metrics import frame
        from nbcontainers.container.usage import samples

        return frame(samples(self), {"container": self.name, "limits": dict(self.limits)})

    def plot(self) -> Plot:
        """Memory and processors over time against their limits, as a finished picture with its data."""
        from nbcontainers.container.metrics import plot
        from nbcontainers.container.usage import facts, samples

        return plot(samples(self), facts(self))

    # -- verbs -----------------------------------------------------------------------------------------------------

    def logs(self, **options: Unpack[LogOptions]) -> Log:
        """What it wrote so far; with `tail`, `since`, `until` and `timestamps` as for `container logs`."""
        from nbcontainers.container import log

        return log.read(self, log.Choice.parse(options))

    def start(self, **options: Any) -> Self:
        from nbcontainers.container import api

        api.start(self, **options)
        return self

    def attach(self, **options: Any) -> Self:
        """Follow it to its end, or until interrupted: `container attach`."""
        from nbcontainers.container import api

        api.attach(self, **options)
        return self

    def wait(self, timeout: float | None = None, condition: str = "stopped") -> int:
        """Until it has ended; returns its exit status. Raises TimedOut, which is a TimeoutError too."""
        from nbcontainers.container.waiting import wait

        return wait(self, condition, timeout)

    def stop(self, timeout: int | None = None) -> Self:
        from nbcontainers.container import api

        api.stop(self, time=timeout)
        return self

    def restart(self, timeout: int | None = None) -> Self:
        from nbcontainers.container import api

        api.restart(self, time=timeout)
        return self

    def pause(self) -> Self:
        """Hold every process of it still."""
        from nbcontainers.container import api

        api.pause(self)
        return self

    def unpause(self) -> Self:
        from nbcontainers.container import api

        api.unpause(self)
        return self

    def rename(self, name: str) -> Self:
        from nbcontainers.container import api

        api.rename(self, name)
        return self

    def update(self, **options: Unpack[UpdateOptions]) -> Self:
        """Change its limits: `container update`."""
        from nbcontainers.container import api

        api.update(self, **options)
        return self

    def kill(self, signal: str | int = "KILL") -> Self:
        from nbcontainers.container import api

        api.kill(self, signal=signal)
        return self

    def rm(self, *, force: bool = False, volumes: bool = False) -> None:
        from nbcontainers.container import api

        api.rm(self, force=force, volumes=volumes)

    def exec(
        self,
        *command: str,
        stdin: Source | None = None,
        stdout: Sink | None = None,
        stderr: Sink | None = None,
        **options: Any,
    ) -> Any:
        from nbcontainers.container import api

        return api.exec_(self, *command, stdin=stdin, stdout=stdout, stderr=stderr, **options)

    def terminal(self, *command: str, **options: Any) -> Terminal:
        """A terminal that goes on when the cell has ended: of one more command (`exec -it`), or its own (`attach`).

        A notebook page shows it; Python types into it with `write` and reads its screen as text.
        """
        from nbcontainers.container import opening

        return opening.execute(self, command, options) if command else opening.attach(self, **options)  # type: ignore[arg-type]

    def diff(self) -> Table:
        """What it changed in the files of its image: `container diff`."""
        from nbcontainers.container import api

        return api.diff(self)

    def commit(self, reference: str = "", **options: Any) -> Image:
        """An image of its image and what it changed: `container commit`."""
        from nbcontainers.container import api

        return api.commit(self, reference, **options)

    def cp(self, source: Any, destination: Any, **options: Any) -> None:
        """Copy files in or out: `container cp`. `:/path` is a path in this container; a pair names another."""
        from nbcontainers.container import api

        ends = [
            (self, one[1:]) if isinstance(one, str) and one.startswith(":") else one for one in (source, destination)
        ]
        api.cp(*ends, engine=self.engine, **options)

    def export(self, output: str) -> None:
        """Its files as one tar: `container export`."""
        from nbcontainers.container import api

        api.export(self, output=output)

    def top(self, *columns: str) -> Table:
        from nbcontainers.container import api

        return api.top(self, *columns)

    def stats(self) -> Table:
        from nbcontainers.container import api

        return api.stats(self)

    def xray(self) -> XRay:
        """What separates it from the host: `container xray`."""
        from nbcontainers.container import api

        return api.xray(self)

    def inspect(self) -> Document:
        from nbcontainers.container import api

        return api.inspect(self)[0]

    # -- how it shows itself ---------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return view.in_a_line(
            f"Container {self.short_id}", lambda: f"Container {self.name} {self.short_id} {self.status}"
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> view.Bundle:
        """The card."""
        from nbcontainers.container.usage import card

        return view.bundle(self, lambda: card(self))

    def _live_(self) -> tuple[str, dict[str, str]] | None:
        """The card that goes on, while there is something to look at; the page asks this process's own engine."""
        if self.kept or self.removed or self.engine != default_engine():
            return None
        return "card", {"container": self.name}


def get(container: str | Container, *, engine: Engine | None = None) -> Container:
    """The handle of a container, whoever started it: by its name, its id or the beginning of that. Raises NotFound."""
    return find(engine or default_engine(), container)


def find(engine: Engine, container: str | Container) -> Container:
    """The handle for a name, an id, the beginning of an id, or a handle. Raises NotFound, InvalidArgument."""
    if isinstance(container, Container):
        return container
    if not isinstance(container, str):
        raise InvalidArgument(f"{container!r} is no container", hint="give a handle, or the name or id as text")
    return Container(engine, store.find(engine, container))


def find_all(engine: Engine, containers: Sequence[str | Container]) -> list[Container]:
    return [find(engine, container) for container in containers]


def status(engine: Engine, id: str) -> str:
    """Docker's word for how a container is, from its files and its processes."""
    state = store.state(engine, id)
    if store.alive(state):
        return _living(engine, id, state)
    ended, monitor = store.ended(engine, id), store.state(engine, id, "monitor.json")
    if ended.get("restarting") and store.alive(monitor):
        return "restarting"
    if ended:
        return "exited"
    if state and store.alive(monitor):
        return "stopping"
    if store.alive(monitor) or not (state or monitor):
        return "created"
    return "dead" if not store.ended(engine, id) else "exited"  # it may just have written it


def _living(engine: Engine, id: str, state: Document) -> str:
    from nbcontainers.runtime.state import State

    return State(state, engine.run / id).status


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
