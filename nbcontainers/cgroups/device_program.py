"""The device policy of cgroup v2: an eBPF program that the kernel asks at each open and mknod of a device.

bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE; instructions as in the kernel's Documentation/bpf/standardization. The program
holds no pointers and no maps, so it is data: eight bytes an instruction.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from nbcontainers.cgroups.devices import ACCESS, ANY, TYPES, Key, Policy
from nbcontainers.cgroups.folder import FOLDER, Folder
from nbcontainers.errors import Error, HostNotCapable
from nbcontainers.linux import libc

BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_QUERY = 5, 8, 16
BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE = 15, 6
BPF_F_ALLOW_MULTI = 2

# Opcodes: class | size or operation | source.
LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
AND, RSHIFT, MOVE, MOVE_REGISTER = 0x54, 0x74, 0xB4, 0xBC  # BPF_ALU (32 bits), BPF_K or BPF_X
JUMP_NOT_EQUAL = 0x56  # BPF_JMP32 | BPF_JNE | BPF_K
EXIT = 0x95

# r1 is the context (struct bpf_cgroup_dev_ctx); what we keep of it, and r0 that holds the answer:
RESULT, CONTEXT, TYPE, ASKED, MAJOR, MINOR, SCRATCH = 0, 1, 2, 3, 4, 5, 6


def instruction(opcode: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", opcode, destination | source << 4, offset, immediate)


def assemble(policy: Policy) -> bytes:
    """The program: one block an exception, then the default. It returns 1 for allowed and 0 for EPERM."""
    blocks = [_exception(key, bits, not policy.allow) for key, bits in policy.exceptions.items()]
    return b"".join([_prologue(), *blocks, _answer(policy.allow)])


def _prologue() -> bytes:
    """access_type is two halves of a word: the accesses asked for above the device's type."""
    return b"".join(
        [
            instruction(LOAD_WORD, TYPE, CONTEXT, 0),
            instruction(MOVE_REGISTER, ASKED, TYPE),
            instruction(AND, TYPE, immediate=0xFFFF),
            instruction(RSHIFT, ASKED, immediate=16),
            instruction(LOAD_WORD, MAJOR, CONTEXT, 4),
            instruction(LOAD_WORD, MINOR, CONTEXT, 8),
        ]
    )


def _answer(allow: bool) -> bytes:
    return instruction(MOVE, RESULT, immediate=int(allow)) + instruction(EXIT)


def _exception(key: Key, bits: int, allow: bool) -> bytes:
    """Allow if nothing but `bits` is asked for; or deny if any of `bits` is. Else go on with the next block."""
    tests = [(TYPE, TYPES[key.type])]
    tests += [(register, number) for register, number in ((MAJOR, key.major), (MINOR, key.minor)) if number != ANY]
    all_bits = sum(ACCESS.values())
    body: list[bytes] = []
    if bits != all_bits:
        body.append(instruction(MOVE_REGISTER, SCRATCH, ASKED))
        body.append(instruction(AND, SCRATCH, immediate=all_bits & ~bits if allow else bits))
        # Allowing: jump on if a bit outside is asked. Denying: jump over the jump if a denied bit is asked.
        body.append(instruction(JUMP_NOT_EQUAL, SCRATCH, offset=2 if allow else 1, immediate=0))
        if not allow:
            body.append(instruction(0x05, offset=2))  # BPF_JMP | BPF_JA
    body.append(_answer(allow))
    length = sum(map(len, body)) // 8 + len(tests)
    jumps = [
        instruction(JUMP_NOT_EQUAL, register, offset=length - place - 1, immediate=number)
        for place, (register, number) in enumerate(tests)
    ]
    return b"".join(jumps + body)


def _bpf(command: int, attribute: bytes) -> int:
    buffer = ctypes.create_string_buffer(attribute.ljust(128, b"\0"), 128)
    return libc.syscall("bpf", command, ctypes.addressof(buffer), 128)


def load(program: bytes) -> int:
    """BPF_PROG_LOAD: a descriptor of the program. Raises OSError; EPERM without CAP_BPF or CAP_SYS_ADMIN."""
    code = ctypes.create_string_buffer(program, len(program))
    license = ctypes.create_string_buffer(b"Apache-2.0")
    attribute = struct.pack(
        "=IIQQIIQII16s",
        *(BPF_PROG_TYPE_CGROUP_DEVICE, len(program) // 8),
        *(ctypes.addressof(code), ctypes.addressof(license)),
        *(0, 0, 0, 0, 0, b"nbc_devices"),
    )
    return _bpf(BPF_PROG_LOAD, attribute)


def attach(folder: int, program: int) -> None:
    """BPF_PROG_ATTACH beside the programs of parent cgroups: a device must be allowed by all of them."""
    _bpf(BPF_PROG_ATTACH, struct.pack("=IIII", folder, program, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI))


def count(folder: int) -> int:
    """BPF_PROG_QUERY: how many device programs are attached to this cgroup itself."""
    buffer = ctypes.create_string_buffer(struct.pack("=IIIIQI", folder, BPF_CGROUP_DEVICE, 0, 0, 0, 0), 128)
    libc.syscall("bpf", BPF_PROG_QUERY, ctypes.addressof(buffer), 128)
    return int(struct.unpack_from("=I", buffer, 24)[0])


def apply_v2(folder: Folder, policy: Policy, hint: str = "") -> int:
    """Put the policy in force on a cgroup; returns its number of exceptions. Raises HostNotCapable."""
    try:
        return _apply(folder, policy)
    except OSError as error:
        raise _refused(error, folder, hint) from error


def _apply(folder: Folder, policy: Policy) -> int:
    program = load(assemble(policy))
    try:
        directory = folder.open("", FOLDER)
        try:
            attach(directory, program)
            if not count(directory):
                raise OSError(errno.EIO, "the device program is not attached", folder.path)
        finally:
            os.close(directory)
    finally:
        os.close(program)
    return len(policy.exceptions)


def _refused(error: OSError, folder: Folder, hint: str) -> Error:
    doing = f"cannot limit the devices of {folder.path}"
    if error.errno in (errno.EPERM, errno.EACCES):
        hint = hint or "this needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the first user namespace"
    return HostNotCapable.from_oserror(error, doing, hint=hint)
