"""One stage, instruction by instruction: what each does to the files (or that it was done before) and to the config."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from nbcontainers.builder.context import Context
from nbcontainers.builder.copying import Order
from nbcontainers.builder.copying import Source as From
from nbcontainers.builder.remote import fetch, is_remote
from nbcontainers.builder.running import Failed, Shown
from nbcontainers.builder.selection import Match, select
from nbcontainers.container import failure, users
from nbcontainers.container.options import texts
from nbcontainers.dockerfile import instructions as i
from nbcontainers.dockerfile import key as keys
from nbcontainers.dockerfile import pattern, stages, variables
from nbcontainers.dockerfile.mount import Mount
from nbcontainers.dockerfile.source import Source
from nbcontainers.dockerfile.stages import Input, Planned
from nbcontainers.dockerfile.state import State
from nbcontainers.errors import BuildError, Error, NotFound
from nbcontainers.image import kept, scratch, work
from nbcontainers.image.kept import Kept
from nbcontainers.image.making import Added
from nbcontainers.oci import digest
from nbcontainers.oci.image import Descriptor, descriptor

if TYPE_CHECKING:
    from nbcontainers.builder.building import Build

_LAST_LINES = 20
Step = i.Instruction


class Blob(NamedTuple):
    """A layer as it lies in the store."""

    media_type: str
    digest: str
    size: int

    @property
    def descriptor(self) -> Descriptor:
        return descriptor(*self)


@dataclass(frozen=True)
class Files:
    """A stack of layers, bottom first, by DiffID and by blob."""

    diff_ids: tuple[str, ...] = ()
    blobs: tuple[Blob, ...] = ()

    @property
    def digest(self) -> str:
        """Of all files, as far as layers say."""
        return digest.of("\n".join(self.diff_ids).encode())

    def plus(self, result: Kept) -> Files:
        if not result["diff_id"]:
            return self
        one = result["descriptor"]
        blob = Blob(one["mediaType"], one["digest"], one["size"])
        return Files((*self.diff_ids, result["diff_id"]), (*self.blobs, blob))


@dataclass(frozen=True)
class Result:
    """A stage, or the image it begins with, as far as it is: `key` stands for its files and how they came to be.

    `machine`: architecture, os and variant of the config; `base`: name and digest of the image it began with.
    """

    state: State
    files: Files
    key: str
    history: tuple[Mapping[str, Any], ...] = ()
    created: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)
    base: tuple[str, str] = ("", "")


class Stage:
    """Builds one stage of a build. `run` gives the result; every failure is a BuildError that shows its line."""

    def __init__(self, build: Build, planned: Planned) -> None:
        self.build, self.planned = build, planned
        self.engine = build.engine
        self.label = planned.stage.label
        self.uses_cache = not build.request.no_cache and planned.stage.name not in build.request.no_cache_filter

    def run(self, begin: Result, triggers: Sequence[tuple[Step, Source]]) -> Result:
        """From what FROM gives to the end of the stage."""
        now = begin
        is_context = self.planned.stage.name in self.build.request.contexts  # it stands for the stage as a whole
        own = () if is_context else self.planned.stage.instructions
        todo = [*triggers, *((one, self.build.file.source) for one in own)]
        for number, (one, source) in enumerate(todo):
            self.build.check()
            name = f"{self.planned.stage.index}.{number}"
            self._tell(name, one, "running")
            begun = time.monotonic()
            try:
                now, facts = self._step(name, one, source, now)
            except BaseException as error:
                self._tell(name, one, "failed" if isinstance(error, Exception) else "cancelled")
                if isinstance(error, Error):
                    raise self._explained(error, one, source, now) from None
                raise
            self._tell(name, one, seconds=time.monotonic() - begun, **facts)
        return now

    def _tell(self, name: str, one: Step, state: str = "done", **facts: Any) -> None:
        self.build.tell({
            "event": "step", "id": name, "stage": self.label, "lines": list(one.node.lines), "state": state,
            "text": one.node.text.strip(), **facts,
        })  # fmt: skip

    def _explained(self, error: Error, one: Step, source: Source, now: Result) -> Error:
        """The error with the line it is about, and the image of the last good layer."""
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
                name, done, now, self._inputs(done), lambda: self._run(name, done, source, now)
            )
        elif isinstance(done, i.Copy):
            orders, inputs = self._order(done, now)
            result, key, known = self._files(name, done, now, inputs, lambda: self._copy(orders, now, link=done.link))
        elif isinstance(done, i.Workdir):
            owner = self._id(state.user, now) if state.user else None
            order = _order(made=[state.workdir], owner=owner)
            place = replace(done, path=state.workdir)
            result, key, known = self._files(name, place, now, {"owner": str(owner)}, lambda: self._copy(order, now))
        else:
            return replace(now, state=state, history=(*now.history, self._line(one, done, now))), {"state": "done"}
        created = result["created"]
        line = self._line(one, done, now) | {"created": created}
        if result["diff_id"]:
            line.pop("empty_layer")
        after = replace(
            now, state=state, files=now.files.plus(result), key=key, created=created, history=(*now.history, line)
        )
        return after, {"state": "cached" if known else "done", "size": result["size"], "entries": result["entries"]}

    def _files(
        self, name: str, one: Step, now: Result, inputs: Mapping[str, str], make: Any
    ) -> tuple[Kept, str, bool]:  # fmt: skip
        """The layer of an instruction: kept from before, or made now; its key; whether it was kept."""
        key = keys.of_step(now.key, one, now.state, inputs)
        if self.uses_cache and (found := kept.find(self.engine, key)):
            return found, key, True
        added: Added = make()
        below = [] if isinstance(one, i.Copy) and one.link else list(now.files.diff_ids)
        result: Kept = {
            "created": self.build.moment(), "descriptor": added["descriptor"], "diff_id": added["diff_id"],
            "chain": kept.chain_of([*below, added["diff_id"]] if added["entries"] else below),
            "entries": added["entries"], "size": added["size"], "what": one.node.text.strip()[:200],
        }  # fmt: skip
        if not added["entries"]:
            result |= {"descriptor": {}, "diff_id": ""}
        kept.keep(self.engine, key, result)
        return result, key, False

    def _line(self, one: Step, done: Step, now: Result) -> dict[str, Any]:
        """The entry of the history, for now one without a layer."""
        return {
            "created": now.created or self.build.moment(),
            "created_by": described(done, now.state),
            "empty_layer": True,
        }

    # -- RUN ---------------------------------------------------------------------------------------------------------

    def _inputs(self, one: i.Run) -> dict[str, str]:
        """Digests of what RUN mounts from elsewhere."""
        found = {}
        for number, mount in enumerate(one.mounts or ()):
            if mount.type == "bind":
                found[f"mount{number}"] = self._digest(mount)
        return found

    def _digest(self, mount: Mount) -> str:
        if mount.from_:
            origin = self.build.origin(self.planned.inputs[mount.from_])
            if origin.kind != stages.CONTEXT:
                return self.build.files_of(origin).digest
            context = self.build.context(origin.name)
        else:
            context = self.build.main_context()
        return context.digest(select(context.root(), mount.source or "/"))

    def shown(self, mount: Mount, stack: ExitStack) -> Shown:
        """What a bind mount shows; of a context a copy, without what is ignored and owned by root."""
        origin = self.build.origin(self.planned.inputs[mount.from_]) if mount.from_ else Input(stages.CONTEXT, "")
        if origin.kind == stages.CONTEXT:
            return self._copied(mount, origin.name, stack)
        lowers = self.build.lowers(self.build.files_of(origin))
        if not lowers:
            raise BuildError(
                f"--mount: {mount.from_} has no files", hint="name a stage or an image that has some in from="
            )
        return Shown(mount.from_, lowers=tuple(lowers))

    def _copied(self, mount: Mount, name: str, stack: ExitStack) -> Shown:
        context = self.build.context(name) if name else self.build.main_context()
        matches = select(context.root(), mount.source or "/", parents=True)
        place = stack.enter_context(scratch.folder(self.engine))
        source = From(root=context.path, lowers=[], matches=[_listed(one) for one in matches], paths=[])
        work.call(
            "nbcontainers.builder.copying:gather", order=_order(sources=[source], parents=True), scratch=str(place),
            place=work.place(self.engine),
        )  # fmt: skip
        return Shown(context.name, folder=f"{place}/upper")

    def _run(self, name: str, one: i.Run, source: Source, now: Result) -> Added:
        self._check_allowed(one)
        words = _Words(lambda text: self.build.tell({"event": "output", "id": name, "text": text}))
        runner = self.build.runner(self)
        try:
            return runner.run(
                one, now.state, self.build.lowers(now.files), now.files.diff_ids, words.add, self.build.request.epoch
            )
        except Failed as failed:
            raise self._failed(failed.ended, one, source, words.last(), now) from None

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
        shown = "".join(f"\n  {line}" for line in last)
        name = self.build.offer(now)
        hint = f"container run -it --rm {name} {' '.join(now.state.shell[:1])} opens the files as they were before it"
        error = source.error(f"RUN {what}{why}", *one.node.lines, hint="; ".join(filter(None, (advice, hint))))
        error.message += f"\nthe end of its output:{shown}" if shown else "\nit wrote nothing"
        error.details |= {"exit_code": ended.get("exit_code"), "output": list(last), "image": name}
        return error

    # -- COPY, ADD, WORKDIR ------------------------------------------------------------------------------------------

    def _copy(self, order: Order, now: Result, *, link: bool = False) -> Added:
        """`link`: a layer of its own, whatever is below."""
        files = Files() if link else now.files
        with scratch.folder(self.engine) as place:
            return work.call(  # type: ignore[no-any-return]
                "nbcontainers.builder.copying:copy", place=work.place(self.engine), order=order,
                lowers=self.build.lowers(files), diff_ids=list(files.diff_ids), scratch=str(place),
                epoch=self.build.request.epoch,
            )  # fmt: skip

    def _order(self, one: i.Copy, now: Result) -> tuple[Order, dict[str, str]]:
        """What to copy, and the digests of that."""
        order = _order(
            texts=[[content.name, content.data] for content in one.contents], destination=now.state.path(one.destination),
            owner=self._owner(one, now), mode=one.chmod, parents=one.parents, exclude=list(one.exclude),
            unpack=isinstance(one, i.Add) and one.unpack is not False,
        )  # fmt: skip
        inputs = {"owner": str(order["owner"])}
        if not one.sources:
            return order, inputs
        origin = self.build.origin(self.planned.inputs[one.from_]) if one.from_ else Input(stages.CONTEXT, "")
        if isinstance(one, i.Add) and _has_remote(one):
            return self._fetched(one, order, inputs)
        if origin.kind == stages.CONTEXT:
            context = self.build.context(origin.name) if origin.name else self.build.main_context()
            matches = self._selected(one, context.root())
            order["sources"] = [_source(root=context.path, matches=[_listed(match) for match in matches])]
            return order, inputs | {"context": context.digest(matches)}
        if origin.kind == stages.EMPTY:
            raise BuildError(f"--from={one.from_} has no files", hint="name a stage, an image or a context")
        files = self.build.files_of(origin)
        lowers = self.build.lowers(files)
        order["sources"] = [_source(lowers=lowers, paths=list(one.sources))]
        return order, inputs | {"from": files.digest}

    def _fetched(self, one: i.Add, order: Order, inputs: dict[str, str]) -> tuple[Order, dict[str, str]]:
        """URLs, each fetched into a folder of the build; local sources may stand beside them."""
        digests = []
        order["unpack"] = bool(one.unpack)
        for path in one.sources:
            if not is_remote(path):
                raise BuildError(
                    f"{path} stands beside a URL", hint="write one ADD for URLs and one for the context's files"
                )
            folder = self.build.folder()
            name = fetch(path, folder, one.checksum, order["destination"], self.build.check)
            root = Context("a URL", str(folder))
            matches = select(root.root(), pattern.escape(name))
            order["sources"].append(_source(root=root.path, matches=[_listed(match) for match in matches]))
            digests.append(root.digest(matches))
        return order, inputs | {"remote": " ".join(digests)}

    def _selected(self, one: i.Copy, root: Any) -> list[Match]:
        found: list[Match] = []
        for path in one.sources:
            try:
                found += select(root, path, exclude=one.exclude, parents=one.parents)
            except NotFound as error:
                raise BuildError(f"{error.message} in the context", hint=error.hint) from None
        return found

    def _owner(self, one: i.Copy, now: Result) -> list[int] | None:
        """--chown: names are the image's; a number alone is user and group (Dockerfile reference, «COPY --chown»)."""
        return self._id(one.chown, now) if one.chown else None

    def _id(self, text: str, now: Result) -> list[int]:
        user, _, group = text.partition(":")
        lowers = self.build.lowers(now.files) if not (user + group).isdigit() else []
        if user.isdigit() and not group:
            return [int(user), int(user)]
        found = users.resolve(f"{user or 0}:{group}" if group else user, lowers)
        return [found.uid, found.gid]


def _has_remote(one: i.Add) -> bool:
    return len([path for path in one.sources if is_remote(path)]) > 0  # all of them are looked at


def _order(
    *, sources: Sequence[From] = (), texts: Sequence[list[str]] = (), destination: str = "/", owner: list[int] | None = None,
    mode: str = "", parents: bool = False, exclude: Sequence[str] = (), unpack: bool = False, made: Sequence[str] = (),
) -> Order:  # fmt: skip
    return {
        "sources": list(sources), "texts": list(texts), "destination": destination, "owner": owner, "mode": mode,
        "parents": parents, "exclude": list(exclude), "unpack": unpack, "made": list(made),
    }  # fmt: skip


def _source(
    *, root: str = "", lowers: Sequence[str] = (), matches: Sequence[list[Any]] = (), paths: Sequence[str] = ()
) -> From:  # fmt: skip
    return {"root": root, "lowers": list(lowers), "matches": list(matches), "paths": list(paths)}


def _listed(match: Match) -> list[Any]:
    """A match as JSON."""
    return [match.path, match.name, match.is_folder, list(match.members), [list(one) for one in match.above]]


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


class _Words:
    """A command's output: handed on as text, its last lines kept."""

    def __init__(self, tell: Any) -> None:
        from codecs import getincrementaldecoder

        self._tell = tell
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._end = ""

    def add(self, data: bytes) -> None:
        text = self._decoder.decode(data)
        self._end = (self._end + text)[-8192:]
        self._tell(text)

    def last(self) -> list[str]:
        return [line.rstrip("\r")[:400] for line in self._end.splitlines() if line.strip()][-_LAST_LINES:]


def moment(epoch: int | None) -> str:
    """RFC 3339 of now, or of SOURCE_DATE_EPOCH."""
    when = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(epoch, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if epoch is None else "%Y-%m-%dT%H:%M:%SZ")
