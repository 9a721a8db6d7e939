"""What a face says beside a result: a line on stderr, instead of Python's warning with its line of code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nbcontainers.advice import Advice, advised


@contextmanager
def told(wanted: Callable[[Advice], bool] = lambda advice: True) -> Iterator[None]:
    """What is advised in the block is said so, if it is `wanted`."""

    def say(advice: Advice) -> None:
        if wanted(advice):
            print(f"Warning: {advice}", file=sys.stderr)

    token = advised.set(say)
    try:
        yield
    finally:
        advised.reset(token)
