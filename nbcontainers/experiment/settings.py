"""What a cell's container is told of the notebook and of its limits."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from typing import Any

from nbcontainers.container import parse
from nbcontainers.container.options import RunOptions, texts, value

FOLDER = "/run/nbcontainers"
"""Where the runner and the exchange are in the container."""
FONTS = f"{FOLDER}/fonts"

#: What numerical libraries and Python (3.13, PYTHON_CPU_COUNT) ask for the number of processors. The kernel's own
#: answer is the host's: a CPU limit is no part of it, and a thread for every processor of the host only adds throttling.
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS", "LOKY_MAX_CPU_COUNT", "PYTHON_CPU_COUNT",
)  # fmt: skip


def processors(options: RunOptions) -> int | None:
    """How many processors there are work for: the limit rounded up, the cpuset's size; None without either."""
    cpus, cpuset = value(options, "cpus", parse.cpus), value(options, "cpuset_cpus", parse.cpu_list)
    counts = [math.ceil(cpus)] if cpus else []
    if cpuset:
        counts.append(sum(_width(part) for part in cpuset.split(",")))
    return min(counts) if counts else None


def _width(part: str) -> int:
    low, _, high = part.partition("-")
    return int(high or low) - int(low) + 1


def environment(options: RunOptions) -> list[str]:
    """The variables of the container, the user's own last: they win."""
    count = processors(options)
    found = ["LANG=C.UTF-8", "PYTHONUNBUFFERED=1"]
    found += [f"{name}={count}" for name in THREADS] if count else []
    return [*found, *texts("env", options.get("env"))]


def figures() -> dict[str, Any]:
    """The notebook's settings of matplotlib and its inline backend, where it has loaded them: JSON only."""
    found: dict[str, Any] = {"matplotlib": {}, "inline": {}}
    if matplotlib := sys.modules.get("matplotlib"):
        found["matplotlib"] = _changed(matplotlib)
    if config := sys.modules.get("matplotlib_inline.config"):
        backend = config.InlineBackend
        if backend.initialized():
            inline = backend.instance()
            found["inline"] = {
                "figure_formats": sorted(inline.figure_formats),
                "close_figures": inline.close_figures,
                "print_figure_kwargs": dict(inline.print_figure_kwargs),
            }
    return {key: part for key, part in found.items() if _is_json(part)} | {
        key: {} for key, part in found.items() if not _is_json(part)
    }


_NOT_LOOKS = ("backend", "interactive", "toolbar", "timezone", "datapath", "animation.", "savefig.directory", "webagg.")


def _changed(matplotlib: Any) -> dict[str, Any]:
    """The rcParams that are not matplotlib's defaults."""
    now, default = matplotlib.rcParams, getattr(matplotlib, "rcParamsDefault", {})
    found = {}
    for key in default:
        if key.startswith(_NOT_LOOKS) or key not in now:
            continue
        setting = dict.__getitem__(now, key)
        if key == "axes.prop_cycle":
            setting = setting.by_key()
        if setting != (default[key].by_key() if key == "axes.prop_cycle" else dict.__getitem__(default, key)):
            if _is_json(setting):
                found[key] = setting
    return found


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def header(
    code: str, file: str, first_line: int, inputs: Mapping[str, object], outputs: list[str], *, workdir: str = ""
) -> dict[str, Any]:
    """The cell and what its interpreter should be like: the notebook's import path, folder and figures."""
    return {
        "code": code, "file": file, "first_line": first_line, "inputs": list(inputs), "outputs": outputs,
        "path": [entry for entry in sys.path if isinstance(entry, str)], "cwd": workdir or _folder(),
        "execution_count": _number(file), "fonts": FONTS, **figures(),
    }  # fmt: skip


def font_cache() -> list[str]:
    """A mount of matplotlib's list of fonts, if there is one: making it anew takes seconds where fonts are many.

    matplotlib is not asked for the folder: that would import it.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.environ.get("MPLCONFIGDIR") or f"{cache}/matplotlib"
    if ":" in folder or not any(name.startswith("fontlist-") for name in _names(folder)):
        return []
    return [f"{folder}:{FONTS}:ro"]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def _number(file: str) -> int:
    """7 of `Cell In[7]`."""
    digits = file.removeprefix("Cell In[").rstrip("]")
    return int(digits) if digits.isdecimal() else 1
