"""A whole build: the plan, its stages as they become possible, several at a time, and the image in the end.

It runs in the client's process, in threads that wait for processes of the launcher; nothing is kept but results of
steps (image/kept.py) and, at the end, the image. A failure or an interrupt ends the other stages as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbcontainers.builder import context as contexts
from nbcontainers.builder import epoch, result, squash
from nbcontainers.builder.context import Context
from nbcontainers.builder.files import Blob, Files, Result
from nbcontainers.builder.running import Cancelled, Runner, Settings
from nbcontainers.builder.shared import Cache
from nbcontainers.builder.stage import Stage, moment
from nbcontainers.container.committing import oci_type
from nbcontainers.container.options import RunOptions
from nbcontainers.dockerfile import dockerfile, lint, stages, state, value, variables
from nbcontainers.dockerfile import key as keys
from nbcontainers.dockerfile.dockerfile import Dockerfile
from nbcontainers.dockerfile.instructions import Arg, Copy, Instruction
from nbcontainers.dockerfile.source import Source
from nbcontainers.dockerfile.stages import Input, Planned
from nbcontainers.engine import Engine
from nbcontainers.errors import BuildError, Error, InvalidArgument, NotFound
from nbcontainers.image import kept, layout, lease, removal, rootfs, scratch, store, wanted, work
from nbcontainers.image.image import Image
from nbcontainers.image.kept import Kept
from nbcontainers.launcher import client
from nbcontainers.table import amount, stored

AS_IMAGE = "docker-image://"
_AT_ONCE = 16
_TICK_S = 0.2
_CHILDREN = (
    "nbcontainers.image.work",
    "nbcontainers.image.making",
    "nbcontainers.builder.copying",
    "nbcontainers.builder.mounting",
    "isal.isal_zlib",  # a millisecond or two of every layer
)
"""What processes of the launcher need; imported there once."""
FAILED = "localhost/failed-build:latest"
"""What the image of the last good layer of a failed build is called."""

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Request:
    """What is asked for. `context` is a folder, a mapping of files, or "" for none; `contexts` are named ones.

    `cache_from`, `cache_to`: places of shared.py. `allow`: network.host, security.insecure; `agents`: sockets of SSH agents by id.
    `platform` "" is this machine's; `options` are those of every RUN; `when` is the time of the context, if it has one. `epoch` is set
    by epoch.py.
    """

    text: bytes
    name: str = "Dockerfile"
    path: str = ""
    context: str | Mapping[str, Any] = ""
    contexts: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    tags: Sequence[str] = ()
    target: str = ""
    platform: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    no_cache_filter: Sequence[str] = ()
    pull: str = "missing"
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    options: RunOptions = field(default_factory=lambda: RunOptions())
    allow: Sequence[str] = ()
    agents: Mapping[str, str] = field(default_factory=dict)
    cache_from: Sequence[Cache] = ()
    cache_to: Sequence[Cache] = ()
    squash: bool = False
    when: Callable[[], int | None] = lambda: None
    epoch: int | None = None


def build(engine: Engine, request: Request, tell: Tell | None = None) -> Image:
    """The image. Raises BuildError for the Dockerfile and its steps, and what the store and the registry raise."""
    scratch.sweep(engine)
    names = [result.name(tag) for tag in request.tags]
    with ExitStack() as stack:
        stack.enter_context(lease.adding(engine))
        image = Build(engine, request, stack, tell or _nobody).run(names)
    kept.expire(engine)
    return image


def _nobody(event: dict[str, Any]) -> None:
    """For a build that nobody watches."""


class Build:
    """One build on its way. The stages' threads share it; what changes in it has a lock."""

    def __init__(self, engine: Engine, request: Request, stack: ExitStack, tell: Tell) -> None:
        self.engine, self.tell = engine, tell
        self._stack = stack
        self.file: Dockerfile = dockerfile.read(request.text, request.name)
        host = f"linux/{value.host_architecture()}"
        self.platform = _platform(request.platform or host)
        self.platforms = value.platform_arguments(host, self.platform)
        self.request = request = epoch.dated(request, self.file, self.platforms)
        self.plan = self._plan({})
        self.uncached = {
            stages.find_target(self.file, name) for text in request.no_cache_filter for name in text.split(",") if name
        }
        self.results: dict[int, Result] = {}
        self.images: dict[Input, Image] = {}
        self.done: dict[str, Kept] = {}
        self.made: dict[str, Kept] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._contexts: dict[str, Context] = {}
        self._lock = threading.RLock()
        self._over = threading.Event()
        self.settings = Settings(request.options, request.secrets, request.agents)

    def run(self, names: Sequence[str]) -> Image:
        client.preload(*(path for path in work.codec_paths() if "," not in path), *_CHILDREN)
        self._announce()
        for cache in self.request.cache_from:
            cache.load(self.engine)
        self._find_all_images()
        self._warn()
        try:
            self._build_stages()
        except BuildError:
            raise
        except BaseException:
            removal.sweep(self.engine)
            raise
        for cache in self.request.cache_to:
            cache.write(self.engine, self.done.items())
        end = self.results[self.plan.target]
        image = result.put(self, squash.squashed(self, end) if self.request.squash else end, names)
        self.tell({"event": "built", "digest": image.digest, "id": image.id, "names": list(names)})
        return image

    def _plan(self, triggers: stages.Triggers) -> stages.Plan:
        return stages.plan(
            self.file, target=self.request.target, build_args=self.request.build_args, platforms=self.platforms,
            contexts=self.request.contexts, triggers=triggers,
        )  # fmt: skip

    def _announce(self) -> None:
        needed = [planned.stage for planned in self.plan.stages]
        steps = [one for stage in needed for one in (stage.from_, *stage.instructions)]
        takes = any(isinstance(one, Copy) and not one.from_ for one in steps)
        folder = self.request.context if isinstance(self.request.context, str) and takes else ""
        self.tell({
            "event": "plan", "name": self.request.name, "lines": list(self.file.source.lines),
            "steps": [list(one.node.lines) for one in steps],
            "unneeded": [list(one.lines) for one in self.plan.dropped],
            "target": self.file.stages[self.plan.target].label, "context": folder,
        })  # fmt: skip

    def _warn(self) -> None:
        """The build checks, now that the variables of the base images are known."""
        images = {one.name: image.config.get("config") or {} for one, image in self.images.items()}
        environments = {
            name: {"PATH": state.PATH} | dict(line.partition("=")[::2] for line in config.get("Env") or [])
            for name, config in images.items()
        }
        asked = self.file.directives.check.experimental & {"all", "CopyIgnoredFile"}
        ignore = self.main_context().root().ignore if asked else None
        facts = lint.Facts(self.request.build_args, self.platforms, ignore, environments)
        for one in lint.check(self.file, facts):
            self.tell({"event": "warning", "rule": one.rule, "message": one.message, "lines": list(one.lines)})
        for name in self._unused():
            message = f"--build-arg {name} is used by no ARG"
            self.tell({"event": "warning", "rule": "UnusedBuildArg", "message": message, "lines": [1, 1]})

    def _unused(self) -> list[str]:
        """Build arguments that no ARG names and that mean nothing by themselves."""
        args = [one for stage in self.file.stages for one in stage.instructions if isinstance(one, Arg)]
        named = {name for one in (*self.file.globals, *args) for name, _ in one.args}
        known = {*named, *variables.PROXIES, variables.EPOCH, *self.platforms}
        return sorted(
            name for name in self.request.build_args if name not in known and not name.startswith("BUILDKIT_")
        )

    # -- stages ------------------------------------------------------------------------------------------------------

    def _build_stages(self) -> None:
        """Each as soon as those it needs are there. The first failure ends the others."""
        waiting = list(self.plan.stages)
        running: dict[Future[Result], Planned] = {}
        pool = ThreadPoolExecutor(min(_AT_ONCE, len(waiting)), "build")
        failed: list[BaseException] = []
        try:
            while (waiting or running) and not failed:
                for planned in [one for one in waiting if one.needs <= self.results.keys()]:
                    waiting.remove(planned)
                    running[pool.submit(self._build_stage, planned)] = planned
                done, _ = wait(running, _TICK_S, FIRST_COMPLETED)
                failed = [error for one in done if (error := one.exception())]
                if not failed:
                    self.results |= {running.pop(one).stage.index: one.result() for one in done}
        finally:
            self._over.set()
            pool.shutdown(wait=True, cancel_futures=True)
        if failed:
            raise _first_cause([one.exception() for one in running if one.done() and not one.cancelled()])

    def _build_stage(self, planned: Planned) -> Result:
        begin, triggers = self._begin(planned)
        try:
            return Stage(self, planned).run(begin, triggers)
        except BaseException:
            self._over.set()
            raise

    def _begin(self, planned: Planned) -> tuple[Result, list[tuple[Any, Source]]]:
        """What FROM gives, and the triggers of it."""
        base = self.origin(planned.base)
        if base.kind == stages.STAGE:
            before = self.results[base.stage]
            now = state.begin(before.state.scope, before.state.config, before.state.author)
            found = Result(now, before.files, before.key, before.history, before.created, before.machine, before.base,
                           before.below)  # fmt: skip
            return found, self._triggers(before.state.config, base.name)
        scope = variables.Scope(self.plan.globals, self.request.build_args, escape=self.file.escape)
        if base.kind in (stages.EMPTY, stages.CONTEXT):
            platform = base.platform or self.platform
            machine = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
            empty = Result(state.begin(scope, None), Files(), self._key("scratch"), machine=machine)
            return empty, self._copy_all(planned) if base.kind == stages.CONTEXT else []
        image = self.images[base]
        config = image.config
        settings: dict[str, Any] = dict(config.get("config") or {})
        if not any(line.startswith("PATH=") for line in settings.get("Env") or []):
            settings["Env"] = [f"PATH={state.PATH}", *(settings.get("Env") or [])]
        files = self._files(image)
        found = Result(
            state.begin(scope, settings, config.get("author") or ""), files, self._key(image.id),
            tuple(config.get("history") or ()), config.get("created") or "",
            {name: config[name] for name in ("os", "architecture", "variant") if name in config},
            (image.reference or base.name, image.digest), len(files.diff_ids),
        )  # fmt: skip
        return found, self._triggers(settings, base.name)

    def _copy_all(self, planned: Planned) -> list[tuple[Any, Source]]:
        """A folder as a base is all of its files."""
        node = planned.stage.from_.node
        return [(Copy(node, sources=("/",), destination="/", from_=planned.base.name), self.file.source)]

    def _key(self, base: str) -> str:
        """The base's key. Layers made with SOURCE_DATE_EPOCH are others than those without."""
        return keys.of_base(base if self.request.epoch is None else f"{base} {self.request.epoch}")

    def _triggers(self, config: Mapping[str, Any], name: str) -> list[tuple[Any, Source]]:
        expressions = list(config.get("OnBuild") or [])
        found = dockerfile.triggers(expressions, name)
        return [(one, Source(f"ONBUILD of {name}", (one.node.text,))) for one in found]

    # -- where files come from ---------------------------------------------------------------------------------------

    def _find_all_images(self) -> None:
        """Of every stage that is needed; what an ONBUILD of an image takes from elsewhere may need more."""
        begun: set[int] = set()
        triggers: dict[int, list[Instruction]] = {}
        while True:
            for planned in self.plan.stages:
                if planned.stage.index not in begun:
                    begun.add(planned.stage.index)
                    self._find_base(planned)
                for one, name in planned.takes:
                    self._find(one, self.origin(planned.inputs[name]), name)
            found = {one.stage.index: brought for one in self.plan.stages if (brought := self._brought(one))}
            if found == triggers:
                return
            triggers, self.plan = found, self._plan(found)
            self._announce()

    def _find_base(self, planned: Planned) -> None:
        """The image the stage begins with, pulled if it is not here. BuildError with the line that names it."""
        base = self.origin(planned.base)
        self._tell_base(planned, "running")
        self._find(planned.stage.from_, base, planned.stage.from_.image)
        self._tell_base(planned, "done", base)

    def _brought(self, planned: Planned) -> list[Instruction]:
        """What an ONBUILD of its image brings."""
        image = self.images.get(self.origin(planned.base))
        config = (image.config.get("config") or {}) if image else {}
        return [one for one, _ in self._triggers(config, planned.base.name)]

    def _find(self, by: Instruction, origin: Input, written: str) -> None:
        if origin.kind != stages.IMAGE or origin in self.images:
            return
        try:
            self.images[origin] = self._image(origin.name, origin.platform)
        except Error as error:
            raise self._not_found(by, written, error.message, error.hint) from None

    def _tell_base(self, planned: Planned, state: str, base: Input | None = None) -> None:
        """The step that FROM is; `base` when it is there."""
        stage, image = planned.stage, self.images.get(base) if base else None
        self.tell({
            "event": "step", "id": f"{stage.index}.from", "stage": stage.label, "lines": list(stage.from_.node.lines),
            "state": state, "text": stage.from_.node.text.strip(), "note": _told(image) if image else "",
        })  # fmt: skip

    def _not_found(self, by: Instruction, written: str, message: str, hint: str) -> BuildError:
        return self.file.source.error(f"{by.name}: {message}", *by.node.lines, word=written, hint=hint)

    def _image(self, name: str, platform: str) -> Image:
        wish = platform or self.request.platform
        found = store.resolve(self.engine, wanted.ensure(self.engine, name, self.request.pull, wish, self.tell))
        if found.is_host:
            return found
        needed = [found.digest, found.id, *(layer["digest"] for layer in found.layers)]
        if not lease.claim(self.engine, [layout.blob(self.engine, digest) for digest in needed]):
            raise NotFound(f"a part of image {found} is not in the store", hint="pull or load it again")
        return found

    def _files(self, image: Image) -> Files:
        blobs = [Blob(oci_type(one["mediaType"]), one["digest"], one["size"]) for one in image.layers]
        return Files(tuple(image.config["rootfs"]["diff_ids"]), tuple(blobs), image.base)

    def origin(self, one: Input) -> Input:
        """Where files come from: a named context may be an image (`--build-context NAME=docker-image://IMAGE`)."""
        given = self.request.contexts.get(one.name, "") if one.kind == stages.CONTEXT else ""
        if isinstance(given, str) and given.startswith(AS_IMAGE):
            return Input(stages.IMAGE, given.removeprefix(AS_IMAGE))
        return one

    def files_of(self, one: Input) -> Files:
        """The files of a stage, an image, or scratch, which has none."""
        if one.kind == stages.EMPTY:
            return Files()
        return self.results[one.stage].files if one.kind == stages.STAGE else self._files(self.images[one])

    def lowers(self, files: Files) -> list[str]:
        """The unpacked layers, top first; [] of none."""
        return rootfs.stack(self.engine, [one.digest for one in files.blobs], files.diff_ids, files.base)

    def main_context(self) -> Context:
        with self._lock:
            if "" not in self._contexts:
                self._contexts[""] = self._open("context", self.request.context)
            return self._contexts[""]

    def context(self, name: str) -> Context:
        """A named one."""
        with self._lock:
            if name not in self._contexts:
                self._contexts[name] = self._open(name, self.request.contexts[name])
            return self._contexts[name]

    def _open(self, name: str, given: str | Mapping[str, Any]) -> Context:
        if not isinstance(given, str):
            return contexts.of_files(self.engine, self._stack, name, given)
        if not given:
            return contexts.of_files(self.engine, self._stack, name, {})
        if name == "context":
            return contexts.with_ignore_file(given, self.request.path)
        return contexts.of_folder(name, given)

    def folder(self) -> Path:
        """An empty one that lasts as long as the build."""
        with self._lock:
            return self._stack.enter_context(scratch.folder(self.engine)) / "root"

    # -- what the stages ask for -------------------------------------------------------------------------------------

    def runner(self, stage: Stage) -> Runner:
        return Runner(self.engine, self.settings, stage.sources.shown, self._over.is_set)

    def check(self) -> None:
        """Raises Cancelled when the build is over."""
        if self._over.is_set():
            raise Cancelled

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Equal steps of several stages are done once: the others wait for the first."""
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        while not turn.acquire(timeout=_TICK_S):
            self.check()
        try:
            yield
        finally:
            turn.release()

    def moment(self) -> str:
        return moment(self.request.epoch)

    def offer(self, now: Result) -> str:
        """The image of the files as they are, for somebody to look into; its name."""
        return result.offer(self, now, FAILED)


def _platform(text: str) -> str:
    try:
        return value.platform(text)
    except ValueError as error:
        raise InvalidArgument(f"--platform: {error}", hint="type --platform linux/amd64") from None


def _told(image: Image) -> str:
    """`3 layers, 45 MiB`; the size of the files where they are unpacked."""
    if image.is_host:
        return "this machine's own folders"
    count, size = len(image.layers), image.size
    return f"{count} layer{'s' * (count != 1)}{f', {amount(size, stored)}' if size is not None else ''}"


def _first_cause(errors: Sequence[BaseException | None]) -> BaseException:
    """Of several stages' errors one that is not the end of the others."""
    found = [error for error in errors if error]
    return next((error for error in found if not isinstance(error, Cancelled)), found[0])
