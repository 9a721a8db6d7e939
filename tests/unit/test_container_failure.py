"""What is said of a container that did not succeed: cause, evidence, next step."""

from __future__ import annotations

import pytest

from nbcontainers.container.failure import container_failed, not_started, too_late
from nbcontainers.errors import CreateFailed, Error, TimedOut

RECORD = {"id": "a" * 64, "name": "web", "image": "mini", "command": ["prog", "x"]}
MIB = 2**20


def failed(words=b"", kept=True, **ended):
    return container_failed(RECORD, {"wall_s": 1.5, "signal": None, "oom_killed": False, **ended}, words, kept=kept)


@pytest.mark.parametrize(
    ("ended", "message", "hint"),
    [
        ({"exit_code": 3}, "container web failed with exit status 3 after 1.5 s", "container logs web"),
        ({"exit_code": 126}, "failed with exit status 126 after 1.5 s: a file it called is not executable", "chmod +x"),
        ({"exit_code": 127}, "failed with exit status 127 after 1.5 s: a program it called was not found", "in its PATH"),
        (
            {"exit_code": 137, "signal": 9, "reason": "signal", "usage": {"memory_peak": 3 * MIB, "memory_limit": 64 * MIB}},
            "was ended by SIGKILL (exit 137) after 1.5 s, not for lack of memory: its memory peak was 3 MiB of 64 MiB",
            "container kill, or stop after its time-out",
        ),
        (
            {"exit_code": 137, "signal": 9, "reason": "oom", "oom_killed": True,
             "usage": {"memory_peak": 64 * MIB, "memory_limit": 64 * MIB, "memory_limit_hits": 5}},
            "was killed for lack of memory after 1.5 s: it reached its limit of 64 MiB (peak 64 MiB, exit 137)", "-m 128m",
        ),
        (
            {"exit_code": 1, "oom_killed": True, "usage": {"memory_peak": 64 * MIB, "memory_limit": 64 * MIB, "memory_limit_hits": 5}},
            "was killed for lack of memory after 1.5 s: it reached its limit of 64 MiB (peak 64 MiB, exit 1)", "-m 128m",
        ),
        (
            {"exit_code": 137, "signal": 9, "oom_killed": True, "usage": {"memory_limit": None}},
            "was killed for lack of memory after 1.5 s: the whole host ran out of it (exit 137)", "or give it a limit with -m",
        ),
        ({"exit_code": 139, "signal": 11}, "was ended by SIGSEGV (exit 139) after 1.5 s: it touched memory that is not its own", ""),
        ({"exit_code": 139}, "failed: a process in it was ended by SIGSEGV (exit 139)", ""),
        ({"exit_code": 143, "signal": 15}, "was ended by SIGTERM (exit 143) after 1.5 s: it was told to stop", ""),
        ({"exit_code": 159, "signal": 31}, "SIGSYS (exit 159) after 1.5 s: a system call its seccomp filter kills for", ""),
        ({"exit_code": 255}, "failed with exit status 255", ""),
    ],
)  # fmt: skip
def test_each_cause_is_named(ended, message, hint):
    error = failed(**ended)
    assert message in error.message
    assert hint in error.hint
    assert error.details["exit_code"] == ended["exit_code"]
    assert error.details["id"] == "a" * 64
    assert len(error._render_traceback_()) == 2


def test_the_last_line_of_stderr_is_the_evidence():
    assert failed(b"one\nValueError: no such thing\n\n", exit_code=1).message.endswith(
        "It last wrote: ValueError: no such thing"
    )
    assert failed(b"\xff\x1b[31mred\n", exit_code=1).message.isprintable()
    assert len(failed(b"x" * 2000, exit_code=1).message) < 300
    assert "wrote" not in failed(b"\n \n", exit_code=1).message


def test_a_removed_container_has_no_logs_to_look_at():
    assert failed(kept=False, exit_code=1).hint == ""


def test_the_error_survives_the_process_border():
    error = failed(exit_code=137, signal=9, oom_killed=True, usage={})
    again = Error.from_json(error.to_json())
    assert (again.exit_code, again.signal, again.oom_killed, again.name) == (137, 9, True, "web")


@pytest.mark.parametrize(("code", "hint"), [(127, "prog is not in the image"), (126, "#!/bin/sh"), (125, "")])
def test_what_could_not_start(code, hint):
    error = not_started(CreateFailed("it was not to be", exit_code=code, stage="exec"), RECORD)
    assert error.message == "the container could not start: it was not to be"
    assert hint in error.hint
    assert (error.exit_code, error.stage, error.name) == (code, "exec", "web")
    assert not_started(CreateFailed("x", hint="their own", exit_code=code), RECORD).hint == "their own"


def test_what_is_late_is_a_timeout_error_with_a_hint():
    error = too_late("web", "still runs")
    assert isinstance(error, TimeoutError)
    assert str(error).startswith("container web still runs\nhint: container logs web shows")
    assert error.name == "web"
    assert type(Error.from_json(error.to_json())) is TimedOut
