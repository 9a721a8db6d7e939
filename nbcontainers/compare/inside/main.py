"""Measures what the arguments name, in lines that begin with the first of them, the token."""

from __future__ import annotations

import sys
import time

from nbcontainers.compare.inside.step import FACTS, Absent


def measured(name: str) -> str:
    """What is said of an axis."""
    try:
        value, unit = globals()[name]()
    except Absent as absent:
        return f"absent {name} {absent}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the other axes go on
        return f"absent {name} {' '.join(f'{type(error).__name__}: {error}'.split())}"
    return f"figure {name} {value!r} {unit}"


def main(token: str, *names: str) -> None:
    print(token, "begin", flush=True)
    begun = time.perf_counter_ns()
    if names == ("about",):
        FACTS.update(globals()["about"]())
    else:
        for name in names:
            print(token, measured(name), flush=True)
    for key, value in FACTS.items():
        print(f"{token} fact {key} = {value}", flush=True)
    print(f"{token} end {time.perf_counter_ns() - begun} ns", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
