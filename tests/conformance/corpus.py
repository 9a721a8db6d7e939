"""The corpus of Dockerfiles: one text file a theme in `dockerfiles/`, every case with its context.

    === name                  a case; before the first one stand files that all cases of the theme share
    ! target two              what to pass: target NAME, build-arg A=B, file NAME, or what to expect:
    ! refuse WORDS            no builder takes it; WORDS stand in our message
    ! lacks docker WHY        this peer (docker is 20.10's BuildKit, buildah 1.28) cannot: it is left out there
    ! differs docker WHY      a documented difference from that peer
    --- Dockerfile            a file of the context with its lines; --- NAME 755 has a mode,
    --- link -> target        a link; --- NAME/ is a folder
    --- NAME.tar archive      a tar; each line is a member: f|d MODE UID:GID PATH [TEXT], or l|h PATH TARGET

Bases are `scratch`, stages, and BASE, a busybox that the test has put into each builder's store.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "dockerfiles"
BASE = "localhost/nbc-busybox"


@dataclass(frozen=True)
class File:
    """One entry of a context: its lines, or where it links to; a name that ends with / is a folder."""

    name: str
    mode: int = 0o644
    content: str = ""
    link: str = ""
    is_archive: bool = False

    def write(self, root: Path) -> None:
        path = root / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.link:
            path.symlink_to(self.link)
        elif self.name.endswith("/"):
            path.mkdir(exist_ok=True)
            path.chmod(self.mode)
        elif self.is_archive:
            with tarfile.open(path, "w") as archive:
                for line in self.content.splitlines():
                    archive.addfile(*_member(line))
        else:
            path.write_bytes(self.content.encode())
            path.chmod(self.mode)


@dataclass
class Case:
    """One build: its files, its options as (name, value) in the order of the file."""

    theme: str
    name: str
    files: list[File] = field(default_factory=list)
    options: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.theme}/{self.name}"

    def all(self, option: str) -> list[str]:
        return [value for name, value in self.options if name == option]

    @property
    def dockerfile(self) -> str:
        name = (self.all("file") or ["Dockerfile"])[0]
        return next(file.content for file in reversed(self.files) if file.name == name)

    @property
    def refuse(self) -> str:
        return (self.all("refuse") or [""])[0]

    @property
    def target(self) -> str:
        return (self.all("target") or [""])[0]

    @property
    def build_args(self) -> dict[str, str]:
        return {name: value for name, _, value in (text.partition("=") for text in self.all("build-arg"))}

    def lacks(self, peer: str) -> str:
        """Why that peer cannot build it; '' when it can."""
        return next((text.partition(" ")[2] for text in self.all("lacks") if text.startswith(f"{peer} ")), "")

    def write(self, root: Path) -> None:
        """The context as files; a later file of the same name counts."""
        for file in {file.name: file for file in self.files}.values():
            file.write(root)


def load() -> list[Case]:
    """Every case of every theme."""
    return [case for path in sorted(FOLDER.glob("*.txt")) for case in read(path)]


def read(path: Path) -> Iterator[Case]:
    shared = Case(path.stem, "")
    case = shared
    lines: list[str] = []
    header = ""
    for line in [*path.read_bytes().decode().splitlines(keepends=True), "=== \n"]:
        if not line.startswith(("=== ", "--- ", "! ")) or (line.startswith("! ") and header):
            lines.append(line)
            continue
        if header:
            case.files.append(_file(header, "".join(lines)))
        header, lines = (line[4:].strip(), []) if line.startswith("--- ") else ("", [])
        if line.startswith("! "):
            name, _, value = line[2:].strip().partition(" ")
            case.options.append((name, value))
        elif line.startswith("=== "):
            if case is not shared:
                yield case
            case = Case(path.stem, line[4:].strip(), list(shared.files))


def _file(header: str, content: str) -> File:
    name, arrow, link = header.partition(" -> ")
    if arrow:
        return File(name, link=link)
    if header.endswith(" archive"):
        return File(header.removesuffix(" archive"), content=content, is_archive=True)
    match = re.fullmatch(r"(.+?)(?: ([0-7]{3,4}))?", header)
    assert match, header
    return File(match[1], int(match[2] or ("755" if match[1].endswith("/") else "644"), 8), content)


def _member(line: str) -> tuple[tarfile.TarInfo, io.BytesIO | None]:
    kind, *words = line.split()
    if kind in "lh":
        entry = tarfile.TarInfo(words[0])
        entry.type, entry.linkname = tarfile.SYMTYPE if kind == "l" else tarfile.LNKTYPE, words[1]
    else:
        entry = tarfile.TarInfo(words[2])
        entry.type, entry.mode = tarfile.DIRTYPE if kind == "d" else tarfile.REGTYPE, int(words[0], 8)
        entry.uid, entry.gid = map(int, words[1].split(":"))
    content = " ".join(words[3:]).encode() if kind == "f" else b""
    entry.size, entry.mtime = len(content), 1_000_000_000
    return entry, io.BytesIO(content)
