"""A comparison as a file: JSON with all samples, so that another computer draws the same verdicts from the same numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbcontainers.compare.rounds import Measured
from nbcontainers.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from nbcontainers.compare.comparison import Comparison

_FORM = "nbcontainers comparison"
_VERSION = 1
_PARTS = ("workload", "targets", "rounds", "seed", "image", "limits", "at", "conditions", "noise", "unequal")


def save(seen: Comparison, path: str | os.PathLike[str]) -> Path:
    """Write it, in place of what was there. Raises OSError."""
    measured = seen.measured
    document: dict[str, Any] = {"form": _FORM, "version": _VERSION, "rows": seen.rows}
    document |= {name: getattr(seen, name) for name in _PARTS} | {
        "samples": measured.samples, "absent": measured.absent, "facts": measured.facts, "lost": measured.lost,
        "without": [[target, axis, why] for (target, axis), why in measured.without.items()],
    }  # fmt: skip
    place = Path(path).expanduser()
    place.write_text(json.dumps(document, indent=1, ensure_ascii=False, default=dict) + "\n")
    return place


def load(path: str | os.PathLike[str]) -> Comparison:
    """The verdicts are drawn anew from the samples. Raises NotFound, InvalidArgument for what is no comparison."""
    from nbcontainers.compare.comparison import Comparison

    place = Path(path).expanduser()
    try:
        document = json.loads(place.read_bytes())
        if document["form"] != _FORM or document["version"] > _VERSION:
            raise ValueError(f"it says it is {document['form']!r} {document['version']}")
        without = {(target, axis): why for target, axis, why in document["without"]}
        measured = Measured(document["samples"], document["absent"], without, document["facts"], document["lost"])
        found = Comparison(measured=measured, **{name: document[name] for name in _PARTS})
        found.rows  # noqa: B018 - it is computed here, where nonsense is told
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {place}", hint="compare run --output FILE writes one") from error
    except OSError as error:
        raise InvalidArgument(
            f"{place} cannot be read: {error.strerror}", hint="name a file of compare run --output"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise InvalidArgument(
            f"{place} is no comparison: {type(error).__name__} {error}", hint="name a file of compare run --output"
        ) from error
    return found
