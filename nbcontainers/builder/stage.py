"""One stage, instruction by instruction: what each does to the files (or that it was done before) and to the config."""

from __future__ import annotations

import errno
import os
import posixpath
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nbcontainers.builder import shared
from nbcontainers.builder.copying import Order
from nbcontainers.builder.files import Files, Result
from nbcontainers.builder.progress import left_on_screen
from nbcontainers.builder.result import readable
from nbcontainers.builder.running import Cancelled, Failed
from nbcontainers.builder.sources import Sources, new_order
from nbcontainers.container import failure
from nbcontainers.container.options import texts
from nbcontainers.dockerfile import instructions as i
from nbcontainers.dockerfile import key as keys
from nbcontainers.dockerfile import value, variables
from nbcontainers.dockerfile.source import Source
from nbcontainers.dockerfile.stages import Planned
from nbcontainers.dockerfile.state import State
from nbcontainers.errors import BuildError, CreateFailed, Error
from nbcontainers.image import kept, scratch, work
from nbcontainers.image.kept import Kept
from nbcontainers.image.making import Added
from nbcontainers.table import plain

if TYPE_CHECKING:
    from nbcontainers.builder.building import Build

_LAST_LINES = 20
_UNREACHED = (
    "name resolution", "Could not resolve", "could not be resolved", "Network is unreachable", "No route to host",
    "unable to resolve", "bad address",
)  # fmt: skip
OUTPUT = "the end of its output"
"""What an error's message says before the lines that a command wrote last."""
Step = i.Instruction


class Stage:
    """Builds one stage of a build. `run` gives the result; every failure is a BuildError that shows its line."""

    def __init__(self, build: Build, planned: Planned) -> None:
        self.build, self.planned = build, planned
        self.engine = build.engine
        self.sources = Sources(build, planned)
        self.label = planned.stage.label
        self.uses_cache = not (build.request.no_cache or planned.stage.index in build.uncached)

    def run(self, begin: Result, triggers: Sequence[tuple[Step, Source]]) -> Result:
        """From what FROM gives to the end of the stage."""
        now = begin
        is_context = self.planned.stands_for_stage
        own = () if is_context else self.planned.stage.instructions
        todo = [*triggers, *((one, self.build.file.source) for one in own)]
        for number, (one, source) in enumerate(todo):
            self.build.check()
            name = f"{self.planned.stage.index}.{number}"
            self._tell(name, one, "running", lines=self._lines(one, source))
            begun = time.monotonic()
            try:
                now, facts = self._step(name, one, source, now)
            except BaseException as error:
                ended_by_others = isinstance(error, Cancelled) or not isinstance(error, Exception)
                self._tell(name, one, "cancelled" if ended_by_others else "failed", lines=self._lines(one, source))
                if isinstance(error, Error):
                    raise self._explained(error, one, source, now) from None
                raise
            self._tell(name, one, lines=self._lines(one, source), seconds=time.monotonic() - begun, **facts)
        return now

    def _lines(self, one: Step, source: Source) -> list[int]:
        """The Dockerfile's; what an ONBUILD of the base does, FROM has brought."""
        here = one if source is self.build.file.source else self.planned.stage.from_
        return list(here.node.lines)

    def _tell(self, name: str, one: Step, state: str = "done", **facts: Any) -> None:
        self.build.tell({
            "event": "step", "id": name, "stage": self.label, "state": state, "text": one.node.text.strip(), **facts,
        })  # fmt: skip

    def _explained(self, error: Error, one: Step, source: Source, now: Result) -> Error:
        """The error with the line it is about, unless it says that itself."""
        if isinstance(error, BuildError) and error.details.get("file"):
            return error
        found = source.error(f"{one.name}: {error.message}", *one.node.lines, hint=error.hint)
        found.details |= {name: text for name, text in error.details.items() if name not in found.details}
        return found

    def _step(self, name: str, one: Step, source: Source, now: Result) -> tuple[Result, dict[str, Any]]:
        """The result after one instruction, and what to tell of it."""
        done, _ = variables.of_instruction(one, now.state.scope, source)
        state = now.state.after(done)
        if isinstance(done, i.Run):
            result, key, known = self._files(
                done, now, lambda: self.sources.surroundings(done), lambda: self._run(name, done, source, now)
            )
        elif isinstance(done, i.Copy):
            orders, inputs = self.sources.order(done, now)
            result, key, known = self._files(done, now, inputs, lambda: self._copy(orders, now, link=done.link))
        elif isinstance(done, i.Workdir):
            owner = self.sources.maker(state.user, now)
            order = new_order(made=[state.workdir], owner=owner)
            place = replace(done, path=state.workdir)
            result, key, known = self._files(place, now, lambda: {"owner": str(owner)}, lambda: self._copy(order, now))
        else:
            return replace(now, state=state, history=(*now.history, self._line(one, done, now))), {"state": "done"}
        created = result["created"]
        line = self._line(one, done, now) | {"created": created}
        if result["diff_id"]:
            line.pop("empty_layer")
        after = replace(
            now, state=state, files=now.files.plus(result), key=key, created=created, history=(*now.history, line)
        )
        state_of = "cached" if known else "done"
        return after, {"state": state_of, **{fact: result.get(fact) for fact in ("size", "entries", "files")}}

    def _files(
        self, one: Step, now: Result, inputs: Callable[[], Mapping[str, str]], make: Callable[[], Added]
    ) -> tuple[Kept, str, bool]:
        """The layer of an instruction: kept from before, or made now; its key; whether it was kept.

        `inputs` are asked for again when it is made: what changed while it was read belongs to no key that anybody
        could come to again.
        """
        begun = inputs()
        key = keys.of_step(now.key, one, now.state, begun)
        with self.build.alone(key):
            if found := self._known(key):
                self.build.done[key] = found
                return found, key, True
            result = self._made(one, now, make())
            if not _same(begun, inputs):
                key = keys.of_step(now.key, one, now.state, {**begun, "changed": os.urandom(16).hex()})
            kept.keep(self.engine, key, result)
            self.build.done[key] = self.build.made[key] = result
        return result, key, False

    def _made(self, one: Step, now: Result, added: Added) -> Kept:
        if added["left_out"]:
            message = f"{added['left_out']} files cannot be in a layer: {'; '.join(added['notes'])}"
            self.build.tell({"event": "warning", "rule": "LeftOut", "message": message, "lines": list(one.node.lines)})
        files = Files() if isinstance(one, i.Copy) and one.link else now.files
        below = list(files.diff_ids)
        result: Kept = {
            "created": self.build.moment(), "descriptor": added["descriptor"], "diff_id": added["diff_id"],
            "chain": kept.chain_of([*below, added["diff_id"]] if added["entries"] else below, files.base),
            "entries": added["entries"], "files": added["files"], "size": added["size"],
            "what": readable(one.node.text.strip()[:200]),
        }  # fmt: skip
        if not added["entries"]:
            result |= {"descriptor": {}, "diff_id": ""}
        return result

    def _known(self, key: str) -> Kept | None:
        """The result of an equal step of this build, or from the store, or from a folder of --cache-from."""
        if found := self.build.made.get(key):
            return found
        if not self.uses_cache:
            return None
        return kept.find(self.engine, key) or shared.find(self.engine, self.build.request.cache_from, key)

    def _line(self, one: Step, done: Step, now: Result) -> dict[str, Any]:
        """The entry of the history, for now one without a layer; `created` "" while no layer has a time."""
        return {
            "created": now.created,
            "created_by": described(done, now.state),
            "empty_layer": True,
        }

    # -- RUN ---------------------------------------------------------------------------------------------------------

    def _run(self, name: str, one: i.Run, source: Source, now: Result) -> Added:
        self._check_allowed(one)
        words = _Words(lambda text: self.build.tell({"event": "output", "id": name, "text": text}))
        runner = self.build.runner(self)
        try:
            return runner.run(
                one, now.state, self.build.lowers(now.files), now.files.below, words.add, self.build.request.epoch
            )
        except Failed as failed:
            raise self._failed(failed.ended, one, source, words.last(), now) from None
        except CreateFailed as error:
            if error.details.get("errno") == errno.ENOEXEC:
                _explain_format(error, now)
            raise

    def _check_allowed(self, one: i.Run) -> None:
        """What a Dockerfile may do to this machine only if whoever builds it says so."""
        allowed = self.build.request.allow
        if one.security == "insecure" and "security.insecure" not in allowed:
            raise BuildError("--security=insecure was not allowed", hint="build with --allow security.insecure")
        is_host = texts("network", self.build.request.options.get("network")) == ["host"]
        if one.network == "host" and "network.host" not in allowed and not is_host:
            raise BuildError("--network=host was not allowed", hint="build with --allow network.host")

    def _failed(
        self, ended: Mapping[str, Any], one: i.Run, source: Source, last: Sequence[str], now: Result
    ) -> BuildError:
        what, why, advice = failure.cause(ended)
        advice = advice or self._unreached(one, last)
        shown = "".join(f"\n  {line}" for line in last)
        name = self.build.offer(now)
        hint = f"container run -it --rm {name} opens a shell in the files as they were before it"
        error = source.error(
            f"RUN {what}{why}",
            *one.node.lines,
            hint=f"{advice}{'' if advice.endswith('?') else ';'} {hint}" if advice else hint,
        )
        error.message += f"\n{OUTPUT}:{shown}" if shown else "\nit wrote nothing"
        error.details |= {"exit_code": ended.get("exit_code"), "output": list(last), "image": name}
        return error

    def _unreached(self, one: i.Run, last: Sequence[str]) -> str:
        """What to do where the command found no network; "" where it says nothing of that kind."""
        networks = (one.network, *texts("network", self.build.request.options.get("network")))
        if "host" in networks or not any(words in line for line in last for words in _UNREACHED):
            return ""
        if "none" in networks:
            return "it ran without a network, as --network=none says"
        return "it reached no network: --network host gives RUN this machine's own"

    # -- COPY, ADD, WORKDIR ------------------------------------------------------------------------------------------

    def _copy(self, order: Order, now: Result, *, link: bool = False) -> Added:
        """`link`: a layer of its own, whatever is below."""
        files = Files() if link else now.files
        with scratch.folder(self.engine) as place:
            return work.call(  # type: ignore[no-any-return]
                "nbcontainers.builder.copying:copy", place=work.place(self.engine), order=order,
                lowers=self.build.lowers(files), below=files.below, scratch=str(place),
                epoch=self.build.request.epoch,
            )  # fmt: skip


def _same(begun: Mapping[str, str], inputs: Callable[[], Mapping[str, str]]) -> bool:
    """Whether the inputs are still as they were; what is gone is not."""
    try:
        return inputs() == begun
    except (OSError, Error):
        return False


def described(one: Step, state: State) -> str:
    """The history's `created_by`: the instruction with its variables put in, RUN with the ARGs it depends on."""
    if isinstance(one, i.Run):
        args = [f"{name}={text}" for name, text in state.scope.keyed_args().items()]
        before = f"|{len(args)} {' '.join(args)} " if args else ""
        return f"RUN {before}{' '.join(one.argv(state.shell))}"
    if isinstance(one, i.Workdir):
        return f"WORKDIR {posixpath.join(state.workdir, one.path)}"
    if isinstance(one, (i.Env, i.Label)):
        return f"{one.name} {' '.join(f'{name}={text}' for name, text in one.pairs)}"
    return one.node.text.strip()


def _explain_format(error: CreateFailed, now: Result) -> None:
    """What is no program for this machine may be one for another: that the stage is for one is said."""
    platform = "/".join(str(now.machine[key]) for key in ("os", "architecture", "variant") if now.machine.get(key))
    ours = f"linux/{value.host_architecture()}"
    error.hint = "it must be a program for this machine; a script needs a first line such as #!/bin/sh"
    if platform and platform != ours:
        error.message += f": the stage is for {platform}, and this machine is {ours}"
        error.hint = (
            "build for this machine, or install an emulator (Debian: apt-get install qemu-user-static binfmt-support)"
        )


class _Words:
    """A command's output: handed on as text, its last lines kept."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._end = ""

    def add(self, data: bytes) -> None:
        text = self._decoder.decode(data)
        self._end = (self._end + text)[-8192:]
        self._tell(text)

    def last(self) -> list[str]:
        return [plain(line[:400]) for line in left_on_screen(self._end) if line.strip()][-_LAST_LINES:]


def moment(epoch: int | None) -> str:
    """RFC 3339 of now, or of SOURCE_DATE_EPOCH."""
    when = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(epoch, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if epoch is None else "%Y-%m-%dT%H:%M:%SZ")
