"""Where a machine is on the disk, and how it is, as files and locks say it.

ROOT/vm/ID         its keeper's folder, whose lock it holds as long as it lives: disk, sockets, jail
RUN/.vm/ID         monitor.sock, where the keeper listens, and state.json: pid, boot, started_at
ROOT/machines/ID   what lasts: machine.json, log, console (its kernel's words), exit.json
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbcontainers.errors import NameInUse
from nbcontainers.linux import flock
from nbcontainers.monitor import files

Document = dict[str, Any]


@dataclass(frozen=True)
class Places:
    """Of one machine of the engine with these folders."""

    root: str
    run: str
    id: str

    @property
    def folder(self) -> str:
        return f"{self.root}/vm/{self.id[:12]}"

    @property
    def live(self) -> str:
        return f"{self.run}/.vm/{self.id[:12]}"

    @property
    def record(self) -> str:
        return f"{self.root}/machines/{self.id[:12]}"

    def read(self, name: str) -> Document:
        """A JSON file of its record, or state.json; {} where there is none."""
        try:
            with open(f"{self.live if name == 'state.json' else self.record}/{name}", "rb") as file:
                return json.load(file)  # type: ignore[no-any-return]
        except (FileNotFoundError, ValueError):
            return {}

    def write(self, name: str, document: Document) -> None:
        files.replace(f"{self.live if name == 'state.json' else self.record}/{name}", document)

    @property
    def status(self) -> str:
        """booting, running, exited, or dead: its keeper was killed."""
        if os.path.isdir(self.folder) and not flock.folder_free(self.folder, shared=True):
            return "running" if "started_at" in self.read("state.json") else "booting"
        return "exited" if self.read("exit.json") else "dead"

    def make(self, record: Document) -> None:
        """Its record and where it listens; the caller holds the lock of ROOT/vm. Raises NameInUse."""
        for place in (self.record, self.live):  # makedirs(3) gives its mode to the last folder alone
            os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        name = record["name"]
        if owner := next(
            (one for one in of(self.root, self.run) if one.read("machine.json").get("name") == name), None
        ):
            raise NameInUse(
                f"the name {name} is taken by the virtual machine {owner.id}",
                hint=f"vm rm {name}, or take another name",
            )
        os.mkdir(self.live, 0o700)
        os.mkdir(self.record, 0o700)
        self.write("machine.json", record)

    def forget_live(self) -> None:
        shutil.rmtree(self.live, ignore_errors=True)

    def forget(self) -> None:
        """All that lasts."""
        gone = f"{os.path.dirname(self.record)}/.{self.id[:12]}"
        try:
            os.rename(self.record, gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone, ignore_errors=True)


def of(root: str, run: str) -> Iterator[Places]:
    """Of every machine with a record."""
    for path in sorted(Path(root, "machines").glob("[!.]*")):
        yield Places(root, run, path.name)
