"""`python3 notebooks`: makes the environment, runs quickstart.ipynb and prints what its cells showed.

Needs only Python 3.11 and pip. `python3 notebooks lab` opens JupyterLab afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / ".ci"))

import environment  # noqa: E402


def main(words: list[str]) -> int:
    if words not in ([], ["lab"]):
        print("usage: python3 notebooks [lab]", file=sys.stderr)
        return 2
    try:
        interpreter = environment.virtual_environment("lab")
    except environment.Failed as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    status = subprocess.run([interpreter, HERE / "show.py", HERE / "quickstart.ipynb"], check=False).returncode
    lab = jupyterlab()
    if status == 0 and words == ["lab"]:
        os.execv(lab[0], lab)
    if status == 0:
        print(f"\nIt works. To open the notebook in JupyterLab, type:\n  {' '.join(lab)}")
    return status


def jupyterlab() -> list[str]:
    """The command that opens the notebook; JupyterLab refuses to run as root unless told to."""
    root = ["--allow-root"] if os.geteuid() == 0 else []
    return [str(environment.VENV / "bin/jupyter"), "lab", *root, str(HERE / "quickstart.ipynb")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
