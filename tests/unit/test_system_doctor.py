"""`system doctor`: what each fact means for containers, and how the view shows it. Nothing of this host is looked at."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine, default_engine
from nbcontainers.linux import capabilities
from nbcontainers.system import diagnosis, findings, places, trial
from nbcontainers.system.diagnosis import Diagnosis
from nbcontainers.system.findings import LIMITED, MISSING, OK, Finding

TRIALS = ("user", "namespaces", "proc", "sysfs", "overlay", "links", "rules")
NO_USERS = "no user namespace for containers: [Errno 1] Operation not permitted"
FIREWALL = "chain FORWARD of table ip filter drops what containers send and get; to let them pass, type: iptables -I X"
AT = "2026-11-23T09:30:00.000000000Z"


def facts(*, rootless: bool = False, **changed: Any) -> dict[str, Any]:
    """A host on which everything works."""
    every = f"{(1 << 41) - 1:x}"
    cgroups = {
        "version": "v2",
        "kind": "v2",
        "controllers": list(trial.CONTROLLERS),
        "missing": {},
        "hint": "sudo mkdir",
    }
    found: dict[str, Any] = {
        "rootless": rootless, "root": "/var/lib/nbcontainers", "python": "/usr/bin/python3.13", "release": "6.1.0-18-amd64", "place": "", "outside": True,
        "status": {"Seccomp": "0", "CapEff": "0" if rootless else every}, "raises_limits": not rootless,
        "open_files": 1024, "login": "ada", "without_range": [], "helpers": ["newuidmap", "newgidmap"], "ids": 65537,
        "switches": {"user.max_user_namespaces": "15000", "kernel.unprivileged_userns_clone": ""},
        "refusal": "", "hint": "run as root", "filtered": [], "cgroups": cgroups, "pressure": "", "tun": "",
        "programs": ["pasta"], "leaders": ["pasta"], "forwarding": {"on": True, "writable": True}, "firewalls": {"notes": [], "refused": ""},
        "room": {"bytes": 50_000_000_000, "inodes": None, "type": "ext4"}, "trials": dict.fromkeys(TRIALS, ""),
    }  # fmt: skip
    return {**found, **changed}


def refused(name: str, words: str = "Operation not permitted", **changed: Any) -> dict[str, Any]:
    return facts(trials={**dict.fromkeys(TRIALS, ""), name: words}, **changed)


def one(facts: dict[str, Any], check: str) -> Finding:
    return next(found for found in findings.every(facts) if found.check == check)


def not_ok(facts: dict[str, Any]) -> dict[str, str]:
    """State by check."""
    return {found.check: found.state for found in findings.every(facts) if found.state != OK}


def test_root_on_a_good_host_lacks_nothing() -> None:
    assert not_ok(facts()) == {}


def test_an_ordinary_user_may_not_raise_hard_limits() -> None:
    assert not_ok(facts(rootless=True)) == {"hard limits": LIMITED}


def test_every_check_has_a_name_and_what_it_looked_at() -> None:
    found = findings.every(facts())
    assert len({one.check for one in found}) == len(found) == len(findings.CHECKS)
    assert all(one.looked_at and one.found for one in found)


WITHOUT = [
    (facts(release="5.10.0-28-amd64"), "kernel", MISSING, "cannot work here until a newer kernel"),
    (facts(release="4.19"), "kernel", MISSING, "newer kernel"),
    (refused("namespaces", "unshare(time): Invalid argument"), "other namespaces", MISSING, "cannot work here"),
    (refused("proc", rootless=True), "/proc and /sys", MISSING, "unmask=ALL"),
    (refused("sysfs", rootless=True), "/proc and /sys", MISSING, "procMount: Unmasked"),
    (refused("overlay"), "overlayfs", MISSING, "export NBCONTAINERS_ROOT=FOLDER"),
    (refused("links"), "bridges and cables", LIMITED, "sudo modprobe -a bridge veth"),
    (refused("rules"), "nftables", LIMITED, "sudo modprobe -a nf_tables"),
    (facts(filtered=["unshare", "mount"]), "seccomp", MISSING, "--security-opt seccomp=unconfined"),
    (facts(pressure="Operation not supported"), "pressure (PSI)", LIMITED, "boot with psi=1"),
    (facts(raises_limits=False), "hard limits", LIMITED, "--cap-add SYS_RESOURCE"),
    (facts(firewalls={"notes": [FIREWALL], "refused": ""}), "forwarding", LIMITED, "iptables -I X"),
    (facts(firewalls={"notes": [], "refused": "not permitted"}), "forwarding", LIMITED, "see nftables"),
    (facts(forwarding={"on": False, "writable": False}), "forwarding", LIMITED, "sudo sysctl -w net.ipv4.ip_forward=1"),
    (facts(forwarding={"on": None, "writable": False}), "forwarding", LIMITED, "sudo sysctl"),
    (facts(room={"bytes": 5_000_000, "inodes": None, "type": "ext4"}), "disk room", MISSING, "system prune"),
    (facts(room={"bytes": 500_000_000, "inodes": None, "type": "ext4"}), "disk room", LIMITED, "image prune -a"),
    (facts(room={"bytes": 50_000_000_000, "inodes": 9, "type": "ext4"}), "disk room", LIMITED, "NBCONTAINERS_ROOT"),
    (facts(rootless=True, tun="No such file or directory", leaders=[]), "/dev/net/tun", LIMITED, "modprobe tun"),
    (facts(rootless=True, tun="No such file", outside=False), "/dev/net/tun", LIMITED, "--device /dev/net/tun"),
    (facts(rootless=True, leaders=[], programs=[]), "way outside", LIMITED, "sudo apt-get install passt"),
    (facts(rootless=True, leaders=[], tun="No such file"), "way outside", LIMITED, "see /dev/net/tun"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "check", "state", "words"), WITHOUT)
def test_what_is_missing_says_what_to_type(found: dict[str, Any], check: str, state: str, words: str) -> None:
    row = one(found, check)
    assert row.state == state
    assert words in row.mends
    assert row.means


def test_only_what_a_container_cannot_do_without_is_missing() -> None:
    assert Diagnosis(findings.every(refused("links")), rootless=False, at=AT).works
    assert not Diagnosis(findings.every(refused("overlay")), rootless=False, at=AT).works


def test_without_user_namespaces_nothing_else_is_said_to_work() -> None:
    """What was not tried is no proof."""
    row = one(facts(rootless=True, refusal=NO_USERS, trials={}, hint="sudo sysctl -w x=1"), "user namespaces")
    assert (row.state, row.mends) == (MISSING, "sudo sysctl -w x=1")
    assert "max_user_namespaces = 15000" in row.found
    states = not_ok(facts(rootless=True, refusal=NO_USERS, trials={}))
    verdict = Diagnosis(findings.every(facts(rootless=True, refusal=NO_USERS, trials={})), rootless=True, at=AT).verdict
    assert verdict == "containers cannot work here as an ordinary user, because of: user namespaces"
    untried = ("other namespaces", "/proc and /sys", "overlayfs", "bridges and cables", "nftables")
    assert {states[name] for name in untried} == {MISSING}
    assert one(facts(rootless=True, refusal=NO_USERS, trials={}), "overlayfs").found.startswith("not tried")


def test_apparmor_can_allow_one_program() -> None:
    switches = {"kernel.apparmor_restrict_unprivileged_userns": "1"}
    row = one(facts(rootless=True, refusal=NO_USERS, trials={}, switches=switches), "user namespaces")
    assert "profile nbcontainers /usr/bin/python3.13 flags=(unconfined) { userns, }" in row.mends
    assert "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in row.mends
    printed = subprocess.run(["sh", "-c", row.mends.partition(" | ")[0]], capture_output=True, text=True, check=True)
    assert printed.stdout.splitlines()[:2] == ["abi <abi/4.0>,", "include <tunables/global>"]


def test_several_firewalls_each_have_their_command() -> None:
    row = one(facts(firewalls={"notes": [FIREWALL, FIREWALL.replace(" X", " Y")], "refused": ""}), "forwarding")
    assert row.mends == "iptables -I X; iptables -I Y"
    assert "type:" not in row.found


@pytest.mark.parametrize("rootless", [True, False])
def test_the_facts_of_this_host_are_those_that_findings_need(tmp_path: Path, rootless: bool) -> None:
    """As far as they are only read."""
    real = trial.everything(str(tmp_path), rootless, tried=False)
    engine = Engine(tmp_path, tmp_path, rootless)
    gathered = {**diagnosis._own(engine), **real, "refusal": NO_USERS, "hint": "x"}
    assert set(facts()) == set(gathered)
    assert len(findings.every(gathered)) == len(findings.CHECKS)
    assert json.loads(json.dumps(real)) == real
    assert real["room"]["bytes"] > 0


def test_what_is_tried_is_what_findings_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(work: object) -> None:
        raise OSError(1, "unshare: Operation not permitted")

    monkeypatch.setattr(trial, "in_child", refuse)
    (tmp_path / "containers").mkdir()
    assert trial._trials(str(tmp_path), rootless=True) == dict.fromkeys(TRIALS, "unshare: Operation not permitted")
    assert list((tmp_path / "containers").iterdir()) == []


def test_a_filter_that_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_CALLS", {"mount": lambda: os.kill(os.getpid(), 9)})
    assert trial._stopped() == ["one of mount"]


def test_root_needs_no_user_namespace() -> None:
    row = one(refused("user", "unshare(user): No space left on device"), "user namespaces")
    assert (row.state, "root needs none" in row.found) == (OK, True)


@pytest.mark.parametrize(
    ("changed", "said", "mends"),
    [
        ({"helpers": []}, "no newuidmap; no newgidmap", "sudo apt-get install uidmap"),
        ({"without_range": ["/etc/subuid"]}, "no range for ada in /etc/subuid", "sudo usermod --add-subuids 100000-165535"),
        ({}, "one id, though there are ranges", "system prune"),
    ],
)  # fmt: skip
def test_one_id_only(changed: dict[str, Any], said: str, mends: str) -> None:
    row = one(facts(rootless=True, ids=1, **changed), "users in a container")
    assert (row.state, row.found) == (LIMITED, said)
    assert mends in row.mends


def test_root_without_capabilities() -> None:
    every = (1 << 41) - 1
    without = {name: f"{every & ~capabilities.mask([name]):x}" for name in ("CAP_SYS_ADMIN", "CAP_NET_ADMIN")}
    vital = one(facts(status={"CapEff": without["CAP_SYS_ADMIN"]}), "capabilities")
    assert (vital.state, vital.found) == (MISSING, "root without CAP_SYS_ADMIN")
    assert "--privileged" in vital.mends
    other = one(facts(status={"CapEff": without["CAP_NET_ADMIN"]}), "capabilities")
    assert (other.state, other.means) == (LIMITED, "containers lack networks")
    assert one(facts(rootless=True), "capabilities").state == OK


def test_no_cgroup_and_no_controller() -> None:
    nothing = {"version": "none", "kind": "null", "controllers": [], "missing": {"memory": "mount it", "cpu": "mount it"},
               "hint": "mount the cgroup file systems"}  # fmt: skip
    row = one(facts(cgroups=nothing), "cgroups")
    assert (row.state, row.mends) == (LIMITED, "mount the cgroup file systems")
    row = one(facts(cgroups=nothing), "controllers")
    assert (row.found, row.state, row.mends) == ("none; not memory, cpu", LIMITED, "mount it")
    assert one(facts(), "controllers").found == "memory, cpu, pids, cpuset, blkio"


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"COLAB_RELEASE_TAG": "release-colab"}, "colab"),
        ({"BINDER_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "binder"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"CODESPACES": "true"}, "codespaces"),
        ({"PATH": "/usr/bin"}, ""),
    ],
)
def test_places_are_known(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], place: str) -> None:
    monkeypatch.setattr(places.os.path, "exists", lambda path: False)
    assert places.find(variables) == place


@pytest.mark.parametrize("path", ["/.dockerenv", "/run/.containerenv"])
def test_an_outer_engine_is_known_by_its_file(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(places.os.path, "exists", lambda asked: asked == path)
    assert places.find({}) == {"/.dockerenv": "docker", "/run/.containerenv": "podman"}[path]


@pytest.mark.parametrize("place", ["colab", "binder", "kubernetes", "docker"])
def test_where_it_cannot_work_it_says_so(place: str) -> None:
    row = one(facts(rootless=True, refusal=NO_USERS, trials={}, outside=False, place=place), "user namespaces")
    assert row.mends.startswith("cannot work ")
    assert row.mends == places.PLACES[place].mends


def test_an_unprivileged_docker_container_of_root() -> None:
    """Its default capabilities and filter."""
    trials = dict.fromkeys(TRIALS, "unshare(mount): Operation not permitted")
    found = facts(place="docker", outside=False, trials=trials, status={"Seccomp": "2", "CapEff": "a80425fb"},
                  filtered=["unshare", "setns", "mount"])  # fmt: skip
    states = not_ok(found)
    assert {states[name] for name in ("other namespaces", "seccomp", "capabilities", "overlayfs")} == {MISSING}
    for check in ("seccomp", "capabilities", "overlayfs"):
        assert "docker run --privileged" in one(found, check).mends


def test_a_mark_of_docker_on_a_machine_proves_nothing() -> None:
    found = refused("overlay", place="docker")
    assert one(found, "in a container ourselves").found.startswith("no: ")
    assert "NBCONTAINERS_ROOT" in one(found, "overlayfs").mends
    assert one(facts(outside=False), "in a container ourselves").found.startswith("yes: ")


@pytest.fixture
def bad() -> Diagnosis:
    found = [
        *findings.every(refused("overlay")),
        Finding("evil", "/<b>", "<script>alert(1)</script>\x1b[2J", LIMITED, "&", "$x"),
    ]
    return Diagnosis(found, rootless=False, at=AT)


def test_the_verdict_is_the_worst() -> None:
    assert (
        Diagnosis(findings.every(facts()), rootless=False, at=AT).verdict == "containers work here as root: 19 checks"
    )
    limited = Diagnosis(findings.every(facts(rootless=True)), rootless=True, at=AT).verdict
    assert limited == "containers work here as an ordinary user: 19 checks, 1 with limits"


def test_text_has_what_html_has(bad: Diagnosis) -> None:
    text, html = bad.text(), bad.html()
    assert text.splitlines()[0] == "containers cannot work here as root, because of: overlayfs"
    flat = re.sub(r"\s+", " ", text)
    for row in bad.checks:
        for word in (row["check"], row["state"], row["means"], row["looked_at"]):
            assert word in flat, word
    assert "2026-11-23 09:30:00 UTC" in text
    assert "2026-11-23 09:30:00 UTC" in html
    shown = re.sub(r"<[^>]+>", " ", html)
    assert all(row["check"] in shown for row in bad.checks)
    assert "→ export NBCONTAINERS_ROOT=FOLDER, one of ext4" in text


def test_nothing_in_it_is_markup(bad: Diagnosis) -> None:
    assert "<script" not in bad.html()
    assert "\x1b" not in bad.html() + bad.text()


def test_a_frame_and_a_document(bad: Diagnosis) -> None:
    frame = bad.to_pandas()
    assert list(frame.columns) == ["check", "looked_at", "found", "state", "means", "mends"]
    assert frame["state"].max() == MISSING
    document = json.loads(json.dumps(bad.document()))
    assert document["works"] is False
    assert document["checks"] == bad.checks


def test_a_command_to_be_copied_stays_in_one_line() -> None:
    cgroups = {
        "version": "v1",
        "kind": "null",
        "controllers": [],
        "missing": {},
        "hint": "sudo sh -c '" + "mkdir x; " * 40 + "'",
    }
    text = Diagnosis(findings.every(facts(cgroups=cgroups)), rootless=False, at=AT).text()
    assert f"→ {cgroups['hint']}" in text


def test_no_call_is_stopped_where_there_is_no_filter() -> None:
    """This very process may make them all: they do nothing."""
    with open("/proc/self/status") as file:
        if "Seccomp:\t0" not in file.read():
            pytest.skip("there is a filter here")
    assert trial.filtered() == []


def test_what_a_filter_answers_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(flags: int) -> None:
        raise PermissionError(1, "unshare: Operation not permitted")

    monkeypatch.setattr(trial.namespaces, "unshare", stopped)
    assert "unshare" in trial.filtered()


def test_a_pause_process_that_was_needed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(diagnosis.client, "running", lambda: True)
    monkeypatch.setattr(diagnosis.client, "close", lambda: closed.append("launcher"))
    monkeypatch.setattr(diagnosis.pause, "end_if_unused", lambda run: closed.append(run))
    monkeypatch.setattr(diagnosis, "gather", lambda engine: facts(rootless=True))
    assert diagnosis.of(default_engine()).works
    assert closed == []
