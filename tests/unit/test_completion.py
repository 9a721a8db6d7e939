"""Completion in a real InteractiveShell: only ours on our lines, everywhere such a line can be written, quickly."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from nbcontainers.engine import Engine, default_engine
from nbcontainers.magics import extension
from nbcontainers.magics.completion import line_at
from nbcontainers.oci.image import MANIFEST


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell.instance()
    launcher = pytest.MonkeyPatch()
    launcher.setattr("nbcontainers.launcher.client.warm", lambda: None)
    extension.load(shell)
    yield shell
    extension.unload(shell)
    launcher.undo()


@pytest.fixture
def stored(shell: InteractiveShell) -> Iterator[Engine]:
    """Two containers, three images and one volume by name."""
    engine = default_engine()
    (engine.images / "index.json").unlink(missing_ok=True)
    names = ("app:1", "quay.io/team/web:1.2", "quay.io/team/web:latest")
    one = {"mediaType": MANIFEST, "digest": "sha256:" + "0" * 64, "size": 2}
    named = [one | {"annotations": {"org.opencontainers.image.ref.name": name}} for name in names]
    index = {"schemaVersion": 2, "manifests": [*named, one]}
    (engine.images / "index.json").write_text(json.dumps(index))
    (engine.root / "volumes" / "data").mkdir(parents=True, exist_ok=True)
    for name in ("web", "worker"):
        (engine.names / name).symlink_to("0" * 64)
    yield engine
    (engine.images / "index.json").unlink()
    (engine.root / "volumes" / "data").rmdir()
    (engine.root / "volumes").rmdir()
    for name in ("web", "worker"):
        (engine.names / name).unlink()


def complete(shell: InteractiveShell, text: str) -> list[str]:
    """The whole texts after accepting each completion at the `|` (by default at the end)."""
    before, _, after = text.partition("|")
    with provisionalcompleter():
        found = list(shell.Completer.completions(before + after, len(before)))
    assert all(one.end == len(before) for one in found)
    return [before[: one.start] + one.text for one in found]


@pytest.mark.parametrize(
    "start", ["%container ", "%%container ", "x = %container ", "  %container ", "a, b = %container "]
)
def test_verbs_everywhere(shell: InteractiveShell, start: str) -> None:
    assert complete(shell, f"{start}ru") == [f"{start}run"]
    assert f"{start}ps" in complete(shell, start)


def test_not_elsewhere(shell: InteractiveShell) -> None:
    for text in ("container ru", "# %container", "%%bash\n", "%%container run mini\n%container p", "1\n%%container ru"):
        before = text.rpartition("\n")[2]
        assert f"{before[:-2]}run" not in complete(shell, text)
        assert line_at(text, text.count("\n"), len(before)) is None or "\n%container" in text


def test_a_later_line_of_a_cell_completes(shell: InteractiveShell) -> None:
    assert complete(shell, "import os\n%container ru") == ["import os\n%container run"]


def test_options_and_nothing_of_python(shell: InteractiveShell) -> None:
    assert complete(shell, "%container run --memory-res") == ["%container run --memory-reservation"]
    found = complete(shell, "%container run -d --")
    assert "%container run -d --name" in found
    assert all(text.startswith("%container run -d --") for text in found)
    assert "%container run -d --no-raise-error" in found
    assert "%container run -d --out" in found


def kinds(shell: InteractiveShell, text: str) -> dict[str, str]:
    with provisionalcompleter():
        return {one.text: one.type for one in shell.Completer.completions(text, len(text))}


def test_what_stands_beside_a_word_is_its_type(shell: InteractiveShell, stored: Engine) -> None:
    """JupyterLab makes a badge of it."""
    assert kinds(shell, "%container run --me")["--memory"] == "option"
    assert kinds(shell, "%container ru")["run"] == "verb"
    assert kinds(shell, "%container run ap") == {"app:1": "image"}
    assert kinds(shell, "%container kill -s QU") == {"QUIT": "signal"}
    assert kinds(shell, "%container cp we") == {"web:": "container"}
    assert kinds(shell, "%volume rm da") == {"data": "volume"}


def test_registries_repositories_and_transports(shell: InteractiveShell, stored: Engine, tmp_path: Path) -> None:
    assert kinds(shell, "%image tags qu") == {"quay.io/team/web": "repository"}
    assert kinds(shell, "%image login q") == {"quay.io": "registry"}
    assert complete(shell, "%image pull oc") == ["%image pull oci-archive:", "%image pull oci:"]
    assert complete(shell, "%image pull ap") == ["%image pull app:1"]
    (tmp_path / "layout").mkdir()
    assert complete(shell, f"%image pull oci:{tmp_path}/l") == [f"%image pull oci:{tmp_path}/layout/"]


def test_names(shell: InteractiveShell, stored: Engine) -> None:
    assert complete(shell, "%container run ap") == ["%container run app:1"]
    assert complete(shell, "%container run -m 1g mi") == ["%container run -m 1g mini"]
    assert complete(shell, "%container rm -f w") == ["%container rm -f web", "%container rm -f worker"]
    assert complete(shell, "%container exec wo") == ["%container exec worker"]
    assert complete(shell, "%container run -v da") == ["%container run -v data"]


def test_option_values(shell: InteractiveShell) -> None:
    assert complete(shell, "%container kill -s QU") == ["%container kill -s QUIT"]
    assert complete(shell, "%container run --cap-add=NET_R") == ["%container run --cap-add=NET_RAW"]


def test_host_paths(shell: InteractiveShell, tmp_path: Path) -> None:
    (tmp_path / "my folder").mkdir()
    (tmp_path / "mine").write_text("")
    start = f"%container run -v {tmp_path}/"
    assert complete(shell, f"{start}my") == [f"{start}my\\ folder/"]
    assert complete(shell, f"{start}mi") == [f"{start}mine"]
    quoted = f"%container run -v '{tmp_path}/my f"
    assert complete(shell, quoted) == [f"{quoted}older/"]


def test_a_command_is_left_alone(shell: InteractiveShell) -> None:
    assert complete(shell, "%container run mini --n") == ["%container run mini --n"], "and no Python name is offered"


def test_a_continued_line(shell: InteractiveShell) -> None:
    text = "%container run -d \\\n   --memory-res"
    assert complete(shell, text) == ["%container run -d \\\n   --memory-reservation"]


def test_an_unknown_verb_offers_nothing(shell: InteractiveShell) -> None:
    assert complete(shell, "%container nonsense --me") == ["%container nonsense --me"]


def test_it_is_quick(shell: InteractiveShell, stored: Engine) -> None:
    complete(shell, "%container run ")
    began = time.process_time()
    complete(shell, "%container run ")
    assert time.process_time() - began < 0.1


BUILD = "%%image build -t x .\nFROM app:1 AS one\n"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("WORK", ["WORKDIR"]), ("work", ["workdir"]), ("RUN --m", ["RUN --mount="]),
        ("RUN --mount=type=se", ["RUN --mount=type=secret"]), ("COPY --from=o", ["COPY --from=one"]),
        ("COPY --pa", ["COPY --parents"]), ("FROM o", ["FROM one"]), ("FROM app", ["FROM app:1"]),
        ("FROM scr", ["FROM scratch"]), ("ONBUILD WORK", ["ONBUILD WORKDIR"]), ("RUN \\\n --netw", ["RUN \\\n --network="]),
    ],
)  # fmt: skip
def test_a_dockerfile_in_a_cell(shell: InteractiveShell, stored: Engine, typed: str, found: list[str]) -> None:
    assert complete(shell, BUILD + typed) == [BUILD + one for one in found]


def test_files_for_copy(shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert complete(shell, BUILD + "COPY da") == [BUILD + "COPY data/"]
    assert complete(shell, BUILD + "COPY --from=one da") == [BUILD + "COPY --from=one da"]


def test_shell_commands_of_a_dockerfile_are_not_pythons(shell: InteractiveShell) -> None:
    assert complete(shell, BUILD + "RUN pri") == [BUILD + "RUN pri"]


def test_a_context_is_a_variable(shell: InteractiveShell) -> None:
    shell.user_ns["files_of_mine"] = {}
    line = "%%image build --context-from files_of"
    assert complete(shell, line) == [f"{line}_mine"]
