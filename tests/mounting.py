"""What -v, --mount and --tmpfs give a container: options, a script, and what it printed in a container of Docker's.

tests/system/volumes.txt holds it, one case a line: `OPTIONS  SCRIPT  OUTPUT`, `refused` where no container was made.
`HOST` is a folder of the host with `dir/inside`, `file` and nothing else, `VOLUME` a name that is new in each case.
`python -m tests.mounting` (as root) makes it anew, `check 10` asks Docker about every tenth line; a line that ends in `! WHY` is ours and differs, and is kept.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.crafted import archive, base, entry, folder, layer, link

TABLE = Path(__file__).parent / "system/volumes.txt"
FILES = [
    folder("srv", mode=0o1770, uid=3, gid=4), entry("srv/program", b"#!", mode=0o4755, uid=5, gid=6),
    entry("srv/file", b"image\n", mode=0o640), link("srv/link", "/srv/file"), folder("srv/deep", mode=0o700),
    entry("srv/deep/er", b"deep\n"), link("way", "srv"), folder("declared"), entry("declared/file", b"declared\n"),
]  # fmt: skip
CONFIG: dict[str, Any] = {"Volumes": {"/declared": {}, "/empty/one": {}}}
CASES = (
    ("-v VOLUME:/srv", "cat /srv/file /srv/deep/er; readlink /srv/link; stat -c %a:%u:%g /srv /srv/program /srv/file"),
    ("-v VOLUME:/srv:ro", "cat /srv/file; touch /srv/x || echo no"),
    ("-v VOLUME:/srv:nocopy", "ls /srv; stat -c %a:%u:%g /srv"),
    ("-v VOLUME:/srv:rw,z", "touch /srv/x && cat /srv/file"),
    ("-v /srv", "cat /srv/file; stat -c %a:%u:%g /srv"),
    ("-v VOLUME:/way", "cat /srv/file; readlink /way"),
    ("-v VOLUME:/srv/deep", "cat /srv/deep/er; stat -c %a:%u:%g /srv/deep"),
    ("-v VOLUME:/new/place", "ls -A /new/place; stat -c %a:%u:%g /new /new/place"),
    ("-u 1000 -v VOLUME:/new", "touch /new/x || echo no"),
    ("-v VOLUME:/a -v VOLUME:/b", "echo x > /a/f; cat /b/f"),
    ("-v VOLUME:/a -v OTHER:/a", "true"),
    ("-v VOLUME:/a --tmpfs /a", "true"),
    ("-v VOLUME:/", "true"),
    ("-v VOLUME:relative", "true"),
    ("-v a/b:/x", "true"),
    ("-v x:/x", "true"),
    ("-v VOLUME:/x:fast", "true"),
    ("-v HOST/dir:/srv", "cat /srv/inside; ls /srv"),
    ("-v HOST/dir:/srv:ro", "touch /srv/x || echo no"),
    ("-v HOST/none:/x", "ls -A /x; stat -c %a:%u:%g /x"),
    ("-v HOST/file:/etc/hosts", "cat /etc/hosts"),
    ("-v HOST/file:/new/file", "cat /new/file"),
    ("-v HOST/file:/srv", "true"),
    ("-v HOST/dir:/srv/file", "true"),
    ("-v HOST/dir:/x:noexec", "true"),
    ("", "cat /declared/file; ls -A /empty/one"),
    ("-v VOLUME:/declared", "cat /declared/file"),
    ("--tmpfs /declared", "ls -A /declared"),
    ("--read-only -v VOLUME:/data --tmpfs /tmp", "touch /data/x /tmp/x && echo yes; touch /x || echo no; touch /declared/x && echo yes"),
    ("--tmpfs /srv", "ls -A /srv; stat -c %a:%u:%g /srv"),
    ("--tmpfs /t:size=64k,mode=700,uid=5", "stat -c %a:%u:%g /t; df -k /t | tail -1 | while read _ k _; do echo $k; done"),
    ("--mount type=volume,src=VOLUME,dst=/srv,readonly", "cat /srv/file; touch /srv/x || echo no"),
    ("--mount source=VOLUME,target=/srv,volume-nocopy", "ls -A /srv"),
    ("--mount type=volume,dst=/srv", "cat /srv/file"),
    ("--mount type=tmpfs,dst=/t,tmpfs-mode=750,tmpfs-size=1m", "stat -c %a /t; df -k /t | tail -1 | while read _ k _; do echo $k; done"),
    ("--mount type=tmpfs,dst=/t", "stat -c %a /t"),
    ("--mount type=bind,src=HOST/dir,dst=/x,ro", "cat /x/inside; touch /x/y || echo no"),
    ("--mount type=bind,src=HOST/none,dst=/x", "true"),
    ("--mount type=bind,dst=/x", "true"),
    ("--mount type=volume,src=VOLUME", "true"),
    ("--mount type=bind,src=HOST/dir,dst=/x,speed=9", "true"),
    ("--mount type=npipe,src=HOST/dir,dst=/x", "true"),
    ("--mount type=volume,src=VOLUME,dst=/m,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=1m", "df -k /m | tail -1 | while read _ k _; do echo $k; done"),
)  # fmt: skip
Run = Callable[[list[str], str], tuple[int, str]]
"""Runs a script in a container with these options; its exit status (125: no container) and output."""


class Case(NamedTuple):
    """One line of the table."""

    options: str
    script: str
    output: str
    why: str = ""


def read() -> list[Case]:
    found = []
    for line in TABLE.read_text().splitlines():
        if not line.startswith("#"):
            row, _, why = line.partition(" ! ")
            found.append(Case(*row.split("\t"), why))
    return found


def outcome(run: Run, options: str, script: str, host: Path, number: int) -> str:
    """What comes of a case, in one line."""
    words = options.replace("VOLUME", f"case-{number}").replace("OTHER", f"other-{number}").replace("HOST", f"{host}")
    status, output = run(shlex.split(words), script)
    return "refused" if status == 125 or status == 127 else " ".join(output.split())


def make_host(place: Path) -> Path:
    (place / "dir").mkdir(parents=True)
    (place / "dir/inside").write_text("inside\n")
    (place / "file").write_text("file\n")
    return place


def stocked(place: Path) -> Path:
    """The image, as a docker-archive called stocked:1."""
    return archive(place, "stocked:1", [base(), layer(FILES)], CONFIG)


def main() -> None:
    """Write Docker's own answers down; `check` and a step: compare every so many cases with the table instead."""
    if sys.argv[1:2] == ["check"]:
        chosen = [case for case in read() if not case.why][:: int(sys.argv[2])]
        for case, output in zip(chosen, of_docker([case[:2] for case in chosen]), strict=True):
            assert output == case.output, (case, output)
        print(f"Docker agrees {len(chosen)} times")
        return
    old = {(case.options, case.script): case for case in read()} if TABLE.exists() else {}
    lines = ["# Written by Docker (python -m tests.mounting): options, script, what it printed."]
    for (options, script), output in zip(CASES, of_docker(CASES), strict=True):
        known = old.get((options, script))
        kept = f"{known.output} ! {known.why}" if known and known.why else output
        lines.append(f"{options}\t{script}\t{kept}")
    TABLE.write_text("\n".join(lines) + "\n")


def of_docker(cases: Sequence[tuple[str, str]]) -> list[str]:
    """What the cases print in containers of Docker's."""
    from tests.bench import programs

    with tempfile.TemporaryDirectory(prefix="nbc-v-", dir="/var/tmp") as name:
        with programs.docker(Path(name, "docker"), None) as client:
            load = [*client, "load", "-q", "-i", str(stocked(Path(name, "image.tar")))]
            subprocess.run(load, check=True, stdout=subprocess.DEVNULL)

            def run(options: list[str], script: str) -> tuple[int, str]:
                words = [*client, "run", "--rm", "--network", "none", *options, "stocked:1", "/bin/sh", "-c", script]
                done = subprocess.run(words, capture_output=True, text=True, check=False)
                return done.returncode, done.stdout

            return [
                outcome(run, options, script, make_host(Path(name, f"host{number}")), number)
                for number, (options, script) in enumerate(cases)
            ]


if __name__ == "__main__":
    sys.exit(main())
