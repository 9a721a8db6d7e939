"""kill -9 at random moments of run, cp, create, rm and prune over volumes: whole volumes, and nothing else, are left.

1,000 deaths with NBCONTAINERS_ROUNDS=1000.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import system, volume
from nbcontainers.cgroups import detect
from nbcontainers.container import api
from nbcontainers.errors import Error, NotFound
from nbcontainers.monitor import ending
from tests.conftest import close_launcher
from tests.crafted import Images, entry, folder
from tests.soak import descendants

ROUNDS = int(os.environ.get("NBCONTAINERS_ROUNDS", "10"))
CHECK_EVERY = 10
FILES = 120
NAMES = ("one", "two", "three")
pytestmark = [pytest.mark.timeout(ROUNDS + 120)]


def work(chance: random.Random, image: str, place: Path) -> None:
    """What a client does until it is killed."""
    quiet: Any = {"network": "none", "stdout": lambda _: None, "stderr": lambda _: None}
    while True:
        name, number = chance.choice(NAMES), chance.randrange(7)
        try:
            if number < 3:
                kept = chance.choice([f"{name}:/srv", f"{name}:/srv:nocopy", "/srv"])
                api.run(image, "sh", "-c", "cat /srv/f7", rm=True, volume=[kept], raise_error=False, **quiet)
            elif number == 3:
                api.run(image, "sleep", "60", detach=True, volume=[f"{name}:/srv", "/anon"], network="none")
            elif number == 4:
                made = api.create(image, "true", volume=[f"{name}:/srv"], network="none")
                made.cp(place, ":/srv/copied")
                made.rm(volumes=True)
            elif number == 5:
                volume.rm(name, force=True)
            else:
                volume.prune(all=True)
        except Error as error:
            if error.details.get("traceback"):
                raise


class Client:
    """A forked process that works; it leads a session of its own."""

    def __init__(self, seed: int, image: str, place: Path) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                work(random.Random(seed), image, place)
            except BaseException:
                Path(place.parent, f"crash-{seed}").write_text(traceback.format_exc())
            finally:
                os._exit(1)

    def kill(self, chance: random.Random) -> None:
        """The client, perhaps with all below it, or one of its children alone."""
        below = list(descendants(self.pid))
        for pid in chance.choice([[self.pid], [*below, self.pid], below[-1:], below[:1]]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if pid == self.pid:
                os.waitpid(pid, 0)
                self.pid = 0

    def end(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def check(engine: Any) -> None:
    """Tidy, then look: volumes whole or not there, files complete, nothing mounted, nothing half made."""
    system.prune()
    for row in api.ps(all=True):
        with contextlib.suppress(NotFound):  # it has just removed itself
            api.rm(str(row["id"]), force=True, volumes=True)
    deadline = time.monotonic() + 10  # for those that are about to
    while os.listdir(engine.root / "containers") and time.monotonic() < deadline:
        time.sleep(0.02)
    system.prune(volumes=True)
    assert str(engine.root) not in Path("/proc/self/mountinfo").read_text()
    assert os.listdir(engine.root / "containers") == []
    assert [name for name in os.listdir(engine.run) if len(name) == 64] == []
    for name in os.listdir(engine.root / "volumes"):
        if name == ".lock":
            continue
        assert name in NAMES, name
        place = engine.root / "volumes" / name
        assert sorted(os.listdir(place)) in (["_data", "volume.json"], ["_complete", "_data", "volume.json"]), name
        if (place / "_complete").exists():  # the next start moves the rest in
            continue
        files = {one for one in os.listdir(place / "_data") if one.startswith("f")}
        assert len(files) in (0, FILES), (name, len(files))


def seen(engine: Any) -> set[str]:
    """Ids of the containers there are, half made and half removed ones too."""
    names = [*os.listdir(engine.root / "containers"), *os.listdir(engine.run)]
    return {part for name in names for part in name.split(".") if len(part) == 64}


def remove_young_cgroups(ids: set[str]) -> None:
    """Of starts that were killed; `system prune` leaves empty ones alone for ten seconds, as they may be another engine's."""
    for cgroup in detect.leftovers():
        if cgroup.record["id"] in ids:
            deadline = time.monotonic() + 5  # what was begun ahead hears of it a moment later
            while cgroup.procs() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not cgroup.procs()
            assert not ending.remove_cgroup(cgroup)


def test_deaths(fresh_engine: Any, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        images = Images(tmp_path)
        stack.callback(images.remove)
        image = images(folder("srv"), *(entry(f"srv/f{n}", b"x" * 3000) for n in range(FILES)))
        (tmp_path / "tree").mkdir()
        for n in range(50):
            (tmp_path / f"tree/c{n}").write_bytes(b"y" * 1000)
        api.run(image, "true", rm=True, network="none")
        chance, ids = random.Random(11), set[str]()
        clients = [Client(seed, image, tmp_path / "tree") for seed in range(2)]
        try:
            for number in range(1, ROUNDS + 1):
                time.sleep(chance.uniform(0.02, 0.25))
                slot = chance.randrange(len(clients))
                clients[slot].kill(chance)
                ids |= seen(fresh_engine)
                if number % CHECK_EVERY == 0:
                    for client in clients:
                        client.end()
                    ids |= seen(fresh_engine)
                    check(fresh_engine)
                    clients = [Client(1000 * number + seed, image, tmp_path / "tree") for seed in range(2)]
                elif not clients[slot].pid:
                    clients[slot] = Client(1000 * number + slot, image, tmp_path / "tree")
        finally:
            for client in clients:
                client.end()
        ids |= seen(fresh_engine)
        check(fresh_engine)
        close_launcher()  # and with ours the container that it has begun ahead
        remove_young_cgroups(ids)
        assert not list(tmp_path.glob("crash-*")), next(tmp_path.glob("crash-*")).read_text()
        volume.prune(all=True)
