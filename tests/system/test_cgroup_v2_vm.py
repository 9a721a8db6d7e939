"""Pure cgroup v2 on a kernel of its own: the tests of tests/guest, and the cgroup tests of this folder once more."""

from __future__ import annotations

import pytest

from tests import vm

pytestmark = [pytest.mark.as_root, pytest.mark.slow, pytest.mark.timeout(420)]

#: What may be skipped there, and why.
SKIPS = ("this host has no v1 freezer", "not a v1 host", "the VM compares v2", "the VM tests delegation on v2",
         "a translated processor has other costs")  # fmt: skip


@pytest.fixture(scope="module")
def guest() -> vm.Result:
    """The bare cgroups first: a container that is begun ahead holds on to the controllers."""
    bare = ["tests/guest/test_v2.py", "tests/system/test_cgroups.py"]
    return vm.run([*bare, "tests/guest"], programs=["crun"], timeout=400)


def test_what_the_guest_says(guest: vm.Result) -> None:
    outcomes = guest.outcomes()
    wrong = {name: text for name, text in outcomes.items() if text != "passed" and not allowed(text)}
    assert not wrong, "\n\n".join(f"in the guest: {name}: {text}" for name, text in wrong.items())
    assert sum(text == "passed" for text in outcomes.values()) >= 47


def allowed(text: str) -> bool:
    return text.startswith("skipped") and any(reason in text for reason in SKIPS)
