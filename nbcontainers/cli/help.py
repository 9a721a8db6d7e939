"""Help from the verbs themselves: the usage line first, what it does, one example, its options."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from nbcontainers import SHORTCUTS
from nbcontainers.cli.parser import HELP, usage, without_flags_of
from nbcontainers.cli.signature import LIST, MAPPING, Parameter
from nbcontainers.cli.verbs import SUMMARIES, Verb, objects, shortcut, verbs

EXAMPLES = {
    "container run": "run -m 256m --cpus 1 mini echo hello",
    "container create": "create --name later mini sleep 60",
    "container start": "start later",
    "container ps": "ps -a",
    "container ls": "ls -a",
    "container inspect": "inspect web",
    "container rm": "rm -f web",
    "container wait": "wait web",
    "container kill": "kill -s HUP web",
    "container stop": "stop -t 3 web",
    "container top": "top web",
    "container xray": "xray web",
    "container dashboard": "dashboard",
    "container stats": "stats web",
    "container logs": "logs --tail 20 web",
    "container exec": "exec web ps",
    "container prune": "prune --filter until=24h",
    "container restart": "restart -t 3 web",
    "container pause": "pause web",
    "container unpause": "unpause web",
    "container rename": "rename web shop",
    "container update": "update -m 512m --cpus 1 web",
    "container attach": "attach web",
    "container cp": "cp web:/etc/hosts hosts",
    "container commit": "commit web web:2",
    "container diff": "diff web",
    "container overlay": "overlay web",
    "container export": "export -o web.tar web",
    "container python": "python -m 512m --cpus 1 -i frame -o model",
    "image build": "build -t mine .",
    "builder ls": "ls",
    "builder prune": "prune --unused-for 24h",
    "image import": "import rootfs.tar.zst base:1",
    "image load": "load -i busybox.tar",
    "image ls": "ls",
    "image rm": "rm base:1",
    "image inspect": "inspect mini",
    "image tag": "tag base:1 base:stable",
    "image history": "history mini",
    "image tags": "tags nginx '1.21*' --digests",
    "image search-tags": "search-tags nginx",
    "image outdated": "outdated",
    "image pull": "pull nginx:1.21.7",
    "image push": "push base:1 registry.lab:5000/team/base:1",
    "image save": "save -o base.tar base:1",
    "image export": "export -o rootfs.tar base:1",
    "image verify": "verify",
    "image login": "login registry.lab:5000",
    "image logout": "logout registry.lab:5000",
    "image diff": "diff base:1 base:2",
    "image tree": "tree base:1",
    "image layers": "layers --lowest-efficiency 95% base:1",
    "image df": "df",
    "image prune": "prune",
    "volume ls": "ls -s",
    "volume create": "create --label team=blue data",
    "volume inspect": "inspect data",
    "volume rm": "rm data",
    "volume prune": "prune",
    "vm run": "run mini uname -r",
    "vm exec": "exec box uname -r",
    "vm cp": "cp box:/etc/hosts hosts",
    "vm ps": "ps -a",
    "vm ls": "ls -a",
    "vm inspect": "inspect box",
    "vm logs": "logs --tail 5 box",
    "vm console": "console box",
    "vm stop": "stop box",
    "vm kill": "kill box",
    "vm wait": "wait box",
    "vm rm": "rm box",
    "vm fetch-kernel": "fetch-kernel",
    "container port": "port web",
    "network create": "create --subnet 10.77.0.0/24 backend",
    "network ls": "ls",
    "network inspect": "inspect backend",
    "network topology": "topology",
    "network rm": "rm backend",
    "network connect": "connect backend web",
    "network disconnect": "disconnect backend web",
    "network prune": "prune",
    "network reload": "reload",
    "system info": "info",
    "system events": "events --since 10m --filter container=web",
    "container healthcheck": "healthcheck run web",
    "system df": "df",
    "system prune": "prune",
    "system doctor": "doctor",
    "compare run": "run --on host,container sha256,write_sync",
    "compare load": "load comparison.json",
    "compare targets": "targets",
    "compare workloads": "workloads",
    "compare layers": "layers",
    "compare interference": "interference",
}
_LEFT, _WIDTH = 34, 88
"""What an output of JupyterLab shows without breaking words on a screen of 1200 pixels."""


class Help(str):
    """Text that a notebook shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def of_verb(verb: Verb, name: str, face: Sequence[Parameter] = (), body: str = "") -> Help:
    """`name` is how the verb is typed in this face: `%container run`, `nbcontainers container run`."""
    parts = [f"usage: {usage(name, verb.parameters)}", _paragraph(verb.summary)]
    if verb.description:
        parts += map(_paragraph, verb.description.split("\n\n"))
    if body:
        parts.append(body)
    if example := EXAMPLES.get(f"{verb.object} {verb.name}"):
        parts.append(f"example: {name.rpartition(' ')[0]} {example}")
    parts += _sections(verb.parameters, face)
    return Help("\n\n".join(parts))


def of_object(object: str, name: str, body: str = "") -> Help:
    """The verbs of an object, each with an example."""
    lines = [f"usage: {name} VERB [OPTIONS] [ARGUMENTS...]", "", SUMMARIES[object], "", "verbs:"]
    for verb in verbs(object).values():
        lines.append(_line(f"  {verb.name}", verb.summary))
    lines += ["", "examples:"]
    lines += [f"  {name} {EXAMPLES.get(f'{object} {word}', word)}" for word in verbs(object)]
    return Help("\n".join([*lines, *([f"\n{body}"] if body else []), "", f"type {name} VERB --help for one verb"]))


def of_program(name: str = "nbcontainers") -> Help:
    """All objects and shortcuts."""
    lines = [f"usage: {name} OBJECT VERB [OPTIONS] [ARGUMENTS...]", "", "Containers without a daemon", "", "objects:"]
    lines += [_line(f"  {object}", SUMMARIES[object]) for object in objects()]
    lines += ["", "shortcuts:"]
    for word, (object, meant) in SHORTCUTS.items():
        if shortcut(word):
            lines.append(_line(f"  {word}", f"{object} {meant}"))
    lines += ["", f"example: {name} run -m 256m mini echo hello", "", f"type {name} OBJECT VERB --help for one verb"]
    return Help("\n".join(lines))


def _paragraph(text: str) -> str:
    """As wide as the rest; one with indented lines has a form of its own."""
    return text if "\n " in text or text.startswith(" ") else textwrap.fill(text, _WIDTH)


def _sections(own: Sequence[Parameter], face: Sequence[Parameter]) -> list[str]:
    arguments = [_line(f"  {one.metavar}", one.help) for one in own if one.positional and one.help]
    options = [_option(one) for one in own if not one.positional]
    options += [_option(one) for one in without_flags_of([*face, HELP], own)]
    return ["arguments:\n" + "\n".join(arguments)] * bool(arguments) + ["options:\n" + "\n".join(options)]


def _option(one: Parameter) -> str:
    flags = sorted((*one.flags, *one.off), key=lambda flag: (flag.startswith("--"), len(flag)))
    left = ", ".join(flags) if flags[0][1] != "-" else f"    {', '.join(flags)}"
    many = " (may be repeated)" if one.kind in (LIST, MAPPING) else ""
    return _line(f"  {left} {one.metavar}".rstrip(), f"{one.help}{many}")


def _line(left: str, right: str) -> str:
    """Two columns; a long left side takes a line of its own."""
    wrapped = textwrap.wrap(right, _WIDTH - _LEFT) or [""]
    first = f"{left:<{_LEFT}}{wrapped[0]}" if len(left) < _LEFT - 1 else f"{left}\n{' ' * _LEFT}{wrapped[0]}"
    return "\n".join([first.rstrip(), *(" " * _LEFT + line for line in wrapped[1:])])
