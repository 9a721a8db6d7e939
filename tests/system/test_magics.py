"""The magics end to end, in a real ipykernel: what a cell shows, when it shows it, and how it fails."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from nbcontainers.engine import Engine
from tests.system.kernel import Kernel


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    kernel.run("%container run --rm mini true")  # the image is unpacked
    yield kernel
    kernel.close()


def test_a_line_shows_its_output_and_one_card(kernel: Kernel) -> None:
    cell = kernel.run("%container run --rm mini echo hello")
    assert not cell.error, cell.traceback
    assert cell.text() == "hello\n"
    assert len(cell.shown()) == 1
    assert "exited 0" in cell.shown()[0]
    assert "<div" in cell.shown("text/html")[0]
    assert cell.text("stderr") == ""


def test_a_cell_is_a_script_on_the_shells_input(kernel: Kernel) -> None:
    cell = kernel.run(
        "%%container run --rm mini\nfor i in 1 2 3; do\n  echo $i $HOME '{not} {{this}}'\ndone\nfalse\necho on"
    )
    assert not cell.error, cell.traceback
    assert cell.text() == "".join(f"{i} /root {{not}} {{{{this}}}}\n" for i in (1, 2, 3)) + "on\n"
    assert len(cell.shown()) == 1


def test_with_a_command_the_body_is_its_input(kernel: Kernel) -> None:
    assert kernel.run("%%container run --rm -q mini sort\nb\na\n").text() == "a\nb\n"
    assert kernel.run("%%container run --rm -q --entrypoint sort mini\nd\nc\n").text() == "c\nd\n"


def test_names_of_python_on_the_line(kernel: Kernel) -> None:
    kernel.run("word = 'a b'; words = ['c', 'd e']")
    cell = kernel.run("%container run --rm mini printf '%s|' {word} {words} {{x}} ${HOME}")
    assert cell.text() == "a b|c|d e|{{x}}|${HOME}|"
    failed = kernel.run("%container run --rm mini echo {nothing}")
    assert failed.error == "InvalidArgument"
    assert "no variable is named 'nothing'" in failed.traceback


def test_quiet_and_semicolon_show_no_card(kernel: Kernel) -> None:
    for code in (
        "%container run --rm -q mini echo hi",
        "%container run --rm mini echo hi;",
        "%%container run --rm -q mini\necho hi",
        "c = %container run --rm mini echo hi",
    ):
        cell = kernel.run(code)
        assert not cell.error, cell.traceback
        assert cell.text() == "hi\n"
        assert cell.shown() == []
    assert kernel.run("c.exit_code").shown() == ["0"]


def test_out_takes_the_handle(kernel: Kernel) -> None:
    kernel.run("%%container run --rm -q -o handle mini\necho kept; echo there >&2")
    assert kernel.run("print(handle.logs())").text().split() == ["kept", "there"]
    assert kernel.run("handle.usage['cpu_s'] > 0").shown() == ["True"]


def test_a_failure_fails_the_cell_with_a_card_and_a_short_error(kernel: Kernel) -> None:
    cell = kernel.run("%%container run --rm -o failed mini\necho 'no such thing' >&2; exit 3")
    assert cell.error == "ContainerFailed"
    assert "failed with exit status 3" in cell.traceback
    assert "no such thing" in cell.traceback
    assert "Traceback" not in cell.traceback
    assert cell.traceback.count("\n") < 6
    assert len(cell.shown()) == 1
    assert "failed: exit 3" in cell.shown()[0]
    assert kernel.run("failed.exit_code").shown() == ["3"]


def test_no_raise_error_returns_the_handle(kernel: Kernel) -> None:
    cell = kernel.run("c = %container run --rm --no-raise-error mini sh -c 'exit 4'")
    assert not cell.error, cell.traceback
    assert kernel.run("c.exit_code").shown() == ["4"]


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ("run --pull never no-such-image true", "NotFound", "no-such-image"),
        ("run --memry 1g mini true", "InvalidArgument", "did you mean --memory?"),
        ("run -u nobody-here mini true", "Error", "nobody-here"),
        ("run --rm mini no-such-command", "CreateFailed", "no-such-command"),
        ("run -m 1k mini true", "InvalidArgument", "--memory"),
        ("run --mount type=bind,src=/no/such/folder,dst=/x mini true", "Error", "/no/such/folder"),
        ("rm nothing", "NotFound", "nothing"),
    ],
)
def test_bad_input_is_one_clear_error(kernel: Kernel, line: str, error: str, words: str) -> None:
    cell = kernel.run(f"%container {line}")
    assert cell.error == error or (error == "Error" and cell.error)
    assert words in cell.traceback
    assert "hint: " in cell.traceback
    assert cell.traceback.count("\n") < 6
    assert "UsageError" not in cell.traceback


def test_output_comes_as_it_is_written(kernel: Kernel) -> None:
    cell = kernel.run("%%container run --rm mini\nfor i in 1 2 3 4; do echo $i; sleep 0.4; done")
    times = cell.times()
    assert cell.text() == "1\n2\n3\n4\n"
    assert len(times) == 4
    assert times[-1] - times[0] > 1.0


def test_fast_output_comes_in_batches(kernel: Kernel) -> None:
    cell = kernel.run(
        "%config NBContainers.output_lines = 100000\n"
        "%container run --rm -q mini sh -c 'for i in 1 2 3 4 5; do seq 1 1000; sleep 0.06; done'\n"
        "%config NBContainers.output_lines = 1000"
    )
    assert len(cell.text().split()) == 5000
    assert len(cell.times()) <= 12


def test_endless_output_is_cut(kernel: Kernel) -> None:
    cell = kernel.run("%container run --rm -q mini seq 1 100000")
    lines = cell.text().split()
    assert lines[:1000] == [str(i) for i in range(1, 1001)]
    assert lines[-1] == "100000"
    assert len(lines) == 1020
    assert "… 98980 lines omitted, `.logs()` of the handle has all" in cell.text("stderr")


def test_stdout_and_stderr_keep_their_order(kernel: Kernel) -> None:
    cell = kernel.run("%%container run --rm -q mini\necho 1; echo 2 >&2; sleep 0.3; echo 3; sleep 0.3; echo 4 >&2")
    parts = [(m["name"], m["text"]) for _, kind, m in cell.messages if kind == "stream"]
    assert [name for name, _ in parts][-2:] == ["stdout", "stderr"]
    assert cell.text() == "1\n3\n"
    assert cell.text("stderr") == "2\n4\n"


def test_the_stop_button_reaches_the_program(kernel: Kernel) -> None:
    cell = kernel.run(
        "%%container run --rm mini\ntrap 'echo stopped; exit 7' INT\necho ready\nwhile :; do sleep 0.1; done",
        interrupts=(1.0,),
    )
    assert cell.error == "KeyboardInterrupt"
    assert "stopped" in cell.text()
    assert "sent SIGINT" in cell.text("stderr")
    assert cell.seconds < 4


def test_the_stop_button_ends_a_program_that_will_not(kernel: Kernel) -> None:
    cell = kernel.run(
        "%%container run --rm mini\ntrap '' INT TERM\necho ready\nwhile :; do sleep 0.1; done",
        interrupts=(1.0, 1.6, 2.2),
    )
    assert cell.error == "KeyboardInterrupt"
    assert "SIGKILL" in cell.text("stderr")
    assert cell.seconds < 6
    assert "ready" in cell.text()
    assert "mini" not in kernel.run("%container ps").shown()[0]


def test_detached_then_the_other_verbs(kernel: Kernel) -> None:
    kernel.run("web = %container run -d --name magics-web mini sh -c 'echo up; sleep 60'")
    try:
        assert "magics-web" in kernel.run("%container ps").shown()[0]
        assert "<table" in kernel.run("%container ps").shown("text/html")[0]
        assert kernel.run("%%container exec magics-web\necho inside $$").text().startswith("inside ")
        failed = kernel.run("%container exec magics-web sh -c 'exit 5'")
        assert failed.error == "ContainerFailed"
        deadline = time.monotonic() + 5
        while "up" not in kernel.run("print(web.logs())").text() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert kernel.run("%container logs magics-web").shown()[0].strip().strip("'") == "up"
        assert "sleep" in kernel.run("%container top magics-web").shown()[0]
        assert "magics-web" in kernel.run("%container inspect magics-web").shown()[0]
        assert "running" in kernel.run("web").shown()[0]
    finally:
        removed = kernel.run("%container rm -f magics-web")
    assert not removed.error, removed.traceback


def test_a_detached_cell(kernel: Kernel) -> None:
    kernel.run("%%container run -d -q --name magics-script -o d mini\necho from a script; exit 6")
    assert kernel.run("d.wait()").shown() == ["6"]
    assert kernel.run("print(d.logs())").text().strip() == "from a script"
    kernel.run("d.rm()")


def test_terminal_options_do_not_hang_a_cell(kernel: Kernel) -> None:
    shell = kernel.run("%container run --rm -it -q -o t mini sh", timeout=20)
    assert not shell.error, shell.traceback
    assert "sh · running" in shell.shown()[0]
    assert "nbcontainers-live" in shell.shown("text/html")[0]
    typed = kernel.run(
        "t.write('exit 5\\n'); print(t.wait(10), t.container.exit_code, t.container.removed)", timeout=20
    )
    assert typed.text() == "5 5 True\n", typed.traceback
    failed = kernel.run("%container run --rm -it mini /no/such", timeout=20)
    assert failed.error == "CreateFailed"
    script = kernel.run("%%container run --rm -it -q mini\necho told; tty", timeout=20)
    assert "told\nnot a tty" in script.text()
    assert "a cell is no terminal, so -t is left out" in script.text("stderr")


def test_where_nobody_types_a_terminal_is_refused(kernel: Kernel) -> None:
    cell = kernel.run("%container run --rm -it mini sh", timeout=20, somebody=False)
    assert cell.error == "InvalidArgument"
    assert "run -it needs somebody who types" in cell.traceback
    assert "%%container run …, or type nbcontainers run -it … in a terminal" in cell.traceback


def test_a_cell_that_is_run_again_hangs_up_what_it_showed(kernel: Kernel) -> None:
    """As closing the window would: an exec and a container without a name of its own end."""
    kernel.run(
        "from nbcontainers.magics import terminal as m; m._cell = lambda: ('cell', get_ipython().kernel.execution_count)"
    )
    assert not kernel.run("%container run --rm -it -o first mini sh").error
    assert not kernel.run("%container run --rm -it -o second mini sh").error
    ended = kernel.run(
        "first.wait(10); print(first.state, first.container.removed, second.state); second.close(); second.wait(10)"
    )
    assert ended.text() == "hung up True running\n", ended.traceback


def test_completion_over_the_protocol(kernel: Kernel) -> None:
    kernel.run("1")
    started = time.monotonic()
    reply = kernel.client.complete("x = %container ru", reply=True, timeout=10)["content"]
    assert reply["matches"] == ["run"]
    assert time.monotonic() - started < 1
    reply = kernel.client.complete("%container run mi", reply=True, timeout=10)["content"]
    assert reply["matches"] == ["mini"]


def test_inspection_over_the_protocol(kernel: Kernel) -> None:
    reply = kernel.client.inspect("%container", reply=True, timeout=10)["content"]
    assert reply["found"]
    assert "usage: %container VERB" in reply["data"]["text/plain"]


def test_images(kernel: Kernel) -> None:
    cell = kernel.run("%image ls")
    assert not cell.error, cell.traceback
    assert "mini" in cell.shown()[0]
    assert "host" in cell.shown()[0]


def test_python_cells(kernel: Kernel, engine: Engine) -> None:
    kernel.run("numbers = [1, 2, 3]")
    cell = kernel.run("%%container python -q -i numbers -o total\ntotal = sum(numbers)\nprint('in python', total)")
    assert not cell.error, cell.traceback
    assert cell.text() == "in python 6\n"
    assert kernel.run("total").shown() == ["6"]
    failed = kernel.run("%%container python\nx = 1\nx / 0\n")
    assert failed.error == "ZeroDivisionError"
    assert "line 3" in failed.traceback or "3 x / 0" in failed.traceback


def test_unloading_leaves_no_magic(kernel: Kernel) -> None:
    kernel.run("%unload_ext nbcontainers")
    assert "%container" not in kernel.run("%lsmagic").shown()[0]
    assert not kernel.run("%load_ext nbcontainers").error
    assert not kernel.run("%reload_ext nbcontainers").error
    cell = kernel.run("len([m for m in get_ipython().Completer.custom_matchers])")
    assert cell.shown() == ["1"]
