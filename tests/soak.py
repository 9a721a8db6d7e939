"""kill -9 at any moment: three processes pull, load, import, tag, remove and prune at once, and die all the time.

    python -m tests.soak --rounds 2000 --seed 1

A round is one death: of a client with its launcher and all their children, of the launcher alone, or of one of its
children. Every so often everybody stops: the store must be whole (every blob's digest, every snapshot against its
tar), and after all is removed nothing may be left. What the processes do and when they die comes from the seed; what
the kernel makes of it does not.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import signal
import sys
import tarfile
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nbcontainers.engine import Engine, default_engine
from nbcontainers.errors import Error, ImageError, InvalidState, LauncherDied, NotFound
from nbcontainers.image import api
from nbcontainers.launcher import client, pause
from tests import registries
from tests import tarballs as t

CLIENTS = 3
LONGEST_S = 0.25
CHECK_EVERY = 100
MARK = "NBCONTAINERS_SOAK"


def tree(seed: int, files: int) -> bytes:
    """A layer of small files, some of them links, with something to white out below."""
    chance = random.Random(seed)
    members = [t.folder("shared"), t.file(f"shared/.wh.{seed}")]
    members += [t.file(f"d{n % 20}/f{seed}-{n}", chance.randbytes(chance.randrange(4000))) for n in range(files)]
    members += [t.hardlink(f"d0/link{seed}", f"d0/f{seed}-0")] if files else []
    return t.archive(*members)


@dataclass
class Sources:
    """What the images come from."""

    pulled: list[str]
    archives: list[str]
    tars: list[str]


@contextlib.contextmanager
def sources(folder: Path) -> Iterator[Sources]:
    """A registry on loopback, archives of both forms, and tars. Images share their first layers."""
    base, middle = tree(1, 300), tree(2, 100)
    archives = [str(t.docker_archive(folder / f"a{n}.tar", [base, tree(10 + n, 40)], f"load:{n}", "load:last"))
                for n in range(3)]  # fmt: skip
    tars = [str(folder / f"t{n}.tar.gz") for n in range(2)]
    for n, path in enumerate(tars):
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            for number in range(150):
                info = tarfile.TarInfo(f"x{n}/{number % 9}/{number}")
                info.size = 1500
                archive.addfile(info, io.BytesIO(random.Random(number).randbytes(1500)))
    with registries.docker_registry(folder / "registry") as registry:
        for tag in ("1", "2", "3"):
            registries.fill(registry, f"app:{tag}", [base, middle, tree(20 + int(tag), 60)])
        yield Sources([f"{registry.host}/app:{tag}" for tag in "123"], archives, tars)


class Client:
    """One process that works until it is killed. Forked of us: it has nothing to import."""

    def __init__(self, seed: int, known: Sources, log: Path) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setsid()
                _work(random.Random(seed), known, log)
            except BaseException:
                with open(log, "a") as file:
                    file.write(json.dumps({"crash": traceback.format_exc()}) + "\n")
            finally:
                os._exit(code)

    def kill(self, chance: random.Random) -> str:
        """Somebody dies; what is said is who."""
        below = list(descendants(self.pid))
        kind = chance.choice(["all", "all", "client", "launcher", "child"])
        victims = {"all": [self.pid, *below], "client": [self.pid], "launcher": below[:1], "child": below[-1:]}[kind]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.pid in victims:
            os.waitpid(self.pid, 0)
            self.pid = 0
        return kind


def descendants(pid: int) -> Iterator[int]:
    """Children, and theirs, the older ones first. They are ours: nobody else's number can be among them."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def _work(chance: random.Random, known: Sources, log: Path) -> None:
    while True:
        begun, what = time.monotonic(), chance.choice(_DOINGS)
        try:
            what(chance, known)
            told = {"done": what.__name__, "seconds": round(time.monotonic() - begun, 3)}
        except Error as error:
            told = {"failed": what.__name__, "error": type(error).__name__, "message": str(error)}
        with open(log, "a") as file:
            file.write(json.dumps(told) + "\n")


def pull(chance: random.Random, known: Sources) -> None:
    api.pull(chance.choice(known.pulled), tls_verify=False)


def load(chance: random.Random, known: Sources) -> None:
    api.load(chance.choice(known.archives))


def import_(chance: random.Random, known: Sources) -> None:
    number = chance.randrange(len(known.tars))
    api.import_(known.tars[number], f"imported:{number}")


def rm(chance: random.Random, known: Sources) -> None:
    if names := [row["reference"] for row in api.ls() if row["digest"] and row["repository"] != "localhost/host"]:
        api.rm(chance.choice(names), force=True)


def tag(chance: random.Random, known: Sources) -> None:
    if names := [row["reference"] for row in api.ls() if row["digest"] and row["repository"] != "localhost/host"]:
        api.tag(chance.choice(names), f"tagged:{chance.randrange(3)}")


def prune(chance: random.Random, known: Sources) -> None:
    api.prune(all_=chance.random() < 0.3)


def verify(chance: random.Random, known: Sources) -> None:
    api.verify()


_DOINGS = [pull, pull, pull, load, load, import_, rm, rm, tag, prune, prune, verify]


@dataclass
class Report:
    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    wrong: list[str] = field(default_factory=list)


_EXPECTED = (LauncherDied, NotFound, InvalidState)


def soak(rounds: int, seed: int, folder: Path, *, check_every: int = CHECK_EVERY) -> Report:
    """Run it with the default engine. What was wrong is in the report's `wrong`."""
    chance, report, log = random.Random(seed), Report(), folder / "log"
    os.environ[MARK] = str(folder)
    with sources(folder) as known:
        clients: list[Client] = []
        try:
            while report.rounds < rounds and not report.wrong:
                clients = [one for one in clients if one.pid]
                while len(clients) < CLIENTS:
                    clients.append(Client(chance.randrange(1 << 30), known, log))
                time.sleep(chance.random() ** 2 * LONGEST_S)
                report.kills[chance.choice(clients).kill(chance)] += 1
                report.rounds += 1
                if report.rounds % check_every == 0 or report.rounds == rounds:
                    _stop(clients)
                    _check(report, known, folder, last=report.rounds == rounds)
        finally:
            _stop(clients)
            os.environ.pop(MARK)
    _read(log, report)
    return report


def _stop(clients: list[Client]) -> None:
    """Kill them, then wait for what they had started."""
    for one in clients:
        for pid in [one.pid, *descendants(one.pid)] if one.pid else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if one.pid:
            os.waitpid(one.pid, 0)
            one.pid = 0
    deadline = time.monotonic() + 20
    while others := list(_others()):
        if time.monotonic() > deadline:
            raise AssertionError(f"processes outlive their client: {others}")
        time.sleep(0.02)


def _others() -> Iterator[str]:
    """Processes of the soak but for us, the registry and the pause process of an ordinary user."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                words, environment = (path / "cmdline").read_bytes(), (path / "environ").read_bytes()
            except OSError:
                continue
            stays = words.startswith(b"sleep\0") or b"docker-registry" in words.split(b"\0")[0]
            if mark in environment.split(b"\0") and not stays:
                yield f"{path.name} {words.replace(bytes(1), b' ').decode()[:200]}"


def _check(report: Report, known: Sources, folder: Path, *, last: bool) -> None:
    """The store is whole, and work goes on. It is done by a process of its own: ours is to stay without a launcher."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            found = _faults(known, empty=last or report.checks % 3 == 2)
            (folder / "wrong").write_text(json.dumps(found))
            code = 0
        except BaseException:
            (folder / "wrong").write_text(json.dumps([traceback.format_exc()]))
            code = 0
        finally:
            client.close()
            os._exit(code)
    os.waitpid(pid, 0)
    report.checks += 1
    report.wrong += json.loads((folder / "wrong").read_text())


def _faults(known: Sources, *, empty: bool) -> list[str]:
    engine = default_engine()
    try:
        api.verify()
    except ImageError as error:
        return [str(error)]
    api.pull(known.pulled[0], tls_verify=False)
    api.load(known.archives[0])
    api.prune()
    api.verify()
    found = [f"left: {name}" for name in _halves(engine)]
    if empty:
        for row in api.ls(all_=True):
            if row["digest"] and row["repository"] != "localhost/host":
                with contextlib.suppress(NotFound):  # it went with its other name
                    api.rm(row["reference"] or row["digest"], force=True)
        found += [f"left when all was removed: {name}" for name in _leftovers(engine)]
    return found


def _halves(engine: Engine) -> Iterator[str]:
    """What the dead had begun: a sweep takes all of it."""
    for pattern in ("partial/*", "leases/*", "snapshots/*.partial", "snapshots/*.lock"):
        yield from (str(path.relative_to(engine.root)) for path in engine.root.glob(pattern))
    for snapshot in engine.snapshots.iterdir():
        if snapshot.name != "l" and not (snapshot / "layer.json").exists():
            yield f"snapshots/{snapshot.name} without layer.json"


def _leftovers(engine: Engine) -> Iterator[str]:
    for pattern in ("images/blobs/*/*", "snapshots/*"):
        yield from (str(path.relative_to(engine.root)) for path in engine.root.glob(pattern) if path.name != "l")


def _read(log: Path, report: Report) -> None:
    """What the clients said of themselves. An error that no kill and no other client explains is wrong."""
    for line in log.read_text().splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue  # killed while it wrote
        if "crash" in told:
            report.wrong.append(told["crash"])
        elif "done" in told:
            report.done[told["done"]] += 1
        else:
            report.failed[told["error"]] += 1
            if not _explained(told["error"], told["message"]):
                report.wrong.append(f"{told['failed']}: {told['error']}: {told['message']}")


def _explained(error: str, message: str) -> bool:
    return error in {one.__name__ for one in _EXPECTED} or "died" in message


def main() -> int:
    parser = argparse.ArgumentParser(description="kill -9 at any moment")
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nbc-soak-", dir="/dev/shm") as name:
        os.environ["NBCONTAINERS_ROOT"], os.environ["NBCONTAINERS_RUN"] = f"{name}/root", f"{name}/run"
        begun, folder = time.monotonic(), Path(name, "work")
        folder.mkdir()
        report = soak(options.rounds, options.seed, folder)
        pause.end_if_unused(os.environ["NBCONTAINERS_RUN"])
    print(f"{report.rounds} kills in {time.monotonic() - begun:.0f} s: {dict(report.kills)}; {report.checks} checks")
    print(f"done: {dict(report.done)}\nfailed: {dict(report.failed)}")
    print("\n".join(dict.fromkeys(report.wrong)) or "the store was whole each time, and work went on")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
