"""The design held by machine: import direction, laziness, style in numbers, files where they belong."""

from __future__ import annotations

import ast
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "nbcontainers"
HEAVY = ("pandas", "numpy", "matplotlib", "ipywidgets", "asyncio", "traitlets")
TOP = {"pyproject.toml", "nbcontainers", "notebooks", "tests", "binder", "README.md", "LICENSE"}


def python(code: str, *options: str) -> str:
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length in lines of each function, without the lines of functions inside it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, nbcontainers; print([name for name in {(*HEAVY, 'IPython')} if name in sys.modules])"
    assert python(code).strip() == "[]"


def test_importing_the_package_takes_no_time() -> None:
    code = "import sys, time; t = time.perf_counter(); import nbcontainers; print(time.perf_counter() - t)"
    assert min(float(python(code)) for _ in range(5)) < 0.030


def test_loading_the_extension_imports_nothing_heavy() -> None:
    """Against a shell that has itself not imported it."""
    code = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "nbcontainers")
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
    new = set(json.loads(python(code).splitlines()[-1]))
    assert new.isdisjoint(HEAVY), new & set(HEAVY)


def test_functions_are_short() -> None:
    lengths = dict(pair for path in modules() for pair in functions(path))
    assert statistics.median(lengths.values()) < 10
    assert {name: lines for name, lines in lengths.items() if lines > 100} == {}


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > 500} == {}


def test_no_module_is_named_after_nothing() -> None:
    assert {path.stem for path in modules()}.isdisjoint({"utils", "util", "helpers", "common", "manager", "misc"})


@pytest.mark.parametrize("name", ["print", "exit"])
def test_only_the_faces_print_or_exit(name: str) -> None:
    faces = {"cli", "magics", "__main__.py"}
    guilty = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        if path.relative_to(PACKAGE).parts[0] not in faces and path.name != "program.py"
        if "inside" not in path.parts  # programs that run in a container, where print is their only way out
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (name, f"sys.{name}")
    ]
    assert guilty == []


def test_the_top_of_the_repository_holds_only_what_it_may() -> None:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    names = {name.partition("/")[0] for name in listing.splitlines()}
    assert {name for name in names if not name.startswith(".")} <= TOP
