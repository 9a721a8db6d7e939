"""Tar archives made by hand, byte by byte, so that they may be as wrong as an attacker likes."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

BLOCK = 512
END = bytes(2 * BLOCK)


def octal(value: int | bytes, width: int) -> bytes:
    """A number field: octal, base-256 where it does not fit, or the bytes given."""
    if isinstance(value, bytes):
        return value.ljust(width, b"\0")
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    sign = 0xFF if value < 0 else 0x80
    return bytes([sign]) + (value & ((1 << 8 * (width - 1)) - 1)).to_bytes(width - 1, "big")


def header(
    name: bytes | str,
    *,
    type: bytes = b"0",
    size: int | bytes = 0,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 1_600_000_000,
    link: bytes | str = b"",
    major: int = 0,
    minor: int = 0,
    prefix: bytes = b"",
    magic: bytes = b"ustar\x0000",
    checksum: bytes | None = None,
    tail: bytes = b"",
) -> bytes:
    """One header block. `tail` replaces what follows the link name's and owner's fields (offset 345 on)."""
    name = name.encode() if isinstance(name, str) else name
    link = link.encode() if isinstance(link, str) else link
    block = struct.pack(
        "100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x", name, octal(mode, 8), octal(uid, 8), octal(gid, 8),
        octal(size, 12), octal(mtime, 12), b" " * 8, type, link, magic, b"", b"", octal(major, 8), octal(minor, 8),
        prefix,
    )  # fmt: skip
    if tail:
        block = block[:345] + tail.ljust(167, b"\0")[:167]
    checksum = b"%06o\0 " % sum(block) if checksum is None else checksum
    return block[:148] + checksum + block[156:]


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def record(key: str | bytes, value: str | bytes) -> bytes:
    key, value = (part.encode() if isinstance(part, str) else part for part in (key, value))
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def pax(records: dict[str, str | bytes] | bytes, kind: bytes = b"x") -> bytes:
    content = records if isinstance(records, bytes) else b"".join(record(k, v) for k, v in records.items())
    return header("PaxHeaders/x", type=kind, size=len(content)) + padded(content)


def gnu_long(text: bytes, kind: bytes = b"L") -> bytes:
    return header("././@LongLink", type=kind, size=len(text) + 1, magic=b"ustar  \0") + padded(text + b"\0")


def file(name: bytes | str, content: bytes = b"", **fields: Any) -> bytes:
    return header(name, size=len(content), **fields) + padded(content)


def folder(name: bytes | str, **fields: Any) -> bytes:
    return header(name, type=b"5", **{"mode": 0o755, **fields})


def symlink(name: bytes | str, target: bytes | str, **fields: Any) -> bytes:
    return header(name, type=b"2", link=target, mode=0o777, **fields)


def hardlink(name: bytes | str, target: bytes | str, **fields: Any) -> bytes:
    return header(name, type=b"1", link=target, **fields)


def archive(*members: bytes) -> bytes:
    return b"".join(members) + END


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def docker_archive(path: Path, layers: list[bytes], *names: str, config: dict[str, Any] | None = None) -> Path:
    """What `docker save` writes, of layers made by hand."""
    document = config or {
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
    }  # fmt: skip
    content = json.dumps(document).encode()
    listing = [{
        "Config": "config.json", "RepoTags": list(names), "Layers": [f"{n}/layer.tar" for n in range(len(layers))],
    }]  # fmt: skip
    members = [file(f"{number}/layer.tar", layer) for number, layer in enumerate(layers)]
    members += [file("config.json", content), file("manifest.json", json.dumps(listing).encode())]
    path.write_bytes(archive(*members))
    return path
