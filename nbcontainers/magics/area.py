"""One display area of a cell, updated in place, whose last state the notebook keeps.

Low rate and one area, since servers drop what comes too fast and front ends store every new output: see
IPython.display.DisplayHandle.
"""

from __future__ import annotations

import uuid
from abc import abstractmethod
from typing import ClassVar

from IPython.core.display_functions import publish_display_data

from nbcontainers.cli.transfer import P, Show


class Area(Show[P]):
    """Draws the `bundle` of a progress into one display area of the cell that made it."""

    every: ClassVar[float] = 0.2

    def __init__(self, progress: P) -> None:
        super().__init__(progress)
        self.id = uuid.uuid4().hex
        self.there = False

    @abstractmethod
    def bundle(self) -> dict[str, str]:
        """What is to be seen now, by MIME type."""

    def draw(self) -> None:
        publish_display_data(self.bundle(), transient={"display_id": self.id}, update=self.there)  # type: ignore[no-untyped-call]
        self.there = True
