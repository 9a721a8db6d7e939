"""What each instruction of a Dockerfile says, as frozen data. Made by meaning.py of a parser's Node.

Values may still hold variables; `variables.py` puts them in and gives an instruction of the same class back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nbcontainers.dockerfile.heredoc import Heredoc
from nbcontainers.dockerfile.mount import Mount
from nbcontainers.dockerfile.parser import Node

Pairs = tuple[tuple[str, str], ...]
PIPES = "/dev/pipes"


@dataclass(frozen=True)
class Instruction:
    """`node` is where it came from: its lines for errors, its text for the history."""

    node: Node = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(frozen=True)
class From(Instruction):
    """`stage` is the name after AS in lower case, or ''; `keyword` that AS as typed."""

    image: str
    stage: str = ""
    platform: str = ""
    keyword: str = ""


@dataclass(frozen=True)
class Arg(Instruction):
    """(name, default); None is no default, '' an empty one."""

    args: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Env(Instruction):
    pairs: Pairs


@dataclass(frozen=True)
class Label(Instruction):
    pairs: Pairs


@dataclass(frozen=True)
class Maintainer(Instruction):
    author: str


@dataclass(frozen=True)
class Command(Instruction):
    """A command line: words of an exec form, or one text for the stage's shell."""

    words: tuple[str, ...]
    is_shell: bool

    def argv(self, shell: tuple[str, ...]) -> tuple[str, ...]:
        """What is executed, `shell` being the SHELL in force."""
        return (*shell, " ".join(self.words)) if self.is_shell else self.words


@dataclass(frozen=True)
class Run(Command):
    """`mount_flags` as written; `mounts` once no variable is left in them (None before)."""

    heredocs: tuple[Heredoc, ...] = ()
    mount_flags: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] | None = None
    network: str = "default"
    security: str = "sandbox"

    @property
    def script(self) -> Heredoc | None:
        """The here-document that begins with `#!`: it is put, executable, at PIPES/its name and run as it is."""
        return self.heredocs[0] if self._is_alone and self.heredocs[0].body.startswith("#!") else None

    @property
    def _is_alone(self) -> bool:
        from nbcontainers.dockerfile import heredoc

        return len(self.heredocs) == 1 and heredoc.parse(" ".join(self.words)) is not None

    def argv(self, shell: tuple[str, ...]) -> tuple[str, ...]:
        if not self.heredocs:
            return super().argv(shell)
        if script := self.script:
            return (f"{PIPES}/{script.name}",)
        if self._is_alone:
            return (*shell, self.heredocs[0].body)
        bodies = "".join(f"\n{one.content}{one.name}" for one in self.heredocs)
        return (*shell, " ".join(self.words) + bodies)


@dataclass(frozen=True)
class Cmd(Command):
    pass


@dataclass(frozen=True)
class Entrypoint(Command):
    pass


@dataclass(frozen=True)
class Content:
    """A file written in the Dockerfile itself; variables in `data` are expanded when `expand`."""

    name: str
    data: str
    expand: bool


@dataclass(frozen=True)
class Copy(Instruction):
    """`contents` are here-documents. `chmod` and `chown` are '' when not given, `link` None."""

    sources: tuple[str, ...]
    destination: str
    contents: tuple[Content, ...] = ()
    from_: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Add(Copy):
    """`unpack` None: local archives are unpacked, remote ones not."""

    keep_git_dir: bool = False
    checksum: str = ""
    unpack: bool | None = None


@dataclass(frozen=True)
class Workdir(Instruction):
    path: str


@dataclass(frozen=True)
class User(Instruction):
    user: str


@dataclass(frozen=True)
class Volume(Instruction):
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Expose(Instruction):
    """Ports as written; ports.py makes `80/tcp` of them once variables are put in."""

    ports: tuple[str, ...]


@dataclass(frozen=True)
class Stopsignal(Instruction):
    signal: str


@dataclass(frozen=True)
class Shell(Instruction):
    words: tuple[str, ...]


@dataclass(frozen=True)
class Healthcheck(Instruction):
    """`test` is ("NONE",), ("CMD", word, …) or ("CMD-SHELL", text); times in nanoseconds, 0 for the default."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    def config(self) -> dict[str, object]:
        """The `Healthcheck` object of an image config; zeros are left out."""
        times = {
            "Interval": self.interval, "Timeout": self.timeout, "StartPeriod": self.start_period,
            "StartInterval": self.start_interval, "Retries": self.retries,
        }  # fmt: skip
        return {"Test": list(self.test), **{key: value for key, value in times.items() if value}}


@dataclass(frozen=True)
class Onbuild(Instruction):
    """`expression` is the text kept in the image; `trigger` what it means."""

    expression: str
    trigger: Instruction
