"""Programs of the host, run to their end."""

from __future__ import annotations

import time

import pytest

from nbcontainers.compare import programs
from nbcontainers.errors import HostNotCapable


def told(script: str, **more: str) -> tuple[int, str, str]:
    out, err = bytearray(), bytearray()
    status = programs.run(["/bin/sh", "-c", script], out.extend, err.extend, **more)  # type: ignore[arg-type]
    return status, out.decode(), err.decode()


def test_output_and_status() -> None:
    assert told("echo out; echo err >&2; exit 7") == (7, "out\n", "err\n")
    assert told("kill -9 $$")[0] == 137
    assert told("cat")[:2] == (0, ""), "there is no input"
    assert told("pwd", cwd="/proc")[1] == "/proc\n"


def test_much_output_comes_whole() -> None:
    assert len(told("head -c 3000000 /dev/zero; head -c 200000 /dev/zero >&2")[1]) == 3_000_000


def test_one_that_closes_its_pipes_is_waited_for() -> None:
    begun = time.monotonic()
    assert told("exec >&- 2>&-; sleep 0.2; exit 4")[0] == 4
    assert time.monotonic() - begun > 0.15


def test_what_it_leaves_behind_is_neither_waited_for_nor_left() -> None:
    begun = time.monotonic()
    status, said, _ = told("sleep 60 & echo $!")
    assert status == 0
    assert time.monotonic() - begun < 5
    for _ in range(100):
        try:
            with open(f"/proc/{int(said)}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":  # nobody has taken note of it yet
                    return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.02)
    pytest.fail("it goes on")


def test_an_interrupt_ends_it() -> None:
    def stop(data: bytes) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        programs.run(["/bin/sh", "-c", "echo hi; sleep 60"], stop, stop)
    assert time.monotonic() - begun < 5


def test_what_fails_says_why() -> None:
    with pytest.raises(HostNotCapable, match="cannot run /no/such: "):
        programs.run(["/no/such"], print, print)
    with pytest.raises(HostNotCapable, match=r"listing failed with status 2: .*No such file"):
        programs.output("ls", "/no/such", doing="listing")
    assert programs.output("echo", "hi") == "hi\n"
    assert programs.version("/no/such") == ""
    assert programs.version("printf", "one 1.2\\ntwo") == "one 1.2"
