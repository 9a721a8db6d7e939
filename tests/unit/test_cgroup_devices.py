"""The device policy: the rules' steps, and the eBPF program played by a machine of our own."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from nbcontainers.cgroups import device_program, devices
from nbcontainers.cgroups.devices import ANY, Key
from nbcontainers.errors import InvalidArgument

DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "access": "rwm"}


def rule(allow: bool, kind: str, major: int | None, minor: int | None, access: str = "rwm") -> dict[str, Any]:
    return {"allow": allow, "type": kind, "major": major, "minor": minor, "access": access}


def decide(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """Run the program as the kernel would: 32-bit loads, ALU, JMP32."""
    asked = sum(devices.ACCESS[letter] for letter in access)
    context = struct.pack("=III", asked << 16 | devices.TYPES[kind], major, minor)
    registers, at = [0] * 11, 0
    while True:
        opcode, both, offset, immediate = struct.unpack_from("<BBhi", program, at * 8)
        target, source = both & 15, both >> 4
        at += 1
        match opcode:
            case device_program.LOAD_WORD:
                registers[target] = struct.unpack_from("=I", context, offset)[0]
            case device_program.AND:
                registers[target] &= immediate
            case device_program.RSHIFT:
                registers[target] >>= immediate
            case device_program.MOVE:
                registers[target] = immediate
            case device_program.MOVE_REGISTER:
                registers[target] = registers[source]
            case device_program.JUMP_NOT_EQUAL:
                at += offset if registers[target] != immediate else 0
            case 0x05:
                at += offset
            case device_program.EXIT:
                return bool(registers[0])
            case _:
                raise AssertionError(hex(opcode))


def in_program(rules: list[dict[str, Any]], kind: str, major: int, minor: int, access: str) -> bool:
    return decide(device_program.assemble(devices.policy(rules)), kind, major, minor, access)


def test_nothing_but_the_default_devices() -> None:
    assert in_program([DENY_ALL], "c", 1, 3, "rw")
    assert in_program([DENY_ALL], "c", 136, 77, "rw")
    assert in_program([DENY_ALL], "c", 5, 2, "rw")
    for kind, major, minor in (("b", 8, 0), ("b", 1, 3), ("c", 1, 11), ("c", 10, 229), ("c", 10, 232), ("c", 137, 0)):
        assert not in_program([DENY_ALL], kind, major, minor, "r")
        assert not in_program([DENY_ALL], kind, major, minor, "m")


def test_other_engines_may_make_nodes_but_not_open_them() -> None:
    program = device_program.assemble(devices.policy([DENY_ALL], mknod=True))
    assert decide(program, "b", 8, 0, "m")
    assert not decide(program, "b", 8, 0, "r")
    assert not decide(program, "b", 8, 0, "rm")


def test_part_of_the_accesses() -> None:
    rules = [DENY_ALL, rule(True, "c", 10, 229, "r")]
    assert in_program(rules, "c", 10, 229, "r")
    assert not in_program(rules, "c", 10, 229, "rw")
    assert not in_program(rules, "c", 10, 229, "w")


def test_two_rules_for_one_device_add_up() -> None:
    rules = [DENY_ALL, rule(True, "c", 10, 229, "r"), rule(True, "c", 10, 229, "w")]
    assert in_program(rules, "c", 10, 229, "rw")


def test_a_later_denial_takes_back() -> None:
    rules = [DENY_ALL, rule(True, "b", 8, 0), rule(False, "b", 8, 0, "w")]
    assert in_program(rules, "b", 8, 0, "r")
    assert not in_program(rules, "b", 8, 0, "w")


def test_privileged_allows_everything_but_what_is_denied() -> None:
    assert in_program([ALLOW_ALL], "b", 8, 0, "rwm")
    rules = [ALLOW_ALL, rule(False, "b", 8, None, "w"), rule(False, "c", 10, 232)]
    assert not in_program(rules, "b", 8, 16, "w")
    assert not in_program(rules, "b", 8, 16, "rw")
    assert in_program(rules, "b", 8, 16, "r")
    assert not in_program(rules, "c", 10, 232, "m")
    assert in_program(rules, "c", 10, 229, "rw")


def test_a_rule_for_all_devices_starts_afresh() -> None:
    assert not in_program([rule(True, "b", 8, 0), DENY_ALL], "b", 8, 0, "r")
    assert devices.policy([rule(True, "b", 8, 0), ALLOW_ALL]).exceptions == {}


def test_type_a_with_numbers_is_both_kinds() -> None:
    found = devices.policy([DENY_ALL, rule(True, "a", 8, 0, "r")]).exceptions
    assert found[Key("b", 8, 0)] == found[Key("c", 8, 0)] == devices.ACCESS["r"]


def test_negative_and_missing_numbers_are_any() -> None:
    found = devices.policy([DENY_ALL, rule(True, "c", 4, -1), {"allow": True, "type": "b", "access": "r"}]).exceptions
    assert found[Key("c", 4, ANY)] == 7
    assert found[Key("b", ANY, ANY)] == devices.ACCESS["r"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"allow": True, "type": "z"}, "'z' is no type of device"),
        ({"allow": True, "access": "rx"}, "'rx' is no access"),
    ],
)
def test_bad_rules(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        devices.policy([bad])


def test_lines_as_the_kernel_lists_them() -> None:
    assert devices._line(Key("c", 136, ANY), 7) == "c 136:* rwm"
    assert devices._line(Key("b", 8, 1), devices.ACCESS["m"] | devices.ACCESS["r"]) == "b 8:1 rm"
