"""A parser's Node → an instruction: its flags and arguments checked. BuildError shows the line and what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from nbcontainers.dockerfile import heredoc, mount, value
from nbcontainers.dockerfile import instructions as i
from nbcontainers.dockerfile.parser import Node
from nbcontainers.dockerfile.source import Source, near, quoted

_STAGE = re.compile(r"[a-z][a-z0-9\-_.]*")
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|[0-9a-f]{1,64}")
Flags = dict[str, list[str]]
TEXT, TEXTS, BOOL = "text", "texts", "bool"
_COPY = {"chown": TEXT, "chmod": TEXT, "link": BOOL, "exclude": TEXTS}
KNOWN: Mapping[str, Mapping[str, str]] = {
    "FROM": {"platform": TEXT},
    "RUN": {"mount": TEXTS, "network": TEXT, "security": TEXT, "device": TEXTS},
    "COPY": {**_COPY, "from": TEXT, "parents": BOOL},
    "ADD": {**_COPY, "keep-git-dir": BOOL, "checksum": TEXT, "unpack": BOOL},
    "HEALTHCHECK": dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), TEXT),
}


class Wrong(ValueError):
    """What is wrong with an instruction, the word of it that is, and what to write."""

    def __init__(self, message: str, word: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.word = word
        self.hint = hint


def read(node: Node, source: Source) -> i.Instruction:
    """What a node means. BuildError for an unknown instruction or flag and for arguments it cannot have."""
    try:
        return understand(node)
    except ValueError as error:
        word, hint = (error.word, error.hint) if isinstance(error, Wrong) else ("", "")
        subject = f"{node.name}: " if node.name in READERS else ""
        raise source.error(f"{subject}{error}", *node.lines, word=word or quoted(str(error)), hint=hint) from None


def understand(node: Node) -> i.Instruction:
    """The same without a file: for triggers of a base image. ValueError, most often a Wrong."""
    reader = READERS.get(node.name)
    if reader is None:
        hint = f"known: {' '.join(READERS)}"
        raise Wrong(f"unknown instruction {node.word!r}{near(node.word, READERS)}", node.word, hint)
    return reader(node, flags(node))


def flags(node: Node) -> Flags:
    """The flags by name; a switch without value is ["true"]."""
    known = KNOWN.get(node.name, {})
    found: Flags = {}
    for flag in node.flags:
        key, equals, text = flag[2:].partition("=")
        kind = known.get(key)
        if kind is None:
            takes = (
                f"{node.name} takes {' '.join(f'--{one}' for one in known)}" if known else f"{node.name} takes no flags"
            )
            close = near(f"--{key}", [f"--{one}" for one in known])
            raise Wrong(f"unknown flag --{key}{close}", f"--{key}", takes)
        if key in found and kind != TEXTS:
            raise Wrong(f"--{key} is given twice", f"--{key}", "keep one of them")
        if kind != BOOL and not equals:
            raise Wrong(f"--{key} needs a value", f"--{key}", f"write --{key}=VALUE")
        if kind == BOOL and equals and text.lower() not in ("true", "false"):
            raise Wrong(f"--{key} takes true or false, not {text!r}", f"--{key}", f"write --{key} or --{key}=false")
        found.setdefault(key, []).append(text if equals else "true")
    return found


def _one(given: Flags, name: str, default: str = "") -> str:
    return given[name][0] if name in given else default


def _on(given: Flags, name: str) -> bool:
    return _one(given, name).lower() == "true"


def _exactly_one(node: Node, metavar: str) -> str:
    if not node.args:
        raise Wrong("it needs an argument", node.word, f"write {node.name} {metavar}")
    return node.args[0]


def _some(node: Node, metavar: str) -> tuple[str, ...]:
    _exactly_one(node, metavar)
    return node.args


def _from(node: Node, given: Flags) -> i.From:
    form = "write FROM [--platform=PLATFORM] IMAGE [AS NAME]"
    if not node.args:
        raise Wrong("it needs an image", node.word, form)
    image, *rest = node.args
    if not rest:
        return i.From(node, image, platform=_one(given, "platform"))
    keyword, *name = rest
    if len(name) != 1 or keyword.upper() != "AS":
        raise Wrong("it takes one argument or three", keyword, form)
    stage = name[0].lower()
    if not _STAGE.fullmatch(stage):
        hint = "a name begins with a letter; then letters, digits, '-', '_' and '.'"
        raise Wrong(f"invalid name for a stage: {name[0]!r}", name[0], hint)
    return i.From(node, image, stage, _one(given, "platform"), keyword)


def _arg(node: Node, given: Flags) -> i.Arg:
    args: list[tuple[str, str | None]] = []
    for word in _some(node, "NAME[=DEFAULT]"):
        name, equals, default = word.partition("=")
        if not name:
            raise Wrong(f"{word!r} has no name", word, "write ARG NAME[=DEFAULT]")
        args.append((name, default if equals else None))
    return i.Arg(node, tuple(args))


def _pairs(node: Node) -> i.Pairs:
    args = _some(node, "NAME=VALUE")
    found = tuple(zip(args[::2], args[1::2], strict=True))
    for name, text in found:
        if not name:
            raise Wrong(f"'={text}' has no name", f"={text}", f"write {node.name} NAME=VALUE")
    return found


def _env(node: Node, given: Flags) -> i.Env:
    return i.Env(node, _pairs(node))


def _label(node: Node, given: Flags) -> i.Label:
    return i.Label(node, _pairs(node))


def _maintainer(node: Node, given: Flags) -> i.Maintainer:
    return i.Maintainer(node, _exactly_one(node, "NAME"))


def _run(node: Node, given: Flags) -> i.Run:
    if "device" in given:
        raise Wrong("--device needs CDI devices, which this builder does not have", "--device", "remove it")
    network = _choice(given, "network", ("default", "none", "host"))
    security = _choice(given, "security", ("sandbox", "insecure"))
    mounts = tuple(given.get("mount", ()))
    for text in mounts:
        mount.parse(text, None)
    return i.Run(node, node.args, not node.is_json, node.heredocs, mounts, network=network, security=security)


def _choice(given: Flags, name: str, known: tuple[str, ...]) -> str:
    text = _one(given, name, known[0])
    if text not in known:
        hint = f"write --{name}={'|'.join(known)}"
        raise Wrong(f"--{name}: {text!r} is not known{near(text, known)}", f"--{name}={text}", hint)
    return text


def _cmd(node: Node, given: Flags) -> i.Cmd:
    return i.Cmd(node, node.args, not node.is_json)


def _entrypoint(node: Node, given: Flags) -> i.Entrypoint:
    return i.Entrypoint(node, node.args, not node.is_json and bool(node.args))


def _copy(node: Node, given: Flags) -> i.Copy:
    sources, contents, destination = _files(node, given)
    from_ = _one(given, "from")
    if "$" in from_:
        hint = f"write before it FROM {from_} AS NAME with an ARG from before the first FROM, and --from=NAME here"
        raise Wrong("--from cannot hold a variable", from_, hint)
    return i.Copy(
        node, sources, destination, contents, from_, _one(given, "chown"), _one(given, "chmod"), _on(given, "link"),
        _on(given, "parents"), tuple(given.get("exclude", ())),
    )  # fmt: skip


def _add(node: Node, given: Flags) -> i.Add:
    sources, contents, destination = _files(node, given)
    checksum = _one(given, "checksum")
    if checksum and "$" not in checksum and not _CHECKSUM.fullmatch(checksum):
        hint = "write sha256: and 64 hexadecimal digits, or for git the commit or its beginning"
        raise Wrong(f"--checksum: {checksum!r} is no checksum", checksum, hint)
    return i.Add(
        node, sources, destination, contents, "", _one(given, "chown"), _one(given, "chmod"), _on(given, "link"),
        exclude=tuple(given.get("exclude", ())), keep_git_dir=_on(given, "keep-git-dir"), checksum=checksum,
        unpack=_on(given, "unpack") if "unpack" in given else None,
    )  # fmt: skip


def _files(node: Node, given: Flags) -> tuple[tuple[str, ...], tuple[i.Content, ...], str]:
    """(sources, here-documents, destination) of COPY and ADD."""
    args = _joined(node)
    if len(args) < 2:
        raise Wrong("it needs a source and a destination", node.word, f"write {node.name} SOURCE… DESTINATION")
    if not node.is_json and heredoc.parse(args[-1]):
        raise Wrong("a here-document cannot be the destination", args[-1], f"write {node.name} {args[-1]} PATH")
    chmod = _one(given, "chmod")
    if chmod and "$" not in chmod:
        value.chmod(chmod)
    bodies = {one.name: one for one in node.heredocs}
    sources: list[str] = []
    contents: list[i.Content] = []
    for word in args[:-1]:
        opened = None if node.is_json else heredoc.parse(word)
        if opened and opened.name in bodies:
            body = bodies[opened.name]
            contents.append(i.Content(body.name, body.body, body.expand))
        else:
            sources.append(word)
    return tuple(sources), tuple(contents), args[-1]


def _joined(node: Node) -> list[str]:
    """The arguments, with `<<` and a name after it in one."""
    args: list[str] = []
    names = {one.name for one in node.heredocs}
    for word in node.args:
        before = args[-1] if args and not node.is_json else ""
        opened = heredoc.parse(before + word) if before in ("<<", "<<-") else None
        if opened and opened.name in names:
            args[-1] += word
        else:
            args.append(word)
    return args


def _workdir(node: Node, given: Flags) -> i.Workdir:
    return i.Workdir(node, _exactly_one(node, "PATH"))


def _user(node: Node, given: Flags) -> i.User:
    return i.User(node, _exactly_one(node, "USER[:GROUP]"))


def _stopsignal(node: Node, given: Flags) -> i.Stopsignal:
    text = _exactly_one(node, "SIGNAL")
    return i.Stopsignal(node, text if "$" in text else value.signal(text))


def _volume(node: Node, given: Flags) -> i.Volume:
    paths = tuple(path.strip() for path in _some(node, "PATH…"))
    if "" in paths:
        raise Wrong("a volume needs a path", '""', 'write VOLUME PATH… or VOLUME ["PATH", …]')
    return i.Volume(node, paths)


def _expose(node: Node, given: Flags) -> i.Expose:
    words = _some(node, "PORT[/PROTOCOL]…")
    for word in words:
        if not re.search(r"""[$'"\\`]""", word):
            try:
                value.ports([word])
            except ValueError as error:
                raise Wrong(str(error), word) from None
    return i.Expose(node, words)


def _shell(node: Node, given: Flags) -> i.Shell:
    if not node.is_json or not node.args:
        raise Wrong("it takes a JSON array", hint='write SHELL ["/bin/sh", "-c"]')
    return i.Shell(node, node.args)


def _healthcheck(node: Node, given: Flags) -> i.Healthcheck:
    form = "write HEALTHCHECK [--interval=30s …] CMD COMMAND, or HEALTHCHECK NONE"
    kind, *args = (_exactly_one(node, "CMD COMMAND"), *node.args[1:])
    if kind.upper() == "NONE":
        if args or given:
            raise Wrong("NONE takes no arguments", (args or node.flags)[0], form)
        return i.Healthcheck(node, ("NONE",))
    if kind.upper() != "CMD":
        raise Wrong(f"{kind!r} is not known", kind, form)
    if not args:
        raise Wrong("there is no command after CMD", kind, form)
    times = {key.replace("-", "_"): _duration(key, text[0]) for key, text in given.items() if key != "retries"}
    retries = _retries(_one(given, "retries")) if _one(given, "retries") else 0
    return i.Healthcheck(node, ("CMD" if node.is_json else "CMD-SHELL", *args), **times, retries=retries)


def _retries(text: str) -> int:
    try:
        return value.whole(text, largest=2**31 - 1)
    except ValueError as error:
        raise Wrong(f"--retries: {error}", f"--retries={text}") from None


def _duration(name: str, text: str) -> int:
    try:
        return value.duration(text) if text else 0
    except ValueError as error:
        raise Wrong(f"--{name}: {error}", f"--{name}={text}") from None


def _onbuild(node: Node, given: Flags) -> i.Onbuild:
    child = node.child
    if child is None:
        raise Wrong("it needs an instruction", node.word, "write ONBUILD INSTRUCTION ARGUMENTS")
    if child.name in ("ONBUILD", "FROM", "MAINTAINER"):
        raise Wrong(f"{child.name} cannot be a trigger", child.word, "any other instruction can")
    trigger = understand(child)
    bodies = "".join(f"\n{one.content}{one.name}" for one in node.heredocs)
    expression = re.sub(r"(?i)^\s*ONBUILD\s*", "", node.text.strip())
    return i.Onbuild(node, expression + bodies, trigger)


READERS: dict[str, Callable[[Node, Flags], i.Instruction]] = {
    "ADD": _add, "ARG": _arg, "CMD": _cmd, "COPY": _copy, "ENTRYPOINT": _entrypoint, "ENV": _env, "EXPOSE": _expose,
    "FROM": _from, "HEALTHCHECK": _healthcheck, "LABEL": _label, "MAINTAINER": _maintainer, "ONBUILD": _onbuild,
    "RUN": _run, "SHELL": _shell, "STOPSIGNAL": _stopsignal, "USER": _user, "VOLUME": _volume, "WORKDIR": _workdir,
}  # fmt: skip
