"""Orders that meet a container in a state they may not suit: what each says, and that Docker finds the same ones wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import nbcontainers
from nbcontainers.container import api
from nbcontainers.container.container import Container
from nbcontainers.engine import Engine
from nbcontainers.errors import Error, InvalidState, NameInUse, NotFound
from tests import peers
from tests.bench import programs

STATES = ("created", "running", "paused", "exited")
Peer = Callable[[str], str]

#: verb: for each state nothing where it is fine, else (error, what it says, what it hints at).
TABLE: dict[str, dict[str, tuple[type[Error], str, str]]] = {
    "start": {"paused": (InvalidState, "cannot start container one: it is paused", "container unpause one")},
    "stop": {},
    "restart": {},
    "kill": {
        "created": (InvalidState, "container one is not running: it is created", "container start one"),
        "exited": (InvalidState, "container one is not running: it is exited", "container start one"),
    },
    "pause": {
        "created": (InvalidState, "container one is not running: it is created", "container start one"),
        "paused": (InvalidState, "container one is already paused", "container unpause one"),
        "exited": (InvalidState, "container one is not running: it is exited", "container start one"),
    },
    "unpause": {
        "created": (InvalidState, "container one is not paused: it is created", "container start one"),
        "running": (InvalidState, "container one is not paused: it is running", "container pause one"),
        "exited": (InvalidState, "container one is not paused: it is exited", "container start one"),
    },
    "exec": {
        "created": (InvalidState, "cannot exec in container one: it is created", "container start one"),
        "paused": (InvalidState, "cannot exec in container one: it is paused", "container unpause one"),
        "exited": (InvalidState, "cannot exec in container one: it is exited", "container start one"),
    },
    "top": {
        "created": (InvalidState, "container one is not running: it is created", "container start one"),
        "exited": (InvalidState, "container one is not running: it is exited", "container start one"),
    },
    "rm": {
        "running": (InvalidState, "container one is running", "container rm -f one"),
        "paused": (InvalidState, "container one is paused", "container rm -f one"),
    },
    "rename": {},
    "rename to two": dict.fromkeys(
        STATES, (NameInUse, "the name 'two' is in use by container", "choose another, or type container rm -f two")
    ),
    "rename to one": dict.fromkeys(STATES, (InvalidState, "container one has that name already", "container ps -a")),
    "attach": {
        "created": (InvalidState, "container one is not running: it is created", "container start one"),
        "paused": (InvalidState, "container one is not running: it is paused", "container unpause one"),
        "exited": (InvalidState, "container one is not running: it is exited", "container start one"),
    },
    "nothing there": dict.fromkeys(STATES, (NotFound, "no container 'onf'", "did you mean one?")),
}
VERBS: dict[str, Callable[[], object]] = {
    "start": lambda: api.start("one"),
    "stop": lambda: api.stop("one", time=0),
    "restart": lambda: api.restart("one", time=0),
    "kill": lambda: api.kill("one"),
    "pause": lambda: api.pause("one"),
    "unpause": lambda: api.unpause("one"),
    "exec": lambda: api.exec_("one", "true"),
    "top": lambda: api.top("one"),
    "rm": lambda: api.rm("one"),
    "rename": lambda: api.rename("one", "three"),
    "rename to two": lambda: api.rename("one", "two"),
    "rename to one": lambda: api.rename("one", "one"),
    "attach": lambda: api.attach("one"),
    "nothing there": lambda: api.pause("onf"),
}
DOCKER = {
    "start": "start one", "stop": "stop -t 0 one", "restart": "restart -t 0 one", "kill": "kill one",
    "pause": "pause one", "unpause": "unpause one", "exec": "exec one /bin/busybox true", "top": "top one", "rm": "rm one",
    "rename": "rename one three", "rename to two": "rename one two", "rename to one": "rename one one",
    "nothing there": "pause onf",
}  # fmt: skip


@pytest.fixture
def two(engine: Engine) -> Iterator[None]:
    """The names `one` and `two`: whoever has them at the end goes."""
    api.create("mini", "true", name="two")
    yield
    for row in api.ps(all=True):
        api.rm(row["id"], force=True)


def made(state: str) -> Container:
    """`one`, in that state."""
    if state == "created":
        return api.create("mini", "sleep", "100", name="one")
    container = nbcontainers.run("mini", "sleep", "100", name="one", detach=True)
    if state == "paused":
        container.pause()
    if state == "exited":
        container.kill().wait()
    assert container.status == state
    return container


@pytest.mark.limits
@pytest.mark.parametrize("state", STATES)
def test_every_order_in_every_state(two: None, state: str) -> None:
    for verb, wrong in TABLE.items():
        with made(state) as container:
            if state in wrong:
                kind, message, hint = wrong[state]
                with pytest.raises(kind) as caught:
                    VERBS[verb]()
                assert message in caught.value.message, verb
                assert hint in caught.value.hint, verb
                assert container.status == state, verb
                assert container.name == "one", verb
            elif (verb, state) != ("attach", "running"):
                VERBS[verb]()


#: Orders that are all fine, one after the other: what each is given to, and what it makes of it.
FINE = [
    ("created", "rename"), ("created", "stop"), ("created", "start"), ("running", "start"), ("running", "top"),
    ("running", "exec"), ("running", "rename"), ("running", "pause"), ("paused", "top"), ("paused", "rename"),
    ("paused", "restart"), ("running", "restart"), ("running", "pause"), ("paused", "kill"), ("exited", "stop"),
    ("exited", "rename"), ("exited", "start"), ("running", "pause"), ("paused", "unpause"), ("running", "pause"),
    ("paused", "stop"), ("exited", "restart"), ("running", "stop"), ("exited", "start"), ("running", "kill"),
    ("exited", "rm"), ("created", "restart"), ("created", "rm"),
]  # fmt: skip


def test_the_orders_that_are_fine_are_all_of_them() -> None:
    fine = {(state, verb) for verb in DOCKER for state in STATES if state not in TABLE[verb]}
    assert set(FINE) == fine - {("paused", "start")}


@pytest.mark.as_root
@pytest.mark.slow
def test_docker_finds_the_same_orders_wrong(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> None:
    peer("dockerd")
    archive = peers.busybox_archive(tmp_path_factory.mktemp("base") / "base.tar")
    with programs.cgroups_as_before(), programs.docker(Path("/tmp/nbc-states"), archive) as client:

        def docker(words: str) -> int:
            return subprocess.run([*client, *words.split()], capture_output=True, timeout=60, check=False).returncode

        def state() -> str:
            ask = [*client, "inspect", "-f", "{{.State.Status}}", "one"]
            return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()

        def refused() -> set[str]:
            """What our table has for the state that `one` is in."""
            here = state()
            wrong = {verb for verb in DOCKER if here in TABLE[verb]}
            seen = {verb for verb in wrong if docker(DOCKER[verb])}
            assert (seen, state()) == (wrong, here)
            return {here}

        run = "--network none bench /bin/busybox sleep 100"
        docker(f"create --name two {run}")
        known: set[str] = set()
        for here, verb in FINE:
            if not state():
                assert docker(f"create --name one {run}") == 0
                docker("start one") if here != "created" else None
            assert state() == here, (here, verb)
            known |= refused() if here not in known else set()
            assert docker(DOCKER[verb]) == 0, (here, verb)
            if verb == "rename":
                docker("rename three one")
            if (here, verb) == ("created", "restart"):
                docker("rm -f one")
        docker("rm -f one two")
    assert known == set(STATES)
