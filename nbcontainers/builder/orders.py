"""From the options of `image build` to a Request."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nbcontainers.builder import building, shared
from nbcontainers.builder import context as contexts
from nbcontainers.builder import output as outputting
from nbcontainers.builder.building import Request
from nbcontainers.builder.credentials import agents, secrets
from nbcontainers.builder.opening import Opened, Opener, dockerfile_in
from nbcontainers.container import parse
from nbcontainers.container.options import RunOptions, check_names, value, values
from nbcontainers.engine import Engine
from nbcontainers.errors import BuildError, InvalidArgument
from nbcontainers.image.image import Image
from nbcontainers.linux import inroot

Pairs = Sequence[str] | Mapping[str, Any]
ALLOWED = ("network.host", "security.insecure")
_NAMES = ("Dockerfile", "Containerfile")
_OF_RUN = ("network", "add_host", "memory", "cpus", "shm_size")


def build(
    engine: Engine, tell: Callable[[dict[str, Any]], None] | None, *, context: Any, context_from: Any, file: str,
    dockerfile: str | None, tag: Sequence[str], build_arg: Pairs, build_context: Pairs, label: Pairs, annotation: Pairs,
    secret: Pairs, no_cache_filter: Sequence[str], pull: bool, target: str, platform: str, no_cache: bool, iidfile: str,
    output: Sequence[str], ssh: Sequence[str], allow: Sequence[str], cache_from: Sequence[str],
    cache_to: Sequence[str], squash: bool,
    **run: Any,
) -> Image:  # fmt: skip
    """`image build`, its options as they were given."""
    outputs = [outputting.parse(text) for text in _texts(output)]
    outputting.check(outputs)
    arguments = _arguments(build_arg)
    tags = [*_texts(tag), *(one.name for one in outputs if one.name)]
    if iidfile and not os.access(os.path.dirname(os.path.abspath(iidfile)), os.W_OK):
        raise InvalidArgument(f"--iidfile {iidfile} cannot be written", hint="name a file in a folder of yours")
    with ExitStack() as stack:
        opener = Opener(engine, stack, tell)
        opened = _opened(opener, context, context_from, from_input=dockerfile is None and not file)
        text, name, path = _dockerfile(opened, file, dockerfile)
        named = pairs("build-context", build_context).items()
        more = {name: opener.named(name, place) if isinstance(place, str) else place for name, place in named}
        request = Request(
            text, name, path, opened.folder, more, tags=tags, target=target,
            platform=platform, build_args=arguments, labels=pairs("label", label),
            annotations=pairs("annotation", annotation), no_cache=no_cache, no_cache_filter=_texts(no_cache_filter),
            pull="newer" if pull else "missing", secrets=secrets(_given(secret), os.environ), options=_options(run),
            cache_from=[shared.parse("cache-from", one, must_be=True) for one in _texts(cache_from)],
            cache_to=[shared.parse("cache-to", one, must_be=False) for one in _texts(cache_to)], allow=_allowed(allow),
            agents=agents(_texts(ssh), os.environ),
            squash=squash, when=opened.when,
        )  # fmt: skip
        image = building.build(engine, request, tell)
    for one in outputs:
        outputting.write(image, one, [one.name] if one.name else tags)
    if iidfile:
        Path(iidfile).write_text(image.id)
    return image


def _opened(opener: Opener, context: Any, context_from: Any, *, from_input: bool) -> Opened:
    given = context_from or context
    if isinstance(context_from, str) and context_from:
        raise InvalidArgument("--context-from is for notebooks, where variables are", hint="give a folder as CONTEXT")
    return Opened(given) if isinstance(given, Mapping) else opener.main(os.fspath(given), reads_input=from_input)


def _dockerfile(context: Opened, file: str, text: str | None) -> tuple[bytes, str, str]:
    """The Dockerfile's bytes, what errors call it, and its path, "" for one that has none."""
    if text is not None:
        if file:
            raise InvalidArgument("the Dockerfile is given twice, as text and as a file", hint="leave -f out")
        return text.encode("utf-8", "surrogateescape"), "Dockerfile", ""
    if file == "-":
        return dockerfile_in(sys.stdin.buffer, "the input"), "Dockerfile", ""
    if context.dockerfile is not None and not file:
        return context.dockerfile, "Dockerfile", ""
    if isinstance(context.folder, Mapping):
        return _in_memory(context.folder, file)
    path = _found(context.folder, file, is_foreign=context.is_foreign)
    try:
        opener = _within(context.folder) if context.is_foreign else os.open
        with open(
            path, "rb", opener=_waiting_for_nobody(opener) if context.is_foreign or not file else opener
        ) as opened:
            content = dockerfile_in(opened, path)
    except OSError as error:
        hint = "name it with -f FILE; - reads it from a pipe; a cell that begins with %%image build is one itself"
        raise BuildError(f"cannot read the Dockerfile {path}: {error.strerror}", hint=hint) from None
    return content, file or os.path.relpath(path, context.folder or "."), path


def _in_memory(files: Mapping[str, Any], file: str) -> tuple[bytes, str, str]:
    name = file or next((one for one in _NAMES if one in files), "")
    if name not in files:
        hint = "give it as text, or as Dockerfile in the context"
        raise InvalidArgument(f"the context has no {name or 'Dockerfile'}", hint=hint)
    return contexts.content_of("context", name, files[name]), name, ""


def _within(folder: str) -> Callable[[str, int], int]:
    """Opens a path of the folder; a link in it ends there."""

    def opener(path: str, flags: int) -> int:
        root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return inroot.openat2(root, os.path.relpath(path, folder), flags)
        finally:
            os.close(root)

    return opener


def _waiting_for_nobody(open: Callable[[str, int], int]) -> Callable[[str, int], int]:
    """Opens no pipe and no device: what -f does not name on purpose must not be one that nobody ever writes to."""

    def opener(path: str, flags: int) -> int:
        file = open(path, flags | os.O_NONBLOCK)
        mode = os.fstat(file).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            os.close(file)
            raise OSError(errno.EINVAL, "it is a pipe or a device", path)
        return file

    return opener


def _found(context: str, file: str, *, is_foreign: bool) -> str:
    """-f is a path from here, or in the context where there is none here; without it Dockerfile, or Containerfile.

    Where the context came from elsewhere it is a path in that, as in Docker.
    """
    folder = os.path.expanduser(context or ".")
    if not file:
        paths = [os.path.join(folder, name) for name in _NAMES]
        return next((path for path in paths if os.path.lexists(path)), paths[0])
    inside = os.path.join(folder, file.lstrip("/") if is_foreign else file)
    here = os.path.expanduser(file)
    return inside if is_foreign or (not os.path.exists(here) and os.path.exists(inside)) else here


def _arguments(given: Pairs) -> dict[str, str]:
    """Build arguments; a name alone takes the value of the variable here, and none where there is none."""
    if isinstance(given, Mapping):
        return {str(name): str(text) for name, text in given.items() if text is not None}
    found = {}
    for text in _texts(given):
        name, equals, content = text.partition("=")
        if not name:
            raise InvalidArgument(f"--build-arg {text}: there is no name", hint="write NAME=VALUE")
        if equals:
            found[name] = content
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def pairs(option: str, given: Pairs) -> dict[str, Any]:
    """KEY=VALUE texts as a mapping; one is taken as it is."""
    if isinstance(given, Mapping):
        return {str(name): content for name, content in given.items()}
    found = {}
    for text in _texts(given):
        name, equals, content = text.partition("=")
        if not name or (not equals and option == "build-context"):
            raise InvalidArgument(f"--{option} {text}: write NAME=VALUE", hint=f"as in --{option} name=value")
        found[name] = content
    return found


def _texts(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _allowed(given: Sequence[str]) -> list[str]:
    for text in _texts(given):
        if text not in ALLOWED:
            raise InvalidArgument(f"--allow {text} is not known", hint=f"write {' or '.join(ALLOWED)}")
    return _texts(given)


def _given(secret: Pairs | str) -> Pairs:
    return [secret] if isinstance(secret, str) else secret


def _options(run: Mapping[str, Any]) -> RunOptions:
    options: Any = {name: run[name] for name in _OF_RUN if run.get(name)}
    check_names(options)
    for name, parser in (("memory", parse.memory), ("cpus", parse.cpus), ("shm_size", parse.positive_size)):
        value(options, name, parser)  # bad text is an error also where every step is kept
    values(options, "add_host", parse.host)
    return options  # type: ignore[no-any-return]
