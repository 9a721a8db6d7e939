"""A comparison in a file, and what is said of limits that are not in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.compare import api, conditions, inforce, running, workload
from nbcontainers.compare.comparison import Comparison
from nbcontainers.compare.rounds import AGAIN, Measured
from nbcontainers.compare.target import Limits
from nbcontainers.errors import InvalidArgument, NotFound


def made(rounds: int = 6) -> Comparison:
    """Of a host and a box that is twice as slow."""
    samples = [
        {"round": number, "position": place, "target": lane, "axis": "syscall", "value": value * (1 + number / 100),
         "unit": "µs", "cost": value * (1 + number / 100), "start_s": 0.1, "inside_s": 0.2, "outside_s": 0.4}
        for number in range(1, rounds + 1)
        for place, (lane, value) in enumerate((("host", 1.0), ("host" + AGAIN, 1.001), ("box", 2.0)))
    ]  # fmt: skip
    found = Measured(samples, {"gone": "no"}, {("box", "fit"): "no numpy"}, {"host": {"kernel": "6.1"}, "box": {}},
                     {"box": ["round 2: it fell"]})  # fmt: skip
    return Comparison("syscall", found, {"host": "host", "box": "the box"}, rounds, 7, "host", "no limits",
                      "2026-11-23T12:00:00Z", {"kernel": "6.1", "before": {"load": 0.1}}, ["it was loud"],
                      ["box: its memory limit is none, and not 5 MiB as asked"])  # fmt: skip


def test_what_was_saved_is_the_same_when_it_is_loaded(tmp_path: Path) -> None:
    seen = made()
    assert seen.save(tmp_path / "one.json") == tmp_path / "one.json"
    again = api.load(str(tmp_path / "one.json"))
    assert again.rows == seen.rows
    assert again.samples == seen.samples
    assert again.text() == seen.text()
    assert again.html() == seen.html()
    assert again.document() == seen.document()
    assert again.to_pandas().equals(seen.to_pandas())
    assert "the box: its memory limit is none, and not 5 MiB as asked" in " ".join(again.text().split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no comparison: JSONDecodeError"),
        ("[]", "is no comparison: TypeError"),
        ('{"form": "notebook", "version": 1}', "it says it is 'notebook' 1"),
        ('{"form": "nbcontainers comparison", "version": 99}', "it says it is 'nbcontainers comparison' 99"),
        ('{"form": "nbcontainers comparison", "version": 1}', "is no comparison: KeyError"),
    ],
)
def test_what_is_no_comparison(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(InvalidArgument) as caught:
        api.load(str(tmp_path / "file"))
    assert message in caught.value.message
    assert caught.value.hint


def test_a_damaged_comparison_is_told(tmp_path: Path) -> None:
    """And not drawn with what is left."""
    document = json.loads(made().save(tmp_path / "file").read_text())
    del document["samples"][3]["cost"]
    (tmp_path / "file").write_text(json.dumps(document))
    with pytest.raises(InvalidArgument, match="is no comparison: KeyError 'cost'"):
        api.load(str(tmp_path / "file"))


def test_a_file_that_is_not_there_and_one_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        api.load(str(tmp_path / "none"))
    with pytest.raises(InvalidArgument, match="cannot be read"):
        api.load(str(tmp_path))


def test_an_output_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    def never() -> Comparison:
        raise AssertionError

    for path in (str(tmp_path), str(tmp_path / "no/file")):
        with pytest.raises(InvalidArgument, match="no file can be written there"):
            running.kept(path, never)
    assert running.kept("", made).rows == made().rows
    running.kept(str(tmp_path / "file"), made)
    assert api.load(str(tmp_path / "file")).base == "host"


ALL = {"memory limit": "256 MiB", "cpu limit": "0.5", "allowed processors": "0-1"}
NONE = {"memory limit": "none; the machine has 900 MiB", "cpu limit": "none", "allowed processors": "0,1,2"}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (ALL, []),
        (NONE | {"limits": "none, as asked"}, []),
        (NONE, ["one: its memory limit is none; the machine has 900 MiB, and not 256 MiB as asked",
                "one: its cpu limit is none, and not 0.5 as asked",
                "one: its allowed processors is 0,1,2, and not 0,1 as asked"]),
        ({}, ["one: its memory limit cannot be read back there (256 MiB was asked for)",
              "one: its cpu limit cannot be read back there (0.5 was asked for)",
              "one: its allowed processors cannot be read back there (0,1 was asked for)"]),
        (NONE | {"accelerator": "kvm", "machine": "256 MiB, 2 processors"}, []),
    ],
)  # fmt: skip
def test_limits_that_are_not_in_force(facts: dict[str, str], said: list[str]) -> None:
    assert inforce.unequal(Limits(256 << 20, 0.5, "0,1"), {"one": facts}, guest=False) == said


def test_what_a_machine_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = {"accelerator": "kvm", "machine": "512 MiB, 1 processor"}
    assert inforce.unequal(Limits(), {"vm": machine}, guest=True) == [
        "vm: its virtualisation is nested, since this host is a virtual machine too",
        "vm: its machine has 512 MiB, 1 processor, where the others have all of the host's memory",
    ]
    (said,) = inforce.unequal(Limits(1 << 29), {"vm": {**machine, "accelerator": "tcg"}}, guest=True)
    assert said.startswith("vm: its processor is emulated")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    alone = {"vm": {**machine, "processors": "1"}}
    assert inforce.unequal(Limits(1 << 29, cpuset="1"), alone, guest=False) == []
    assert inforce.unequal(Limits(1 << 29, cpuset="0,1"), alone, guest=False) == [
        "vm: it has 1 processor, where the others may use 2"
    ]


def test_as_many_processors_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3})
    assert [Limits(None, *one).width for one in ((None, ""), (1.5, ""), (3, "1"), (None, "0-2"), (None, "3,1"))] == [
        4, 2, 1, 3, 2,
    ]  # fmt: skip
    assert Limits(cpuset="2-3,0").processors == [0, 2, 3]


def test_noise_before_and_after() -> None:
    loud: dict[str, Any] = {"busy_part": 0.5, "pressure_part": 0.0, "load": 0.0, "steal_part": 0.0}
    assert conditions.noise({}, {}, loud) == ["other programs took 50% of the processors after it ended"]


def test_targets_of_one_label_are_told_apart() -> None:
    assert running._labelled({"host": "host", "vm": "vm (X)", "vm:x": "vm (X)"}) == {
        "host": "host", "vm": "vm (X), vm", "vm:x": "vm (X), vm:x",
    }  # fmt: skip


def test_what_was_run_is_known_by_its_digest() -> None:
    cells = [workload.cell(code, python=python).digest for code, python in (("a", False), ("b", False), ("a", True))]
    named = [workload.named(words).digest for words in ("syscall", "fork")]
    assert len({*cells, *named}) == 5
    assert workload.cell("a", python=False).digest == cells[0]
