"""Runs a notebook without a browser and prints it as a person would read it: each cell, then what it showed."""

from __future__ import annotations

import html
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError


def main(path: Path) -> int:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="quickstart-") as folder, tempfile.TemporaryFile("w+") as log:
        client = NotebookClient(
            notebook,
            timeout=300,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            on_cell_executed=lambda cell, cell_index, execute_reply: show(cell),
        )
        try:
            client.execute(stderr=log)  # the kernel warns there of things that are no concern here
        except (DeadKernelError, AssertionError) as error:  # nbclient tidies a dead kernel twice
            log.seek(0)
            return honest(notebook, f"The notebook failed: {error}\n{log.read()}")
        except CellExecutionError as error:
            return honest(notebook, failure(error))
    return honest(notebook)


def honest(notebook: Any, failed: str = "") -> int:
    """IPython's UsageError fails no cell, so one that shows it, or was not counted, is a failure too."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and any("UsageError" in output.get("text", "") for output in cell.outputs):
            failed = f"This cell used a magic that is not there:\n{cell.source}"
            break
        if cell.cell_type == "code" and cell.execution_count is None:
            failed = failed or f"This cell did not run:\n{cell.source}"
    if failed:
        print(f"\n{failed}", file=sys.stderr)
    return 1 if failed else 0


def failure(error: CellExecutionError) -> str:
    """The cell and its error stand above already."""
    then = ": do what its hint says, then type the same again" if "\nhint: " in plain(error.evalue) else ""
    return f"The notebook failed in the cell above, with {error.ename}{then}"


def show(cell: Any) -> None:
    if cell.cell_type != "code":
        return
    print(f"\n\033[1mIn [{cell.execution_count}]:\033[0m" if sys.stdout.isatty() else f"\nIn [{cell.execution_count}]:")
    print("\n".join(f"    {line}" for line in cell.source.splitlines()))
    for output in cell.outputs:
        for line in lines(output):
            print(line)
    sys.stdout.flush()


def lines(output: Any) -> Iterator[str]:
    if output.output_type == "stream":
        yield from output.text.splitlines()
    elif output.output_type == "error":
        yield from (plain(line) for line in "\n".join(output.traceback).splitlines())
    else:
        data = output.data
        text = data.get("text/plain") or re.sub(r"<[^>]+>", " ", html.unescape(data.get("text/html", "")))
        yield from text.splitlines()


def plain(line: str) -> str:
    """Without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
