"""What comes back from a cell or a function that ran in a container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbcontainers import view

if TYPE_CHECKING:
    import pandas

    from nbcontainers.container.container import Container
    from nbcontainers.container.metrics import Plot
    from nbcontainers.errors import Error


@dataclass(frozen=True)
class Result:
    """The outputs by name, and the container's handle, which says what was used. `error` is None unless it failed."""

    container: Container
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: Error | None = None

    def __getitem__(self, name: str) -> Any:
        return self.outputs[name]

    @property
    def value(self) -> Any:
        """The only output: what a function returned. Raises ValueError where there are several or none."""
        if len(self.outputs) != 1:
            raise ValueError(f"{len(self.outputs)} outputs; take one by name: result['NAME']")
        return next(iter(self.outputs.values()))

    @property
    def exit_code(self) -> int | None:
        return self.container.exit_code

    @property
    def usage(self) -> Mapping[str, float | int | None]:
        """What it used: see nbcontainers.cgroups.stats.Usage."""
        return self.container.usage

    def metrics(self) -> pandas.DataFrame:
        """The samples, one row each."""
        return self.container.metrics()

    def plot(self) -> Plot:
        """Memory and processors over time against their limits."""
        return self.container.plot()

    def __repr__(self) -> str:
        how = f"{type(self.error).__name__}: {self.error}" if self.error else ", ".join(self.outputs) or "no outputs"
        return view.in_a_line("Result", lambda: f"Result {self.container!r} {how.partition(chr(10))[0]}")

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> view.Bundle:
        return self.container._repr_mimebundle_()
