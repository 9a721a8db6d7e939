"""Build checks: what is allowed in a Dockerfile but most likely not meant. Rules and words are Docker's.

docs.docker.com/reference/build-checks. `# check=skip=RULE,…;error=true;experimental=all` in the file chooses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nbcontainers.dockerfile import directives, stages, value, variables
from nbcontainers.dockerfile import instructions as i
from nbcontainers.dockerfile.dockerfile import Dockerfile, Stage
from nbcontainers.dockerfile.expansion import expand
from nbcontainers.dockerfile.ignore import Ignore
from nbcontainers.dockerfile.parser import Node
from nbcontainers.dockerfile.source import Source, near
from nbcontainers.dockerfile.variables import Globals, Scope
from nbcontainers.errors import BuildError, Error
from nbcontainers.oci import reference

RULES: dict[str, str] = {
    "StageNameCasing": "Stage names should be lowercase",
    "FromAsCasing": "The 'as' keyword should match the case of the 'from' keyword",
    "NoEmptyContinuation": "Empty continuation lines will become errors in a future release",
    "ConsistentInstructionCasing": "All commands within the Dockerfile should use the same casing (either upper or lower)",
    "DuplicateStageName": "Stage names should be unique",
    "ReservedStageName": "Reserved words should not be used as stage names",
    "JSONArgsRecommended": "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    "MaintainerDeprecated": "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    "UndefinedArgInFrom": "FROM command must use declared ARGs",
    "WorkdirRelativePath": "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
    "UndefinedVar": "Variables should be defined before their use",
    "MultipleInstructionsDisallowed": "Multiple instructions of the same type should not be used in the same stage",
    "LegacyKeyValueFormat": "Legacy key/value format with whitespace separator should not be used",
    "InvalidBaseImagePlatform": "Base image platform does not match expected target platform",
    "RedundantTargetPlatform": "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    "SecretsUsedInArgOrEnv": "Sensitive data should not be used in the ARG or ENV commands",
    "InvalidDefaultArgInFrom": "Default value for global ARG results in an empty or invalid base image name",
    "FromPlatformFlagConstDisallowed": "FROM --platform flag should not use a constant value",
    "CopyIgnoredFile": "Attempting to Copy file that is excluded by .dockerignore",
    "InvalidDefinitionDescription": "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`",
    "ExposeProtoCasing": "Protocol in EXPOSE instruction should be lowercase",
    "ExposeInvalidFormat": "IP address and host-port mapping should not be used in EXPOSE instruction",
}
EXPERIMENTAL = frozenset({"CopyIgnoredFile", "InvalidDefinitionDescription"})
OPTION = "BUILDKIT_DOCKERFILE_CHECK"
"""The build argument that counts instead of the file's `# check=`."""
_RESERVED = ("context", "scratch")
_SECRET = re.compile(r"(?i)(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)")
_PUBLIC = re.compile(r"(?i)(?:_|^)public(?:_|$)")
_HOST = re.compile(r"[^$]*:[^$]*")


@dataclass(frozen=True)
class Warning:
    """One finding: the rule, Docker's message, and the lines it is about."""

    rule: str
    message: str
    lines: tuple[int, int]
    word: str = ""

    @property
    def description(self) -> str:
        return RULES[self.rule]

    @property
    def url(self) -> str:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", self.rule).lower()
        return f"https://docs.docker.com/go/dockerfile/rule/{name}/"


@dataclass(frozen=True)
class Facts:
    """What a check may know besides the file. `environments`: the variables of base images by name, as far as known."""

    build_args: Mapping[str, str] = field(default_factory=dict)
    platforms: Mapping[str, str] = field(default_factory=dict)
    ignore: Ignore | None = None
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    base_platforms: Mapping[str, str] = field(default_factory=dict)


Found = Iterator[Warning]


def check(file: Dockerfile, facts: Facts | None = None) -> list[Warning]:
    """Every finding the file's `# check=` does not skip, in the order of lines. An experimental rule is asked for by
    name, which also counts beside `skip=all`.

    BuildError with all of them when it says `error=true`.
    """
    facts = facts or Facts()
    wanted = file.directives.check
    if OPTION in facts.build_args:
        wanted = directives.check(
            Source(f"--build-arg {OPTION}", (facts.build_args[OPTION],)), facts.build_args[OPTION], 1
        )
    found = [one for rule in _CHECKS for one in rule(file, facts)]
    asked = EXPERIMENTAL if "all" in wanted.experimental else wanted.experimental & EXPERIMENTAL
    off = (RULES.keys() if "all" in wanted.skip else wanted.skip | EXPERIMENTAL) - asked
    kept = sorted((one for one in found if one.rule not in off), key=lambda one: one.lines)
    if kept and wanted.error:
        raise as_error(file, kept)
    return kept


def as_error(file: Dockerfile, found: list[Warning]) -> BuildError:
    """All findings in one error, each with its lines."""
    shown = [f"{show(file, one)}" for one in found]
    names = ",".join(sorted({one.rule for one in found}))
    hint = f"mend them, or put # check=skip={names} at the top of the file"
    line = found[0].lines
    message = f"{file.source.name}: check=error=true, and there are warnings\n" + "\n".join(shown)
    return BuildError(message, hint=hint, file=file.source.name, line=line[0], end_line=line[1], column=0)


def show(file: Dockerfile, one: Warning) -> str:
    """A finding with the line marked."""
    error = file.source.error(f"{one.rule}: {one.message}", *one.lines, word=one.word)
    return error.message


def base_platform(from_: i.From, actual: str, expected: str) -> Warning:
    """The finding about a base image that came with another platform than asked for."""
    message = f'Base image {from_.image} was pulled with platform "{actual}", expected "{expected}" for current build'
    return Warning("InvalidBaseImagePlatform", message, from_.node.lines, from_.image)


def _each(file: Dockerfile) -> Iterator[tuple[Stage, i.Instruction]]:
    return ((stage, one) for stage in file.stages for one in stage.instructions)


def _names(file: Dockerfile, facts: Facts) -> Found:
    seen: set[str] = set()
    for stage in file.stages:
        node, name = stage.from_.node, stage.name
        if not name:
            continue
        typed = node.args[2]
        if typed != typed.lower():
            yield Warning("StageNameCasing", f"Stage name '{typed}' should be lowercase", node.lines, typed)
        if name in seen:
            message = f'Duplicate stage name "{typed}", stage names should be unique'
            yield Warning("DuplicateStageName", message, node.lines, typed)
        if name in _RESERVED:
            message = f'Stage name should not use the same name as reserved stage "{typed}"'
            yield Warning("ReservedStageName", message, node.lines, typed)
        seen.add(name)
        keyword = stage.from_.keyword
        if not _is_mixed(node.word) and (keyword.isupper(), keyword.islower()) != (
            node.word.isupper(),
            node.word.islower(),
        ):
            message = f"'{keyword}' and '{node.word}' keywords' casing do not match"
            yield Warning("FromAsCasing", message, node.lines, f" {keyword} ")


def _is_mixed(word: str) -> bool:
    return not (word.isupper() or word.islower())


def _casing(file: Dockerfile, facts: Facts) -> Found:
    words = [node.word for node in file.nodes]
    lower = sum(word.islower() for word in words) > sum(word.isupper() for word in words)
    for node in file.nodes:
        if not (node.word.islower() if lower else node.word.isupper()):
            casing = "lowercase" if lower else "uppercase"
            message = f"Command '{node.word}' should match the case of the command majority ({casing})"
            yield Warning("ConsistentInstructionCasing", message, node.lines, node.word)


def _writing(file: Dockerfile, facts: Facts) -> Found:
    for node in file.nodes:
        if node.empty:
            yield Warning("NoEmptyContinuation", "Empty continuation line", (node.lines[1], node.lines[1]))
        if node.is_legacy:
            message = f'"{node.name} key=value" should be used instead of legacy "{node.name} key value" format'
            yield Warning("LegacyKeyValueFormat", message, node.lines)
        if node.name == "MAINTAINER":
            message = "Maintainer instruction is deprecated in favor of using label"
            yield Warning("MaintainerDeprecated", message, node.lines)


def _descriptions(file: Dockerfile, facts: Facts) -> Found:
    for stage in file.stages:
        if stage.name:
            yield from _description(stage.from_.node, [stage.from_.node.args[2]], stage.from_.node.args[2])
    for one in [*file.globals, *(one for _, one in _each(file) if isinstance(one, i.Arg))]:
        names = [name for name, _ in one.args]
        yield from _description(one.node, names, names[0] if len(names) == 1 else "<arg_key>")


def _description(node: Node, names: Sequence[str], shown: str) -> Found:
    """A comment that stands right above describes one of the names, written as they are."""
    if node.comments and not any(text.startswith(f"{name} ") for text in node.comments for name in names):
        message = f"Comment for {node.name} should follow the format: `# {shown} <description>`"
        yield Warning("InvalidDefinitionDescription", message, node.lines)


def _commands(file: Dockerfile, facts: Facts) -> Found:
    with_shell: set[str] = set()
    for stage in file.stages:
        has_shell = stage.from_.image.lower() in with_shell
        last: dict[str, i.Instruction] = {}
        for one in stage.instructions:
            has_shell = has_shell or isinstance(one, i.Shell)
            if isinstance(one, (i.Cmd, i.Entrypoint)) and one.is_shell and not has_shell:
                what = "to prevent unintended behavior related to OS signals"
                yield Warning(
                    "JSONArgsRecommended", f"JSON arguments recommended for {one.name} {what}", one.node.lines
                )
            if isinstance(one, (i.Cmd, i.Entrypoint, i.Healthcheck)):
                if one.name in last:
                    message = (
                        f"Multiple {one.name} instructions should not be used in the same stage "
                        "because only the last one will be used"
                    )
                    yield Warning("MultipleInstructionsDisallowed", message, last[one.name].node.lines)
                last[one.name] = one
        if has_shell:
            with_shell.add(stage.name)


def _secrets(file: Dockerfile, facts: Facts) -> Found:
    for one in [*file.globals, *(one for _, one in _each(file))]:
        if isinstance(one, (i.Arg, i.Env)):
            pairs = one.args if isinstance(one, i.Arg) else one.pairs
            for name, _ in pairs:
                if _SECRET.search(name) and not _PUBLIC.search(name):
                    message = f'Do not use ARG or ENV instructions for sensitive data ({one.name} "{name}")'
                    yield Warning("SecretsUsedInArgOrEnv", message, one.node.lines, name)


def _ports(file: Dockerfile, facts: Facts) -> Found:
    for _, one in _each(file):
        for port in one.ports if isinstance(one, i.Expose) else ():
            if _HOST.fullmatch(port):
                message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                yield Warning("ExposeInvalidFormat", message, one.node.lines, port)
            protocol = port.partition("/")[2]
            if "$" not in protocol and protocol != protocol.lower():
                message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                yield Warning("ExposeProtoCasing", message, one.node.lines, port)


def _bases(file: Dockerfile, facts: Facts) -> Found:
    known = _globals(file, facts.build_args, facts)
    defaults = _globals(file, {}, facts)
    for stage in file.stages:
        from_ = stage.from_
        if known is not None:
            yield from _undeclared(file, from_, known, facts)
        if defaults is not None and "$" in from_.image and not _is_image(file, from_.image, defaults):
            message = f"Default value for ARG {from_.image} results in empty or invalid base image name"
            yield Warning("InvalidDefaultArgInFrom", message, from_.node.lines, from_.image)
        if from_.platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
            message = (
                f"Setting platform to predefined {from_.platform} in FROM is redundant as this is the default behavior"
            )
            yield Warning("RedundantTargetPlatform", message, from_.node.lines, from_.platform)
        elif from_.platform and "$" not in from_.platform and not _says(stage.name, from_.platform):
            message = f'FROM --platform flag should not use constant value "{from_.platform}"'
            yield Warning("FromPlatformFlagConstDisallowed", message, from_.node.lines, from_.platform)
        if from_.image in facts.base_platforms and facts.platforms.get("TARGETPLATFORM") and not from_.platform:
            actual, expected = facts.base_platforms[from_.image], facts.platforms["TARGETPLATFORM"]
            if actual != expected:
                yield base_platform(from_, actual, expected)


def _globals(file: Dockerfile, build_args: Mapping[str, str], facts: Facts) -> Globals | None:
    platforms = facts.platforms or value.platform_arguments("linux/amd64", "linux/amd64")
    try:
        return variables.globals_of(file.globals, build_args, platforms, file.source, file.escape)
    except BuildError:  # the build itself says so
        return None


def _undeclared(file: Dockerfile, from_: i.From, known: Globals, facts: Facts) -> Found:
    names: set[str] = set()
    for text in (from_.image, from_.platform):
        try:
            names |= expand(text, known.values, file.escape).unmatched
        except ValueError:
            continue
    for name in sorted(names - known.declared):
        message = f"FROM argument '{name}' is not declared{near(name, {*known.values, *known.declared})}"
        yield Warning("UndefinedArgInFrom", message, from_.node.lines, name)


def _is_image(file: Dockerfile, text: str, known: Globals) -> bool:
    try:
        name = expand(text, known.values, file.escape).text
        return name == stages.SCRATCH or bool(reference.parse(name))
    except (ValueError, Error):
        return False


def _says(stage: str, platform: str) -> bool:
    """Whether a stage's name tells its platform, as build_amd64 does."""
    return any(part and part in stage for part in platform.lower().split("/")[:2])


def _copies(file: Dockerfile, facts: Facts) -> Found:
    for _, one in _each(file):
        if facts.ignore is None or not isinstance(one, i.Copy) or one.from_:
            continue
        for source in one.sources:
            if "$" in source or "://" in source or source.startswith("git@"):
                continue
            if facts.ignore.ignored(source) and not facts.ignore.may_take_back(source.strip("/")):
                message = f'Attempting to {one.name.capitalize()} file "{source}" that is excluded by .dockerignore'
                yield Warning("CopyIgnoredFile", message, one.node.lines, source)


def _scopes(file: Dockerfile, facts: Facts) -> Found:
    """UndefinedVar and WorkdirRelativePath, which need what came before in the stage and its parents."""
    known = _globals(file, facts.build_args, facts)
    ends: dict[str, tuple[Scope | None, bool]] = {}
    for stage in file.stages:
        start, absolute = _start(file, stage, known, facts, ends)
        found, scope, absolute = _walk(file, stage, start, absolute)
        yield from found
        if stage.name:
            ends[stage.name] = scope, absolute


def _start(
    file: Dockerfile, stage: Stage, known: Globals | None, facts: Facts, ends: Mapping[str, tuple[Scope | None, bool]]
) -> tuple[Scope | None, bool]:
    """The scope a stage begins with, None when its image is not known; and whether it has an absolute WORKDIR."""
    if known is None:
        return None, False
    try:
        image = variables.of_from(stage.from_, known, file.source, file.escape)[0].image
    except BuildError:
        return None, False
    if image.lower() in ends:
        return ends[image.lower()]
    env = {} if image == stages.SCRATCH else facts.environments.get(image)
    if env is None:
        return None, False
    return Scope(known, facts.build_args, dict(env), {}, dict(env), escape=file.escape), False


def _walk(
    file: Dockerfile, stage: Stage, scope: Scope | None, absolute: bool
) -> tuple[list[Warning], Scope | None, bool]:
    found: list[Warning] = []
    for one in stage.instructions:
        if isinstance(one, i.Workdir):
            if one.path.startswith(("/", "$")):
                absolute = True
            elif not absolute:
                message = f'Relative workdir "{one.path}" can have unexpected results if the base image changes'
                found.append(Warning("WorkdirRelativePath", message, one.node.lines, one.path))
        if scope is None or isinstance(one, i.Onbuild):
            continue
        try:
            done, unmatched = variables.of_instruction(one, scope, file.source)
            after: Scope | None = scope.after(done)
        except BuildError as error:  # the build itself says so
            after, unmatched = None, frozenset(error.details["unset"])
        for name in sorted(unmatched):
            close = near(name, scope.variables).replace("mean ", "mean $")
            message = f"Usage of undefined variable '${name}'{close}"
            found.append(Warning("UndefinedVar", message, one.node.lines, name))
        scope = after
    return found, scope, absolute


_CHECKS: tuple[Callable[[Dockerfile, Facts], Found], ...] = (
    _names, _casing, _writing, _descriptions, _commands, _secrets, _ports, _bases, _copies, _scopes,
)  # fmt: skip
