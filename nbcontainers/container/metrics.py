"""A container's samples as a tidy DataFrame, and as a picture of what it used against what it was allowed.

pandas and matplotlib are imported only when one of the two is asked for.
"""

from __future__ import annotations

import io
import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbcontainers.cgroups.stats import Sample, cpu_limit, memory_limit
from nbcontainers.table import bytes_, duration

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

#: column of the frame: (column of Sample, divisor). Seconds and bytes count up from the container's start, or are
#: the state at that moment, as `Sample` says.
COLUMNS = {
    "cpu_s": ("cpu_ns", 1e9),
    "user_s": ("user_ns", 1e9),
    "system_s": ("system_ns", 1e9),
    "throttled_s": ("throttled_ns", 1e9),
    "nr_periods": ("nr_periods", 1),
    "nr_throttled": ("nr_throttled", 1),
    "memory_bytes": ("memory", 1),
    "memory_anon_bytes": ("memory_anon", 1),
    "memory_file_bytes": ("memory_file", 1),
    "memory_inactive_file_bytes": ("memory_inactive_file", 1),
    "memory_swap_bytes": ("memory_swap", 1),
    "memory_peak_bytes": ("memory_peak", 1),
    "memory_limit_hits": ("memory_limit_hits", 1),
    "oom_kills": ("oom_kills", 1),
    "pids": ("pids", 1),
    "pids_peak": ("pids_peak", 1),
    "io_read_bytes": ("io_read_bytes", 1),
    "io_write_bytes": ("io_write_bytes", 1),
    "io_reads": ("io_reads", 1),
    "io_writes": ("io_writes", 1),
    "psi_cpu_s": ("psi_cpu_ns", 1e9),
    "psi_memory_s": ("psi_memory_ns", 1e9),
    "psi_io_s": ("psi_io_ns", 1e9),
    "net_rx_bytes": ("net_rx_bytes", 1),
    "net_tx_bytes": ("net_tx_bytes", 1),
}
#: column of the frame: the counter whose growth a second it is.
RATES = {
    "cpu_cores": "cpu_s",
    "net_rx_bytes_per_s": "net_rx_bytes",
    "net_tx_bytes_per_s": "net_tx_bytes",
    "io_read_bytes_per_s": "io_read_bytes",
    "io_write_bytes_per_s": "io_write_bytes",
    "psi_cpu_part": "psi_cpu_s",
    "psi_memory_part": "psi_memory_s",
    "psi_io_part": "psi_io_s",
}
_BLUE, _GREEN, _RED, _AMBER, _INK = "#2f81f7", "#2da44e", "#e5484d", "#d68f00", "#7d7d7d"
"""Each can be seen on white and on black; words in _INK have 4 : 1 on both."""
_WIDTH, _DPI = 7.2, 150
_TRAFFIC = ("net_rx_bytes_per_s", "net_tx_bytes_per_s")
_PSI = ("psi_cpu_part", "psi_memory_part", "psi_io_part")
_SHORTEST_INTERVAL = 0.002


def frame(samples: Sequence[Sample], facts: Mapping[str, Any] | None = None) -> pandas.DataFrame:
    """One row a sample: `time` (UTC), `elapsed_s` since the first, the columns of COLUMNS, and rates since the row
    before: `cpu_cores` (processors in use, 0.5 is half of one), `net_…` and `io_…_bytes_per_s`, `psi_…_part` (of the time,
    in which at least one task waited) and `throttled_part` (of the CFS periods); parts are 0 to 1.

    What this host cannot measure is missing (NA). `facts` become the frame's `attrs`.
    """
    import pandas

    rows = pandas.DataFrame(list(samples), columns=list(Sample._fields), dtype="int64")
    found = pandas.DataFrame({"time": pandas.to_datetime(rows["time_ns"], unit="ns", utc=True)})
    found["elapsed_s"] = (rows["time_ns"] - (rows["time_ns"].iloc[0] if len(rows) else 0)) / 1e9
    for name, (column, divisor) in COLUMNS.items():
        known = rows[column].where(rows[column] >= 0).astype("Int64")
        found[name] = known if divisor == 1 else known.astype("Float64") / divisor
    seconds = found["elapsed_s"].diff()
    for name, counter in RATES.items():
        found[name] = (found[counter].diff() / seconds).where(seconds > _SHORTEST_INTERVAL).astype("Float64")
    periods = found["nr_periods"].diff()
    found["throttled_part"] = (found["nr_throttled"].diff() / periods).where(periods > 0).astype("Float64")
    found.attrs.update(facts or {})
    return found


@dataclass(frozen=True)
class Facts:
    """What a plot needs beside the samples: `limits` as in the runtime-spec's linux.resources, `exit` as exit.json."""

    title: str = ""
    limits: Mapping[str, Any] = field(default_factory=dict)
    exit: Mapping[str, Any] = field(default_factory=dict)

    @property
    def memory(self) -> int | None:
        """The memory limit in bytes."""
        return memory_limit(self.limits)

    @property
    def cpus(self) -> float | None:
        """The processor limit: quota over period."""
        return cpu_limit(self.limits)


@dataclass(frozen=True)
class Plot:
    """A finished picture: `png` bytes, the `data` it shows, and the same in words."""

    png: bytes
    data: pandas.DataFrame
    words: str

    def __repr__(self) -> str:
        return self.words

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """Drawn for screens of many dots, shown in the size of others."""
        width, height = struct.unpack(">2I", self.png[16:24])  # PNG, 11.2.1: the header comes first
        size = {"width": width * 100 // _DPI, "height": height * 100 // _DPI}
        return {"text/plain": self.words, "image/png": b64encode(self.png).decode()}, {"image/png": size}

    def save(self, path: str) -> None:
        """Write the PNG file."""
        with open(path, "wb") as file:
            file.write(self.png)


def plot(samples: Sequence[Sample], facts: Facts) -> Plot:
    """Memory and processors over time, each with its limit, OOM kills and throttled times marked; below them network
    and pressure where there was any. No background and colours of the middle: it is read on light and on dark."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    data = frame(samples, {"title": facts.title, "limits": dict(facts.limits)})
    drawn = [
        _memory,
        _processors,
        *([_network] if _some(data, *_TRAFFIC) else []),
        *([_pressure] if _some(data, *_PSI) else []),
    ]
    heights = [1.0, 1.0, 0.6, 0.6][: len(drawn)]
    figure = Figure(figsize=(_WIDTH, 0.2 + 2.0 * sum(heights)), layout="constrained", facecolor="none", dpi=_DPI)
    panels = figure.subplots(len(drawn), 1, sharex=True, gridspec_kw={"height_ratios": heights})
    for axes, draw in zip(panels, drawn, strict=True):
        draw(axes, data, facts)
        _finish(axes)
    panels[-1].set_xlabel("seconds since the start", color=_INK)
    panels[0].set_title(facts.title, loc="left", fontsize=10, color=_INK)
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target)  # type: ignore[no-untyped-call]
    return Plot(target.getvalue(), data, words(data, facts))


def _some(data: pandas.DataFrame, *names: str) -> bool:
    """Whether any of it was more than nothing."""
    return any(data[name].notna().any() and float(data[name].max()) > 0 for name in names)


def _memory(axes: Axes, data: pandas.DataFrame, facts: Facts) -> None:
    unit = 2**20
    time, used = data["elapsed_s"], data["memory_bytes"].astype("float") / unit
    axes.fill_between(time, used, color=_BLUE, alpha=0.2, linewidth=0)
    axes.plot(time, used, color=_BLUE, marker="." if len(data) < 40 else "", label="in use")
    peak = _peak(data, facts)
    if peak:
        axes.axhline(peak / unit, color=_INK, linestyle=":", linewidth=1, label=f"peak {bytes_(peak)}")
    if facts.memory:
        axes.axhline(facts.memory / unit, color=_RED, linewidth=1.2, label=f"limit {bytes_(facts.memory)}")
    for moment in _oom_moments(data, facts):
        axes.axvline(moment, color=_RED, linestyle="--", linewidth=1.2, label="OOM kill")
    axes.set_ylabel("memory (MiB)")
    axes.set_ylim(
        bottom=0, top=1.12 * max([used.max() if len(used) else 0, (facts.memory or 0) / unit, (peak or 0) / unit, 1])
    )


def _processors(axes: Axes, data: pandas.DataFrame, facts: Facts) -> None:
    time, cores = data["elapsed_s"], data["cpu_cores"].astype("float")
    axes.plot(time, cores, color=_BLUE, drawstyle="steps-pre", label="in use")
    throttled = data["throttled_part"].fillna(0).astype("float")
    if (throttled > 0).any():
        for index in data.index[1:][(throttled > 0).to_numpy()[1:]]:
            axes.axvspan(
                time[index - 1], time[index], color=_AMBER, alpha=0.15 + 0.35 * min(throttled[index], 1.0), linewidth=0
            )
        axes.fill_between([], [], color=_AMBER, alpha=0.4, label="throttled")
    if facts.cpus:
        axes.axhline(facts.cpus, color=_RED, linewidth=1.2, label=f"limit {facts.cpus:g}")
    axes.set_ylabel("processors")
    axes.set_ylim(bottom=0, top=1.25 * max([cores.max() if cores.notna().any() else 0, facts.cpus or 0, 0.1]))


def _network(axes: Axes, data: pandas.DataFrame, facts: Facts) -> None:
    for name, label, colour in zip(_TRAFFIC, ("received", "sent"), (_BLUE, _GREEN), strict=True):
        axes.plot(data["elapsed_s"], data[name].astype("float") / 1e3, color=colour, drawstyle="steps-pre", label=label)
    axes.set_ylabel("kB/s")
    axes.set_ylim(bottom=0)


def _pressure(axes: Axes, data: pandas.DataFrame, facts: Facts) -> None:
    """Pressure stall information: the part of the time in which something in it waited."""
    for name, label, colour in zip(_PSI, ("CPU", "memory", "I/O"), (_BLUE, _RED, _GREEN), strict=True):
        if _some(data, name):
            part = data[name].astype("float") * 100
            axes.plot(data["elapsed_s"], part, color=colour, drawstyle="steps-pre", label=f"waited for {label}")
    axes.set_ylabel("pressure (%)")
    axes.set_ylim(bottom=0, top=105)


def _finish(axes: Axes) -> None:
    """Legend and colours."""
    axes.set_facecolor("none")
    axes.grid(alpha=0.3, color=_INK)
    axes.tick_params(colors=_INK)
    axes.yaxis.label.set_color(_INK)
    for spine in axes.spines.values():
        spine.set_color(_INK)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(
        once.values(),
        once.keys(),
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        fontsize=8,
        frameon=False,
        labelcolor=_INK,
    )


def _peak(data: pandas.DataFrame, facts: Facts) -> int | None:
    """The kernel's own figure, which knows peaks between two samples."""
    peak = (facts.exit.get("usage") or {}).get("memory_peak")
    if peak is None and len(data) and data["memory_peak_bytes"].notna().any():
        peak = int(data["memory_peak_bytes"].max())
    return peak


def _oom_moments(data: pandas.DataFrame, facts: Facts) -> list[float]:
    """When the count of OOM kills grew; the end, if the run ended before a sample could see it."""
    kills = data["oom_kills"].fillna(0).astype("int64")
    moments = [float(time) for time in data["elapsed_s"][kills.diff() > 0]]
    if not moments and facts.exit.get("oom_killed") and len(data):
        moments = [float(facts.exit.get("wall_s") or data["elapsed_s"].iloc[-1])]
    return moments


def words(data: pandas.DataFrame, facts: Facts) -> str:
    """The picture in one line."""
    if not len(data):
        return f"{facts.title or 'container'}: no samples"
    parts = [f"{len(data)} sample{'s' * (len(data) != 1)} over {duration(float(data['elapsed_s'].iloc[-1]))}"]
    if peak := _peak(data, facts):
        limit = f" of {bytes_(facts.memory)}" if facts.memory else ""
        parts.append(f"memory peak {bytes_(peak)}{limit}")
    if data["cpu_s"].notna().any():
        limit = f", limit {facts.cpus:g}" if facts.cpus else ""
        parts.append(f"CPU time {duration(float(data['cpu_s'].max()))}{limit}")
    if data["throttled_s"].notna().any() and data["throttled_s"].max() > 0:
        parts.append(f"throttled {duration(float(data['throttled_s'].max()))}")
    if moments := _oom_moments(data, facts):
        parts.append(f"OOM kill at {duration(moments[0])}")
    return f"{facts.title}: {', '.join(parts)}" if facts.title else ", ".join(parts)
