"""The image of issue 3, the same bytes every time: 6 layers, about 490 MB, 15,000 entries, gzip or zstd.

Contents are words by Zipf's law mixed with noise, so that they compress to about a third, as programs and texts do;
sizes of files are lognormal. Written as plain tars (the floor: `tar x`) and as OCI layouts.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

MEGABYTES = (298, 88, 52, 34, 14, 4)
ENTRIES = 15_000
CREATED = "2024-01-01T00:00:00Z"
_PLATFORM = {"os": "linux", "architecture": "amd64"}


class Pool:
    """Bytes to cut file contents from: far longer than what a compressor looks back on."""

    def __init__(self, seed: int, size: int = 48 << 20) -> None:
        self.random = random.Random(seed)
        words = [self._word() for _ in range(5_000)]
        weights = list(accumulate(1 / (rank + 1) for rank in range(len(words))))
        parts: list[bytes] = []
        length = 0
        while length < size:
            text = b" ".join(self.random.choices(words, cum_weights=weights, k=400))
            noise = self.random.randbytes(self.random.randrange(32, 260))
            parts += [text, noise]
            length += len(text) + len(noise)
        self.data = b"".join(parts)

    def _word(self) -> bytes:
        return bytes(self.random.choices(b"etaoinshrdlucmfwypvbgkjqxz_0123456789", k=self.random.randrange(2, 12)))

    def cut(self, size: int) -> bytes:
        found = io.BytesIO()
        while found.tell() < size:
            start = self.random.randrange(len(self.data) - 1024)
            found.write(self.data[start : start + min(size - found.tell(), 1 << 18)])
        return found.getvalue()


def layer(path: Path, pool: Pool, number: int, size: int, entries: int) -> None:
    """One plain tar: folders, files of lognormal sizes, some links; from the second layer on two whiteouts."""
    sizes = [min(pool.random.lognormvariate(8.2, 1.9), size / 8) for _ in range(entries * 8 // 10)]
    scale = size / sum(sizes)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members(pool, number, [int(one * scale) for one in sizes], entries):
            info.mtime = 1_600_000_000 + number
            tar.addfile(info, io.BytesIO(data))


def members(pool: Pool, number: int, sizes: list[int], entries: int) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    folders = [f"usr/lib/l{number}", *(f"usr/lib/l{number}/d{index}" for index in range(entries // 10))]
    for name in ["usr", "usr/lib", *folders]:
        yield info(name, type=tarfile.DIRTYPE, mode=0o755), b""
    for index, size in enumerate(sizes):
        yield (
            info(f"{folders[index % len(folders)]}/file{index}", size=size, mode=(0o644, 0o755)[index % 2]),
            pool.cut(size),
        )
    for index in range(entries // 10):
        yield info(f"{folders[0]}/link{index}", type=tarfile.SYMTYPE, linkname=f"d{index}/file{index}"), b""
    if number:
        for index in (1, 2):
            yield info(f"usr/lib/l{number - 1}/.wh.d{index}"), b""


def info(name: str, **attributes: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(found, key, value)
    return found


def tars(folder: Path, megabytes: tuple[int, ...] = MEGABYTES, entries: int = ENTRIES, seed: int = 3) -> list[Path]:
    """The plain layers, bottom first."""
    folder.mkdir(parents=True)
    pool = Pool(seed)
    found = []
    for number, size in enumerate(megabytes):
        found.append(folder / f"layer{number}.tar")
        layer(found[-1], pool, number, size << 20, entries * (size + 20) // (sum(megabytes) + 20 * len(megabytes)))
    return found


def layout(folder: Path, layers: list[Path], codec: str, tag: str = "bench") -> Path:
    """An OCI layout of these layers, compressed by gzip or zstd as they do by themselves."""
    (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        blobs = pool.map(lambda path: compressed(path, codec), layers)
        described = [add(folder, blob, f"layer.v1.tar+{codec}") for blob in blobs]
    config = {
        **_PLATFORM, "created": CREATED, "config": {"Cmd": ["/bin/sh"]}, "history": [],
        "rootfs": {"type": "layers", "diff_ids": [digest(path.read_bytes()) for path in layers]},
    }  # fmt: skip
    top = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": described}
    top["config"] = add(folder, json.dumps(config).encode(), "config.v1+json")
    entry = add(folder, json.dumps(top).encode(), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return folder


def compressed(path: Path, codec: str) -> bytes:
    """By the programs of that name."""
    return subprocess.run([codec, "-3", "-c", str(path)], check=True, capture_output=True).stdout


def add(folder: Path, content: bytes, kind: str) -> dict[str, Any]:
    name = digest(content)
    (folder / "blobs/sha256" / name[7:]).write_bytes(content)
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": name, "size": len(content)}


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def top_layer(layout: Path) -> str:
    """The hex digest of the uppermost layer's blob."""
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads((layout / "blobs/sha256" / entry["digest"][7:]).read_text())
    return str(manifest["layers"][-1]["digest"][7:])
