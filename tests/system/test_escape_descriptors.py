"""Nothing of the host is reached through our own processes: descriptors, working directories, the interpreter.

CVE-2016-9962, CVE-2019-5736, CVE-2024-21626.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers.errors import Error
from tests import inside
from tests.crafted import Images, entry

DESCRIPTORS = """
def table(pid):
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[name] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:  # the one listdir used
            continue
    return found
report(own=table("self"), init=table(1), cwd=os.getcwd(), maps=[
    line.split()[-1] for line in open("/proc/self/maps") if "/" in line and "(deleted)" in line])
"""


@pytest.fixture
def leaky() -> Any:
    """Fifty inheritable descriptors of folders, as a careless program before us would have them."""
    opened = [os.open(place, os.O_RDONLY | os.O_DIRECTORY) for place in ("/", "/etc", "/proc", "/root", "/tmp") * 10
              if os.access(place, os.R_OK)]  # fmt: skip
    for descriptor in opened:
        os.set_inheritable(descriptor, True)
    yield opened
    for descriptor in opened:
        os.close(descriptor)


@pytest.mark.leaks("the session's launcher ends and another one starts")
def test_a_program_gets_three_descriptors(leaky: list[int], fresh_engine: Any) -> None:
    with inside.running("host") as container:
        for done in (inside.run("host", *inside.program(DESCRIPTORS)),
                     inside.execute(container, *inside.program(DESCRIPTORS))):  # fmt: skip
            found = inside.facts(done)
            assert set(found["own"]) == {"0", "1", "2"}
            assert set(found["init"]) == {"0", "1", "2"}
            assert found["cwd"] == "/"
            assert found["maps"] == []


@pytest.mark.parametrize("place", ["/proc/self/fd/%d", "/proc/1/fd/%d", "/dev/fd/%d", "/proc/thread-self/fd/%d"])
def test_a_working_directory_behind_a_descriptor_is_refused(place: str) -> None:
    """CVE-2024-21626, the first of its three forms."""
    for number in range(3, 21):
        with pytest.raises(Error) as caught:
            inside.run("mini", "ls", workdir=place % number, raise_error=True)
        assert getattr(caught.value, "exit_code", 125) in (125, 126, 127), caught.value


def test_exec_in_a_working_directory_behind_a_descriptor_is_refused() -> None:
    with inside.running("mini") as container:
        for number in range(3, 21):
            with pytest.raises(Error):
                inside.execute(container, "ls", workdir=f"/proc/self/fd/{number}", raise_error=True)


def test_exec_in_a_link_to_a_descriptor_is_refused(crafted: Images) -> None:
    """The link changes after the container has started, so nobody can have looked at it before."""
    with inside.running(crafted()) as container:
        inside.execute(container, "ln", "-s", "/proc/self/fd/7", "/tmp/here")
        for _ in range(5):
            done = inside.execute(container, "sh", "-c", "pwd; cat ../../../../etc/shadow", workdir="/tmp/here")
            assert done.exit_code != 0
            assert "root:" not in done.stdout


def test_the_working_directory_is_never_outside(crafted: Images) -> None:
    done = inside.shell("pwd; cat ../../../../../../../etc/shadow", crafted(), workdir="/tmp")
    assert done.stdout == "/tmp\n"


# --- the interpreter: CVE-2019-5736 ---


def interpreters() -> dict[str, str]:
    """Every file of ours that a container must not be able to write, by its digest."""
    package = Path(nbcontainers.__file__).parent
    files = [Path(os.path.realpath(sys.executable)), *sorted(package.rglob("*.py"))]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_program_that_is_its_own_interpreter_runs_nothing_of_the_host(crafted: Images) -> None:
    before = interpreters()
    image = crafted(entry("bad", b"#!/proc/self/exe\n"), config={"Entrypoint": ["/bad"]})
    done = inside.run(image)
    assert done.exit_code != 0
    with inside.running(image, "1000", entrypoint="sleep") as container:
        for _ in range(3):
            assert inside.execute(container, "/bad").exit_code != 0
    assert interpreters() == before


HOSTILE = r"""
# Look at every process that is not ours, as fast as possible, while the host makes new ones.
exe = tuple(map(int, os.environ["HOST_EXE"].split(":")))
root = os.stat("/")
mine, hits, words, seen = os.getpid(), [], {}, set()
def note(kind, word):
    words.setdefault(kind, {}).setdefault(word, 0)
    words[kind][word] += 1
    return word
def look(pid):
    base = f"/proc/{pid}/"
    for kind in ("exe", "root", "cwd"):
        try:
            status = os.stat(base + kind)
        except OSError as error:
            note(kind, errno.errorcode[error.errno])
            continue
        if kind == "exe" and (status.st_dev, status.st_ino) == exe:
            hits.append((kind, "the interpreter of the host"))
            try:
                fd = os.open(base + kind, os.O_WRONLY)
                hits.append((kind, "opened for writing"))
            except OSError as error:
                note("write", errno.errorcode[error.errno])
        if kind == "root" and (status.st_dev, status.st_ino) != (root.st_dev, root.st_ino):
            hits.append((kind, "another root"))
    try:
        for name in os.listdir(base + "fd"):
            place = os.readlink(base + "fd/" + name)
            if int(name) > 2 and place.startswith(("socket:", "anon_inode:", "/proc/", "/sys/")):
                hits.append((name, place))
    except OSError as error:
        note("fd", errno.errorcode[error.errno])
    try:
        with open(base + "environ", "rb") as file:
            if b"NBC_SECRET" in file.read():
                hits.append(("environ", "of the host"))
    except OSError as error:
        note("environ", errno.errorcode[error.errno])
    try:
        with open(base + "mem", "r+b", buffering=0):
            pass
        note("mem", "done")
    except OSError as error:
        note("mem", errno.errorcode[error.errno])
print("ready", flush=True)
while not os.path.exists("/tmp/stop"):
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) not in (1, mine):
            seen.add(int(name))
            look(name)
with open("/tmp/part", "w") as file:
    json.dump({"hits": sorted(set(hits)), "words": words, "seen": len(seen)}, file)
os.rename("/tmp/part", "/tmp/report")
time.sleep(1000)
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("powers", [[], ["SYS_PTRACE"]])
def test_a_hostile_container_sees_nothing_of_a_process_that_is_coming_in(powers: list[str]) -> None:
    """With CAP_SYS_PTRACE it may look into our process, but that has nothing of the host's but a read-only program."""
    status = os.stat(os.path.realpath(sys.executable))
    before = interpreters()
    environment = {"HOST_EXE": f"{status.st_dev}:{status.st_ino}"}
    with inside.running("host", *inside.program(HOSTILE), env=environment, cap_add=powers) as container:
        for _ in range(60):
            assert inside.execute(container, "true").exit_code == 0
        inside.execute(container, "sh", "-c", "touch /tmp/stop; while [ ! -s /tmp/report ]; do sleep 0.05; done")
        found = inside.execute(container, "cat", "/tmp/report").stdout
    report = json.loads(found)
    harmless = [["exe", "the interpreter of the host"], ["environ", "of the host"]] if powers else []
    rest = [hit for hit in report["hits"] if hit not in harmless]
    assert [hit for hit in rest if not (powers and hit[1].startswith("socket:"))] == []  # the sync socket, its own
    assert report["seen"] > 20, report
    assert interpreters() == before


def test_the_interpreter_of_our_own_processes_is_on_a_read_only_mount() -> None:
    """Even somebody who gets at /proc/PID/exe of a monitor or an init cannot write to it."""
    with inside.running("mini") as container:
        parent = int(Path(f"/proc/{container.pid}/stat").read_text().rpartition(")")[2].split()[1])
        with pytest.raises(OSError) as caught:
            os.close(os.open(f"/proc/{parent}/exe", os.O_WRONLY))
        assert caught.value.errno in (30, 26, 13)  # EROFS; ETXTBSY, EACCES: for an ordinary user
        copy = os.open(f"/proc/{parent}/exe", os.O_RDONLY)
        try:
            assert os.fstatvfs(copy).f_flag & os.ST_RDONLY
        finally:
            os.close(copy)
