"""Which device nodes a container may open: `linux.resources.devices` as one small policy for v1 and v2.

The rules of the runtime-spec are steps ("allow this, then deny that"). They are played here as the v1 controller
plays them, giving a default and its exceptions; v1 gets these written to devices.allow and devices.deny, v2 as a
program (`device_program`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nbcontainers.cgroups.folder import Folder
from nbcontainers.cgroups.limits import refused
from nbcontainers.errors import HostNotCapable, InvalidArgument

Rule = dict[str, Any]

ANY = -1
#: Bits of struct bpf_cgroup_dev_ctx.access_type, <linux/bpf.h>.
ACCESS = {"m": 1, "r": 2, "w": 4}
TYPES = {"b": 1, "c": 2}


def _rule(kind: str, major: int, minor: int, access: str = "rwm") -> Rule:
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}


#: Other engines count on making any node, which is not opening it: runc and crun add these to every list.
MKNOD_RULES: list[Rule] = [_rule("c", ANY, ANY, "m"), _rule("b", ANY, ANY, "m")]
#: The devices of config-linux.md, Default Devices, with /dev/console and terminals, that every container may use.
DEFAULT_RULES: list[Rule] = [
    _rule("c", 1, 3),  # null
    _rule("c", 1, 5),  # zero
    _rule("c", 1, 7),  # full
    _rule("c", 1, 8),  # random
    _rule("c", 1, 9),  # urandom
    _rule("c", 5, 0),  # tty
    _rule("c", 5, 1),  # console
    _rule("c", 5, 2),  # ptmx
    _rule("c", 136, ANY),  # pts/N
]


class Key(NamedTuple):
    """`type` is "b" or "c"; ANY stands for every number."""

    type: str
    major: int
    minor: int


class Policy:
    """A default, and the accesses (bits of ACCESS) in which single devices differ from it."""

    def __init__(self) -> None:
        self.allow = True
        self.exceptions: dict[Key, int] = {}

    def step(self, rule: Rule) -> None:
        """One rule. A rule for all devices starts afresh, as `echo a > devices.deny` does. Raises InvalidArgument."""
        kinds, access = _kinds(rule), _access(rule)
        allow, major, minor = bool(rule.get("allow")), _number(rule, "major"), _number(rule, "minor")
        if len(kinds) == 2 and major == ANY and minor == ANY and access == 7:
            self.allow, self.exceptions = allow, {}
            return
        for kind in kinds:
            key = Key(kind, major, minor)
            bits = self.exceptions.pop(key, 0)
            bits = bits & ~access if allow == self.allow else bits | access
            if bits:
                self.exceptions[key] = bits


def policy(rules: list[Rule], mknod: bool = False) -> Policy:
    """The policy of a configuration's rules followed by DEFAULT_RULES and, for other engines, MKNOD_RULES."""
    result = Policy()
    for rule in [*rules, *DEFAULT_RULES, *(MKNOD_RULES if mknod else [])]:
        result.step(rule)
    return result


def _kinds(rule: Rule) -> list[str]:
    kind = rule.get("type") or "a"
    if kind not in ("a", "b", "c", "u", "p"):
        raise InvalidArgument(f"{kind!r} is no type of device", hint="use a, b or c")
    return {"a": ["b", "c"], "u": ["c"], "p": []}.get(kind, [kind])


def _access(rule: Rule) -> int:
    text = rule.get("access") or "rwm"
    if not set(text) <= set(ACCESS):
        raise InvalidArgument(f"{text!r} is no access to a device", hint="use letters of rwm")
    return sum(ACCESS[letter] for letter in set(text))


def _number(rule: Rule, name: str) -> int:
    value = rule.get(name)
    return ANY if value is None or value < 0 else int(value)


def _line(key: Key, bits: int) -> str:
    numbers = ":".join("*" if number == ANY else str(number) for number in key[1:])
    return f"{key.type} {numbers} {''.join(letter for letter in 'rwm' if bits & ACCESS[letter])}"


def apply_v1(folder: Folder, wanted: Policy, hint: str = "") -> int:
    """Write the policy to devices.allow and devices.deny, check devices.list, and return its number of lines."""
    lines = [_line(key, bits) for key, bits in wanted.exceptions.items()]
    first, then = ("devices.allow", "devices.deny") if wanted.allow else ("devices.deny", "devices.allow")
    try:
        folder.write(first, "a")
        if lines:
            folder.write(then, *lines)
        got = folder.read("devices.list").splitlines()
    except OSError as error:
        raise refused(error, f"{folder.path}/{then}", "device rules", hint) from error
    expected = ["a *:* rwm"] if wanted.allow else lines  # of a default "allow" the kernel lists no exceptions
    if sorted(got) != sorted(expected):
        raise HostNotCapable(f"{folder.path}/devices.list: asked for {expected}, the kernel keeps {got}")
    return len(got)
