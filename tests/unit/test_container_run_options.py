"""The later options of `run`: what each becomes in the configuration, and what it says of nonsense."""

from __future__ import annotations

from typing import Any

import pytest

from nbcontainers.advice import Advice
from nbcontainers.container import parse, running
from nbcontainers.container.options import RunOptions
from nbcontainers.container.session import Streams
from nbcontainers.errors import InvalidArgument
from tests.unit.test_container_spec import FakeHost, build


class Host(FakeHost):
    oom_score_adj = 100


def test_where_each_option_goes(tmp_path) -> None:
    (tmp_path / "labels").write_text("# mine\nfrom=file\nboth=file\nbare\n")
    config = build(
        ["true"], host=Host(raises_limits=True), annotation=["a.b=c"], domainname="lab", cgroup_parent="lab/students",
        cgroupns="host", cpu_period=50_000, cpu_quota="25000", memory="64m", memory_swappiness="10",
        oom_kill_disable=True, oom_score_adj=-5, blkio_weight=300, device_cgroup_rule=["c 10:* rw"],
        label_file=[str(tmp_path / "labels")], label=["both=given"],
    )  # fmt: skip
    linux, resources = config["linux"], config["linux"]["resources"]
    assert config["annotations"]["a.b"] == "c"
    assert config["domainname"] == "lab"
    assert linux["cgroupsPath"].startswith("/lab/students/")
    assert "cgroup" not in [one["type"] for one in linux["namespaces"]]
    assert resources["cpu"] == {"period": 50_000, "quota": 25_000}
    assert resources["memory"]["swappiness"] == 10
    assert resources["memory"]["disableOOMKiller"] is True
    assert resources["blockIO"] == {"weight": 300}
    assert resources["devices"][-1] == {"allow": True, "type": "c", "major": 10, "access": "rw"}
    assert config["process"]["oomScoreAdj"] == -5
    labels = {key: config["annotations"][key] for key in ("from", "both", "bare")}
    assert labels == {"from": "file", "both": "given", "bare": ""}


def test_an_oom_score_below_our_own_is_said_and_becomes_it() -> None:
    with pytest.warns(Advice, match="becomes our own, 100"):
        config = build(["true"], host=Host(), oom_score_adj="-500")
    assert config["process"]["oomScoreAdj"] == 100
    assert build(["true"], host=Host(), oom_score_adj=500)["process"]["oomScoreAdj"] == 500


@pytest.mark.parametrize(
    ("options", "words", "hint"),
    [
        ({"cpus": 1, "cpu_quota": 5000}, "--cpu-quota: --cpus says the same", "leave one"),
        ({"cpu_period": 10}, "--cpu-period: 10 is out of range", "100000 is normal"),
        ({"cpu_quota": 10}, "--cpu-quota: 10 is below what can work", "-1 for no limit"),
        ({"memory_swappiness": 101}, "--memory-swappiness: 101", "0 to 100"),
        ({"oom_kill_disable": True}, "--oom-kill-disable: without a memory limit", "-m 512m"),
        ({"oom_score_adj": 2000}, "--oom-score-adj: 2000", "-1000 to 1000"),
        ({"blkio_weight": 5}, "--blkio-weight: 5", "10 to 1000"),
        ({"cgroup_parent": "../x"}, "--cgroup-parent: '../x'", "as /lab/students"),
        ({"cgroup_parent": "user.slice"}, "--cgroup-parent: 'user.slice'", "as /lab/students"),
        ({"device_cgroup_rule": ["c 1:3"]}, "--device-cgroup-rule: 'c 1:3'", "TYPE MAJOR:MINOR ACCESS"),
        ({"device_cgroup_rule": ["x 1:3 r"]}, "--device-cgroup-rule: 'x 1:3 r'", "c 10:200 rwm"),
        ({"cgroupns": "mine"}, "--cgroupns: 'mine'", "host or private"),
        ({"domainname": "a b"}, "--domainname: 'a b'", "letters"),
        ({"label_file": ["/no/such"]}, "--label-file: cannot read /no/such", "NAME=VALUE"),
    ],
)
def test_nonsense_is_said_with_what_to_write(options: dict[str, Any], words: str, hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        build(["true"], host=Host(), **options)
    assert words in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("ctrl-A,x", b"\x01x"),
        ("ctrl-[", b"\x1b"),
        ("", b""),
    ],
)
def test_detach_keys(keys: str, code: bytes) -> None:
    assert parse.key_codes(keys) == code
    assert running.detach_keys(keys) == code


@pytest.mark.parametrize("keys", ["ctrl-", "ctrl-pp", "alt-p", "ctrl-1", ","])
def test_what_is_no_key(keys: str) -> None:
    with pytest.raises(InvalidArgument, match="is no key"):
        running.detach_keys(keys)


def test_attach_takes_the_streams_named() -> None:
    options: RunOptions = {"attach": ["stderr"]}
    given = Streams(b"in", bytearray().extend, bytearray().extend)
    kept = running._streams(options, given)
    assert kept.stdin is None
    assert kept.stderr is given.stderr
    assert kept.stdout is not given.stdout
    with pytest.raises(InvalidArgument, match="--attach: a container that is left alone"):
        running._streams({"attach": ["stdout"], "detach": True}, given)
