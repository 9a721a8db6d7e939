"""A container while it runs, as its monitor sees it: followed, sampled, listened for, and in the end recorded."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from functools import cached_property
from typing import Any, NamedTuple, Self

from nbcontainers.cgroups import stats
from nbcontainers.cgroups.cgroup import Cgroup
from nbcontainers.cgroups.detect import open_record
from nbcontainers.cgroups.sampler import Sampler
from nbcontainers.errors import NotFound
from nbcontainers.monitor import between, ending, events, health, protocol, recipe, restart, settle
from nbcontainers.monitor.checks import Checks
from nbcontainers.monitor.files import Document, Files, rfc3339
from nbcontainers.monitor.log import Log, open_log
from nbcontainers.monitor.peers import Peer
from nbcontainers.monitor.sampling import Sampling
from nbcontainers.monitor.stdio import Stdio
from nbcontainers.monitor.steps import Step
from nbcontainers.monitor.stop import Stop
from nbcontainers.monitor.watch import Watch
from nbcontainers.runtime import hooks
from nbcontainers.runtime.state import oci_state

SOCKET = "monitor.sock"
_LISTEN_AFTER_S = 0.03
#: Who sends one of these wants the container to end, and to stay so.
_LAST = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGKILL})


class Start(NamedTuple):
    """What is known from the start on; `monotonic` is the clock of time.monotonic, `limits` were read back."""

    pid: int
    pidfd: int
    started_ns: int
    monotonic: float
    limits: Document
    warnings: list[str]


class Running:
    """One running container. `follow` returns when the last trace of it is gone."""

    def __init__(
        self, files: Files, config: Document, settings: Document, steps: list[Step], cgroup: Cgroup,
        streams: Stdio, log: Log | None, start: Start, kept: recipe.Kept, history: restart.History | None = None,
        sampler: Sampler | None = None,
    ) -> None:  # fmt: skip
        self.files, self.config, self.settings, self.steps = files, config, settings, steps
        self.cgroup, self.streams, self.log, self.start = cgroup, streams, log, start
        self.listener: socket.socket | None = None
        self.sampler = sampler
        self.cpu = (0.0, 0)
        """When and what the last sample said of CPU time."""
        self.patience = settle.PATIENCE_S
        self.signalled = False
        self.fresh = True
        """Whether it has just started; not after a sleep."""
        self.trash: list[str] = []
        self.late = False
        """Whether the cgroup goes when the client knows of the end."""
        self.own_pids = _own_pid_namespace(config)
        self.watch = Watch(start.pidfd, streams, log)
        self.stop = Stop(self.watch, settings, cgroup.kill, start.pid if self.own_pids else None, self.thaw)
        self.history = history or restart.History()
        self.again = False
        """Whether it is stopped to be started anew."""
        self.checks = Checks(self, self.unwell)
        self.watch.on_lost = self.stop.begin
        self.watch.on_signal = self.on_signal
        self.kept = kept
        self.waking = recipe.serve(steps, kept, self.watch)
        """Descriptors of steps at which we must not sleep on."""
        self._catch_signals()

    def greet(self, peer: Peer) -> None:
        """Tell the client that the container runs. What can wait until after that, does."""
        if peer.owner:
            self.watch.timers["listen"] = (time.monotonic() + _LISTEN_AFTER_S, self.listen)
        else:
            self.listen()
        peer.send(self.greeting())
        self.watch.attach(peer)

    def greeting(self) -> bytes:
        start = self.start
        facts = {
            "pid": start.pid, "started_at": rfc3339(start.started_ns), "limits": start.limits,
            "warnings": start.warnings, "notes": recipe.notes(self.steps),
        }  # fmt: skip
        return protocol.frame(protocol.STARTED, json.dumps(facts).encode())

    def listen(self) -> None:
        """Take more peers at run/<id>/monitor.sock, whose path may be longer than sun_path (unix(7))."""
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        folder = os.open(self.files.state, os.O_PATH | os.O_CLOEXEC)
        mask = os.umask(0o177)
        try:
            self.listener.bind(f"/proc/self/fd/{folder}/{SOCKET}")
        finally:
            os.umask(mask)
            os.close(folder)
        self.listener.listen(8)
        self.watch.listen(self.listener.fileno(), self.greeting())

    def listen_on(self, descriptor: int | None) -> None:
        """Go on with the socket of an earlier run or another interpreter; None if there was none yet."""
        if descriptor is None:
            self.listen()
            return
        os.set_inheritable(descriptor, False)
        self.listener = socket.socket(fileno=descriptor)
        self.watch.listen(descriptor, self.greeting())

    def _catch_signals(self) -> None:
        """SIGTERM and SIGINT stop the container in order; the event loop hears of them through an eventfd."""
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

        def told(_: int) -> None:
            os.eventfd_read(event)
            self.stop.begin()

        def tell(*_: object) -> None:
            self.signalled = True
            os.eventfd_write(event, 1)

        for number in settle.SIGNALS:
            signal.signal(number, tell)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, settle.SIGNALS)
        self.watch.add(event, 1, told)

    def on_signal(self, document: Document) -> None:
        """K {"signal": n}; or {"stop": true} for the whole order of a stop, optionally with `signal` and `timeout`
        (seconds) of its own, and with `again` to start the container anew afterwards."""
        if document.get("stop"):
            self.again = bool(document.get("again"))
            self.stop.begin(document.get("signal"), document.get("timeout"))
            return
        number = document["signal"]
        if number in _LAST or number == self.stop.signal:
            restart.hold(self.files.state)
        self.watch.send_signal(document)
        if number == signal.SIGKILL:
            self.cgroup.kill()

    def thaw(self) -> None:
        """A paused process hears no signal."""
        try:
            if self.cgroup.frozen:
                self.cgroup.thaw()
        except OSError:  # it is gone, and the process with it
            return

    def unwell(self, action: str) -> None:
        """What --health-on-failure says."""
        if action == "kill":
            self.watch.send_signal({"signal": signal.SIGKILL})
            self.cgroup.kill()
        elif action in ("restart", "stop"):
            self.again = action == "restart"
            self.stop.begin()

    def note(self, action: str, **attributes: object) -> None:
        """Write down what happened to the container."""
        settings = self.settings
        events.record(
            self.files.root, "container", action, self.files.id,
            name=settings.get("name"), image=settings.get("image"), **attributes,
        )  # fmt: skip

    # -- the loop --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Right after the start, when whoever waited for it knows."""
        self.note("start")
        self.checks.begin()
        if restart.held(self.files.state):  # while it was being started
            self.stop.begin()

    def follow(self) -> None:
        """To the end. Should the monitor itself fail, the container goes down in order, and its record says so."""
        try:
            self.sampling.count_network(self.network, self.start.pid, self.files)
            if self.fresh:  # and then it has taken its first sample
                self.begin()
            else:
                self.sample()
            self.watch.timers["settle"] = (time.monotonic() + self.patience, self.rest)
            self.watch.until_end()
            record = self.end()
            if (following := self.following(record)) is not None:
                between.sleep(self, record, following)  # and returns only where nobody could wake up again
            self.clean(record)
        except BaseException as error:
            self.fail(error)
            raise
        self.watch.deliver(protocol.frame(protocol.EXIT, json.dumps(record).encode()))
        if self.late:
            ending.remove_cgroup(self.cgroup)
        ending.discard(self.trash)  # a millisecond that nobody needs to wait for

    def following(self, record: Document) -> restart.History | None:
        """The next run, if there is to be one; from here on signals wait for it."""
        policy = self.settings.get("restart") or {}
        if policy and self.history.restarts:
            record["restart_count"] = self.history.restarts
        signal.pthread_sigmask(signal.SIG_BLOCK, settle.SIGNALS)
        if self.again:
            return restart.History()
        if self.stop.begun or self.signalled or restart.held(self.files.state):
            record["stopped"] = True
            return None
        return restart.following(policy, self.history, record) if policy else None

    @cached_property
    def sampling(self) -> Sampling:
        sampling = Sampling(self.cgroup, f"{self.files.folder}/metrics", self.start.monotonic, self.sampler)
        if self.fresh:
            sampling.begin_network(self.network)
        return sampling

    @property
    def network(self) -> str:
        """Its `network` in container.json: names, `none`, `host` or `container:ID`; `host` without a namespace of its own."""
        listed = (self.config.get("linux") or {}).get("namespaces") or ()
        own = any(entry["type"] == "network" for entry in listed)
        return str(self.settings.get("network", "")) if own else "host"

    def sample(self) -> None:
        try:
            taken = self.sampling.take()
        except OSError:  # ENODEV: somebody removed the cgroup under us; the end will tell
            return
        self.cpu = (taken.time_ns / 1e9, taken.cpu_ns)
        self.watch.timers["sample"] = (self.sampling.due, self.sample)

    def rest(self) -> None:
        """Sleep in a small process when nobody is attached and nothing happens; try again later otherwise."""
        quiet = time.monotonic() - self.watch.quiet_since
        at_work = self.watch.peers or self.stop.begun or self.streams.buffer or self.checks.pid
        if at_work or quiet < self.patience or self.busy():
            self.watch.timers["settle"] = (time.monotonic() + self.patience, self.rest)
            return
        settle.sleep(self)

    def busy(self) -> bool:
        """Whether the container used more than a hundredth of a processor since the last sample."""
        before, used_before = self.cpu
        self.sample()
        now, used = self.cpu
        return used - used_before > (now - before) * 1e9 * settle.BUSY

    # -- the end ---------------------------------------------------------------------------------------------------

    def end(self) -> Document:
        """Reap, drain, measure; returns the exit record."""
        finished_ns, wall_s = time.time_ns(), time.monotonic() - self.start.monotonic
        _, status, rusage = os.wait4(self.start.pid, 0)
        self.look_again()
        self.checks.end()
        if not self.own_pids:
            self.kill_the_rest()
        self.watch.drain()
        used = self.measure(rusage)
        record: Document = ending.verdict(status, used) | {
            "started_at": rfc3339(self.start.started_ns), "finished_at": rfc3339(finished_ns), "wall_s": wall_s,
            "limits": self.cgroup.limits or self.start.limits, "usage": used,
        }  # fmt: skip
        if self.log and self.log.lost:
            record["log_records_lost"] = self.log.lost
        if record["oom_killed"]:
            self.note("oom")
        self.note("die", exit_code=record["exit_code"], signal=record["signal"], wall_s=f"{wall_s:.3f}")
        if self.settings.get("health"):
            record["health"] = self.files.read_state(health.FILE)
        return record

    def look_again(self) -> None:
        """What `container rename` and `container update` changed while it ran."""
        try:
            if self._changed("container.json"):
                self.settings = self.files.read("container.json")
            if self._changed("config.json"):
                self.cgroup.limits.update((self.files.read_state("state.json").get("cgroup") or {}).get("limits") or {})
        except (OSError, NotFound):  # it was removed meanwhile
            return

    def _changed(self, name: str) -> bool:
        return os.stat(f"{self.files.folder}/{name}").st_mtime_ns > self.start.started_ns

    def measure(self, rusage: Any) -> stats.Usage:
        used = stats.usage(None, self.sampling.take(), self.cgroup, rusage)
        self.sampling.close()
        return used

    def clean(self, record: Document) -> None:
        """Remove what was made for it. Whoever hears of the end afterwards finds nothing of it by its id or name."""
        remove = bool(self.settings.get("remove"))
        self.late = remove and self.own_pids  # it is empty, and nobody will ask for this id again
        failed = [] if self.late else ending.remove_cgroup(self.cgroup)
        if failed:
            record["warnings"] = failed
        unwritten = [] if remove else ending.write_record(self.files, record)
        self.poststop()
        recipe.release(self.kept)
        if unwritten:  # the run folder stays: `system prune` makes up a record when there is room
            failed += unwritten + recipe.undo(self.steps)
        else:
            more, self.trash = ending.withdraw(self.files, self.settings, self.steps, remove=remove)
            failed += more
            if remove:
                self.note("destroy")
        if failed:
            record["warnings"] = failed

    def poststop(self) -> None:
        if not (self.config.get("hooks") or {}).get("poststop"):
            return
        state = self.files.read_state("state.json")
        if state:
            hooks.run_hooks(self.config, "poststop", oci_state(state, "stopped"))

    def kill_the_rest(self) -> None:
        """Without a pid namespace of its own a container's processes outlive its first one, and become our children."""
        self.cgroup.kill()
        for _ in range(100):
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                children = [int(pid) for pid in file.read().split()]
            if not children:
                return
            for pid in children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def fail(self, error: BaseException) -> None:
        """The monitor cannot go on: end the container, tidy up, and say why in its record."""
        try:
            signal.pidfd_send_signal(self.start.pidfd, signal.SIGKILL)
            os.waitpid(self.start.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # it had ended already
        ending.remove_cgroup(self.cgroup)
        ending.give_up(self.files, self.settings, self.steps, error, remove=False)

    # -- sleep -----------------------------------------------------------------------------------------------------

    def freeze(self) -> Document:
        """Everything another interpreter needs to go on in this very process; its descriptors stay open."""
        keep = [self.start.pidfd, *self.streams.outputs]
        keep += [self.streams.stdin] if self.streams.stdin is not None else []
        keep += [self.listener.fileno()] if self.listener else []
        recipe.keep_for_us(self.kept, inheritable=True)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        return {
            "root": self.files.root, "run": self.files.run, "id": self.files.id, "cgroup": self.cgroup.record,
            "start": list(self.start), "outputs": list(self.streams.outputs.items()), "stdin": self.streams.stdin,
            "ending": self.streams.ending, "master": self.streams.master, "incomplete": self.log.incomplete if self.log else {},
            "listener": self.listener.fileno() if self.listener else None, "patience": self.patience,
            "kept": self.kept, "history": self.history,
        }  # fmt: skip

    @classmethod
    def wake(cls, state: Document) -> Self:
        """The container of `freeze`, in a new interpreter."""
        files = Files(state["root"], state["run"], state["id"])
        config, settings = files.read("config.json"), files.read("container.json")
        streams = Stdio.of(dict(state["outputs"]), state["stdin"], state["master"], ending=state["ending"])
        log = open_log(files.folder, settings.get("log") or {}, state["incomplete"])
        steps = files.read("recipe.json")["steps"]
        start = Start(*state["start"])
        history = restart.History(*state.get("history", ()))  # an earlier version had none
        running = cls(
            files, config, settings, steps, open_record(state["cgroup"]), streams, log, start, state["kept"], history
        )
        running.patience, running.fresh = state["patience"], False
        if state["listener"] is not None:
            running.listen_on(state["listener"])
        recipe.keep_for_us(state["kept"])
        for descriptor in (start.pidfd, *streams.outputs, streams.stdin):
            if descriptor is not None:
                os.set_inheritable(descriptor, False)
        running.checks.go_on(state["due"], state["check"])
        return running


def _own_pid_namespace(config: Document) -> bool:
    """Whether the kernel ends all processes of this container with its first one."""
    listed = (config.get("linux") or {}).get("namespaces") or ()
    return any(entry["type"] == "pid" and not entry.get("path") for entry in listed)
