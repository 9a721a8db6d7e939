"""The inputs of a cell in a memfd: written once by the notebook, sealed, mapped by the container.

The pages are the notebook's: reading an input costs the container nothing, and a page it writes to becomes its own
(MAP_PRIVATE) and counts against its limit then. See memfd_create(2), fcntl(2) "File Sealing".
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
from collections.abc import Mapping
from typing import Any, Self

from nbcontainers.experiment.inside import binary

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Memory:
    """A sink of `binary.dump`; then `seal` adds the header and closes it to change."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("nbcontainers-inputs", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.size = 0
        self.buffers: list[tuple[int, int, bool]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def restart(self) -> None:
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        self.size, self.buffers = 0, []

    def write(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        while view:
            count = os.write(self.descriptor, view)  # at most 2 GiB at a time: write(2)
            self.size += count
            view = view[count:]

    def finish(self, buffers: list[pickle.PickleBuffer]) -> None:
        for buffer in buffers:
            with buffer.raw() as raw:
                self._align()
                self.buffers.append((self.size, raw.nbytes, memoryview(buffer).readonly))
                self.write(raw)

    def _align(self) -> None:
        self.write(bytes(-self.size % binary.ALIGNMENT))

    def seal(self, header: Mapping[str, Any]) -> tuple[int, int]:
        """Add the header, which says where the buffers are, and close the memory to change: its place and size."""
        document = json.dumps({**header, "buffers": self.buffers}).encode()
        start = self.size
        self.write(document)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return start, len(document)
