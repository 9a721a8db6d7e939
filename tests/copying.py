"""The table of `docker cp`: what becomes of every kind of source at every kind of destination, in both directions.

tests/system/cp.txt holds it, one case a line: `SOURCE  DESTINATION  OUTCOME`; `-L` before the source follows it. The
outcome is what is new in the destination's tree, or `error`. `python -m tests.copying` (as root) makes it anew
with Docker, `python -m tests.copying check 10` asks it about every tenth line; a line that ends in `! WHY` is ours and differs, and is kept.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).parent / "system/cp.txt"
SOURCES = (
    "f", "f/", "d", "d/", "d/.", "e", "lf", "ld", "ld/", "ld/.", "dangling", "none", "-L lf", "-L ld", "-L dangling",
)  # fmt: skip
DESTINATIONS = (
    "new", "new/", "tf", "tf/", "td", "td/", "td/.", "tlf", "tld", "tld/", "tdangling", "none/new", "clash", ".",
)  # fmt: skip
MAKE_SOURCE = """
mkdir -p s/d/sub s/e; echo F > s/f; echo A > s/d/a; echo B > s/d/sub/b
ln -s a s/d/l; ln -s f s/lf; ln -s d s/ld; ln -s nowhere s/dangling
"""
MAKE_TARGET = """
mkdir -p {0}/td/sub {0}/clash/f; echo TF > {0}/tf; echo O > {0}/td/old; echo O > {0}/td/a; echo O > {0}/clash/d
ln -s tf {0}/tlf; ln -s td {0}/tld; ln -s made {0}/tdangling; ln -s old {0}/td/l
"""
LIST = """
find {0} | sort | while read p; do
    if [ -L $p ]; then echo "$p->$(readlink $p)"; elif [ -d $p ]; then echo $p/; else echo "$p=$(cat $p)"; fi
done
"""
Shell = Callable[[str], str]
"""Runs a script and gives its output."""
Copy = Callable[[list[str]], bool]
"""`cp` with these words; whether it succeeded."""


class Case(NamedTuple):
    """One line of the table."""

    source: str
    destination: str
    outcome: str = ""
    why: str = ""

    @property
    def follow(self) -> bool:
        return self.source.startswith("-L ")

    def expected(self, way: str) -> str:
        """The outcome on the way `in` or `out` of a container."""
        if not self.outcome.startswith("in: "):
            return self.outcome
        into, _, out = self.outcome.removeprefix("in: ").partition(" | out: ")
        return into if way == "in" else out

    def words(self, source: str, destination: str) -> list[str]:
        """As `cp` takes them, the two folders before the names."""
        name = self.source.removeprefix("-L ")
        return [*(["-L"] if self.follow else []), f"{source}/{name}", f"{destination}/{self.destination}"]


def every() -> list[Case]:
    return [Case(source, destination) for source in SOURCES for destination in DESTINATIONS]


def read() -> list[Case]:
    """The table as it is written down."""
    found = []
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            row, _, why = line.partition(" ! ")
            source, destination, outcome = (part.strip() for part in row.split("\t"))
            found.append(Case(source, destination, outcome, why))
    return found


def outcomes(
    cases: Iterable[Case], copy: Copy, source: Shell, target: Shell, prefixes: tuple[str, str]
) -> list[str]:  # fmt: skip
    """Run the cases, each into a tree of its own. `prefixes` stand before the folders `s` and `t0`, `t1`, …"""
    cases = list(cases)
    source(MAKE_SOURCE)
    target("".join(MAKE_TARGET.format(f"t{number}") for number in range(len(cases))) + MAKE_TARGET.format("before"))
    done = [
        copy(case.words(f"{prefixes[0]}s", f"{prefixes[1]}t{number}")) for number, case in enumerate(cases)
    ]  # fmt: skip
    listing = target("".join(LIST.format(f"t{number}") for number in range(len(cases))) + LIST.format("before"))
    found: dict[str, set[str]] = {}
    for line in listing.splitlines():
        tree, _, rest = line.partition("/")
        found.setdefault(tree, set()).add(rest)
    before = found["before"]
    return [_outcome(ok, before, found[f"t{number}"]) for number, ok in enumerate(done)]


def _outcome(ok: bool, before: set[str], after: set[str]) -> str:
    new = " ".join(sorted(after - before))
    gone = " ".join(f"-{path}" for path in sorted(before - after) if path.split("=")[0] not in _names(after))
    told = " ".join(part for part in (new, gone) if part) or "nothing"
    return told if ok else "error" if told == "nothing" else f"error {told}"


def _names(entries: Iterable[str]) -> set[str]:
    return {entry.split("=")[0].split("->")[0] for entry in entries}


def write(direction: dict[str, list[str]]) -> None:
    """The table, where both directions agree."""
    old = {(case.source, case.destination): case for case in read()} if TABLE.exists() else {}
    lines = ["# Written by Docker (python -m tests.copying): source, destination, what is new there."]
    for number, case in enumerate(every()):
        known = old.get((case.source, case.destination))
        into, out = direction["in"][number], direction["out"][number]
        outcome = into if into == out else f"in: {into} | out: {out}"
        if known and known.why:
            outcome = f"{known.outcome} ! {known.why}"
        lines.append(f"{case.source}\t{case.destination}\t{outcome}")
    TABLE.write_text("\n".join(lines) + "\n")


def host_shell(folder: Path) -> Shell:
    """`sh -c` in a folder of this machine."""

    def run(script: str) -> str:
        return subprocess.run(["sh", "-c", script], cwd=folder, check=True, capture_output=True, text=True).stdout

    return run


def main() -> None:
    """Write Docker's own answers down; `check` and a step: compare every so many cases with the table instead."""
    if sys.argv[1:2] == ["check"]:
        chosen = [case for case in read() if not case.why][:: int(sys.argv[2])]
        for way, found in of_docker(chosen).items():
            for case, outcome in zip(chosen, found, strict=True):
                assert outcome == case.expected(way), (way, case, outcome)
        print(f"Docker agrees {2 * len(chosen)} times")
    else:
        write(of_docker(every()))


def of_docker(cases: list[Case]) -> dict[str, list[str]]:
    """What becomes of the cases with `docker cp`, by direction."""
    from tests import peers
    from tests.bench import programs

    found = {}
    with tempfile.TemporaryDirectory(prefix="nbc-cp-", dir="/var/tmp") as name:
        folder = Path(name)
        with programs.docker(folder / "docker", peers.busybox_archive(folder / "base.tar")) as client:
            run = [*client, "run", "-d", "--name", "cc", "--network", "none", "bench", "/bin/sleep", "1000"]
            subprocess.run(run, check=True, stdout=subprocess.DEVNULL)

            def copy(words: list[str]) -> bool:
                return subprocess.run([*client, "cp", *words], capture_output=True, check=False).returncode == 0

            for way in ("in", "out"):
                inside = _in_container(client, f"/{way}")
                (folder / way).mkdir()
                outside, place = host_shell(folder / way), f"{folder}/{way}/"
                ends = (outside, inside, (place, f"cc:/{way}/"))
                if way == "out":
                    ends = (inside, outside, (f"cc:/{way}/", place))
                found[way] = outcomes(cases, copy, *ends)
            subprocess.run([*client, "rm", "-f", "cc"], check=True, stdout=subprocess.DEVNULL)
    return found


def _in_container(client: list[str], folder: str) -> Shell:
    def run(script: str) -> str:
        words = [*client, "exec", "cc", "/bin/sh", "-c", f"export PATH=/bin; mkdir -p {folder}; cd {folder}; {script}"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    return run


if __name__ == "__main__":
    sys.exit(main())
