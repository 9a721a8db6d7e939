"""Whether the limits that were asked for are in force on each target, by what a program in it finds; and what else of a
target is not as its neighbours'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nbcontainers.compare.target import Limits

Facts = Mapping[str, str]
_MIB = 1 << 20
_DRIFTS = 0.05
"""A part by which a guest's clock may be off: more is no matter of when its marks were read."""
_EMULATED = {
    "tcg": "its processor is emulated: figures are of another code path, not of virtualisation by hardware",
    "uml": "its kernel is a program of the host, whose system calls are traced: not virtualisation by hardware",
}


def unequal(limits: Limits, targets: Mapping[str, Facts], *, guest: bool) -> list[str]:
    """In words, by target (its name and facts). `guest` is whether the host is one itself, as far as is known."""
    return [f"{name}: {words}" for name, facts in targets.items() for words in _of(limits, facts, guest=guest)]


def _of(limits: Limits, facts: Facts, *, guest: bool) -> Iterator[str]:
    clock, _, whose = facts.get("clock", "").partition(" ")
    if whose and abs(float(clock) - 1) > _DRIFTS:
        yield f"its clock says {clock} s in a second of the host's: what it measured itself is wrong by as much"
    if accelerator := facts.get("accelerator"):
        yield from [_EMULATED[accelerator]] if accelerator in _EMULATED else []
        if guest and accelerator == "kvm":
            yield "its virtualisation is nested, since this host is a virtual machine too"
        if limits.memory is None and "machine" in facts:
            yield f"its machine has {facts['machine']}, where the others have all of the host's memory"
        if (count := facts.get("processors", "")) and count != str(limits.width):
            yield f"it has {count} processor{'s' * (count != '1')}, where the others may use {limits.width}"
    elif not facts.get("limits", "").startswith("none"):
        yield from _differing(limits, facts)


def _differing(limits: Limits, facts: Facts) -> Iterator[str]:
    asked = {
        "memory limit": "" if limits.memory is None else f"{limits.memory // _MIB} MiB",
        "cpu limit": "" if limits.cpus is None else f"{limits.cpus:g}",
        "allowed processors": ",".join(map(str, limits.processors)) if limits.cpuset else "",
    }
    for name, wanted in asked.items():
        found = _as_list(facts.get(name, "")) if name == "allowed processors" else facts.get(name, "")
        if wanted and not found:
            yield f"its {name} cannot be read back there ({wanted} was asked for)"
        elif wanted and found != wanted:
            yield f"its {name} is {found}, and not {wanted} as asked"


def _as_list(words: str) -> str:
    """`0-2` as `0,1,2`."""
    return ",".join(map(str, Limits(cpuset=words).processors)) if words else ""
