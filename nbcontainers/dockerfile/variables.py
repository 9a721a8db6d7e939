"""Which value a variable has where: ARG before FROM, ARG and ENV in a stage, build arguments, predefined ones.

Dockerfile reference, «ARG», «ENV», «Environment replacement». Within one stage the later of ENV and ARG counts, as in
BuildKit; an ARG without any value leaves an ENV of that name alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from nbcontainers.dockerfile import instructions as i
from nbcontainers.dockerfile import mount, value
from nbcontainers.dockerfile.expansion import Expanded, Mode, expand
from nbcontainers.dockerfile.source import Source, quoted

PROXIES = tuple(
    name for word in ("HTTP", "HTTPS", "FTP", "NO", "ALL") for name in (f"{word}_PROXY", f"{word.lower()}_proxy")
)
EPOCH = "SOURCE_DATE_EPOCH"
_BODY = Mode(quotes_are_text=True)
T = TypeVar("T", bound=i.Instruction)


@dataclass(frozen=True)
class Globals:
    """The values that FROM lines see, and that a stage gets with `ARG name`. `declared` are those of ARG lines."""

    values: Mapping[str, str]
    declared: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Scope:
    """What a stage knows after one of its instructions; every instruction gives a new one.

    `env` is what goes into the image; `args` the ARGs in force; `variables` both together, the later winning.
    """

    globals: Globals
    build_args: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    declared: frozenset[str] = frozenset()  # by ARG, with or without a value
    escape: str = "\\"

    def environment(self) -> dict[str, str]:
        """What RUN gets: the variables, and the proxies among the build arguments."""
        return {name: self.build_args[name] for name in PROXIES if name in self.build_args} | dict(self.variables)

    def keyed_args(self) -> dict[str, str]:
        """The ARGs that belong to RUN's cache key and history; a proxy only when an ARG names it."""
        return dict(sorted(self.args.items()))

    def after(self, one: i.Instruction) -> Scope:
        """The scope once `one`, already expanded, is done."""
        if isinstance(one, i.Env):
            pairs = dict(one.pairs)
            args = {name: text for name, text in self.args.items() if name not in pairs}
            return replace(self, env={**self.env, **pairs}, args=args, variables={**self.variables, **pairs})
        if isinstance(one, i.Arg):
            given = {name: text for name, text in one.args if text is not None}
            declared = self.declared | {name for name, _ in one.args}
            variables = {**self.variables, **given}
            return replace(self, args={**self.args, **given}, variables=variables, declared=declared)
        return self


def globals_of(
    args: Iterable[i.Arg],
    build_args: Mapping[str, str],
    platforms: Mapping[str, str],
    source: Source,
    escape: str = "\\",
) -> Globals:
    """Values of the ARGs before the first FROM. `platforms` are value.platform_arguments'."""
    values = dict(platforms)
    declared: set[str] = set()
    for one in args:
        for name, default in one.args:
            declared.add(name)
            if name in build_args:
                values[name] = build_args[name]
            elif default is not None:
                values[name] = _text(one, default, values, source, escape).text
    if EPOCH in build_args:
        values.setdefault(EPOCH, build_args[EPOCH])
    return Globals(values, frozenset(declared))


def of_from(one: i.From, known: Globals, source: Source, escape: str = "\\") -> tuple[i.From, frozenset[str]]:
    """FROM with its variables put in, and the names that no ARG before it declares."""
    image = _text(one, one.image, known.values, source, escape)
    platform = _text(one, one.platform, known.values, source, escape)
    if not image.text:
        hint = "give the ARG a default, or pass --build-arg NAME=VALUE"
        raise source.error("FROM: the image's name is empty", *one.node.lines, word=one.image, hint=hint)
    try:
        done = replace(one, image=image.text, platform=value.platform(platform.text) if platform.text else "")
    except ValueError as error:
        raise source.error(f"FROM: --platform: {error}", *one.node.lines, word=one.platform) from None
    return done, image.unmatched | platform.unmatched


def of_instruction(one: T, scope: Scope, source: Source) -> tuple[T, frozenset[str]]:
    """An instruction of a stage with its variables put in and its values checked, and the names nobody has set.

    A BuildError has those names as its detail `unset`.
    """
    unmatched: set[str] = set()

    def text(word: str) -> str:
        done = expand(word, scope.variables, scope.escape)
        unmatched.update(done.unmatched)
        return done.text

    def split(word: str) -> tuple[str, ...]:
        done = expand(word, scope.variables, scope.escape)
        unmatched.update(done.unmatched)
        return done.words

    try:
        return _put_in(one, text, split, scope), frozenset(unmatched) - scope.declared
    except ValueError as error:
        wrong = source.error(f"{one.name}: {error}", *one.node.lines, word=quoted(str(error)))
        wrong.details["unset"] = sorted(unmatched - scope.declared)
        raise wrong from None


def _text(one: i.Instruction, word: str, values: Mapping[str, str], source: Source, escape: str) -> Expanded:
    try:
        return expand(word, values, escape)
    except ValueError as error:
        raise source.error(f"{one.name}: {error}", *one.node.lines, word=word) from None


def _put_in(one: T, text: Callable[[str], str], split: Callable[[str], tuple[str, ...]], scope: Scope) -> T:
    done: i.Instruction = one
    if isinstance(one, (i.Env, i.Label)):
        done = replace(one, pairs=tuple((_named(text(name), one), text(content)) for name, content in one.pairs))
    elif isinstance(one, i.Arg):
        done = replace(
            one, args=tuple((text(name), _argument(text(name), default, text, scope)) for name, default in one.args)
        )
    elif isinstance(one, i.Copy):
        done = _copied(one, text, scope)
    elif isinstance(one, i.Run):
        made = tuple(mount.parse(flag, text) for flag in one.mount_flags)
        done = replace(one, mounts=tuple(each for each in made if each is not None))
    elif isinstance(one, i.Workdir):
        done = replace(one, path=text(one.path))
    elif isinstance(one, i.User):
        done = replace(one, user=text(one.user))
    elif isinstance(one, i.Stopsignal):
        done = replace(one, signal=value.signal(text(one.signal)))
    elif isinstance(one, i.Volume):
        done = replace(one, paths=tuple(_filled(text(path), path, "path") for path in one.paths))
    elif isinstance(one, i.Expose):
        done = replace(one, ports=value.ports([port for word in one.ports for port in split(word)]))
    return done  # type: ignore[return-value]


def _named(name: str, one: i.Instruction) -> str:
    if not name:
        raise ValueError(f"a name of {one.name} is empty")
    return name


def _filled(text: str, written: str, what: str) -> str:
    if not text:
        raise ValueError(f"the {what} {written!r} is empty: give its variable a value with ARG, ENV or --build-arg")
    return text


def _argument(name: str, default: str | None, text: Callable[[str], str], scope: Scope) -> str | None:
    """--build-arg, else the default, else the value of the same ARG before the first FROM."""
    if name in scope.build_args:
        return scope.build_args[name]
    return text(default) if default is not None else scope.globals.values.get(name)


def _copied(one: i.Copy, text: Callable[[str], str], scope: Scope) -> i.Copy:
    """COPY and ADD. A here-document's body keeps its quotes; only variables and escapes in it count. A source that is
    empty (a variable without a value, of which the checks warn) is the whole context, as for BuildKit."""
    contents = tuple(
        replace(each, data=expand(each.data, scope.variables, "\\", _BODY).text) if each.expand else each
        for each in one.contents
    )
    done = replace(
        one, sources=tuple(text(word) or "/" for word in one.sources), contents=contents,
        destination=text(one.destination), chown=text(one.chown),
        chmod=text(one.chmod), exclude=tuple(text(word) for word in one.exclude),
    )  # fmt: skip
    if done.chmod:
        value.chmod(done.chmod)
    return replace(done, checksum=text(one.checksum)) if isinstance(one, i.Add) and isinstance(done, i.Add) else done


def source_date_epoch(text: str) -> int | str | None:
    """What SOURCE_DATE_EPOCH says: seconds since 1970, `context` or a stage's name; None when it is empty.

    ValueError for a negative number.
    """
    if not text:
        return None
    if text.lstrip("+-").isdigit() and text.isascii():
        if int(text) < 0:
            raise ValueError(f"{EPOCH}={text} is before 1970")
        return int(text)
    return text
