"""Python cells and functions in real containers: objects in and out, limits, failures, interrupts, a notebook."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time

import pytest

from nbcontainers.errors import ContainerFailed, InvalidArgument
from nbcontainers.experiment.api import call, python

MIB = 2**20


class Output:
    def __init__(self):
        self.out, self.err = bytearray(), bytearray()
        self.sinks = {"stdout": self.out.extend, "stderr": self.err.extend}


def text(code, **options):
    """What the code printed."""
    seen = Output()
    python(code, **seen.sinks, **options)
    return seen.out.decode()


def test_the_interpreter_and_its_packages_are_the_notebooks():
    code = "import sys, os\nprint(sys.executable, sys.prefix, sys.version)\nprint(os.getpid(), os.getcwd())"
    shown = text(code)
    assert shown.startswith(f"{sys.executable} {sys.prefix} {sys.version}\n1 ")


def test_objects_in_and_out_and_nothing_left():
    numpy = pytest.importorskip("numpy")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": numpy.arange(10_000.0)})
    space = {"frame": frame}
    result = python("out = frame['x'].sum()\ncopy = frame + 1", inputs=["frame"], outputs="out,copy", namespace=space)
    assert space["out"] == frame["x"].sum()
    pandas.testing.assert_frame_equal(space["copy"], frame + 1)
    assert result["out"] == space["out"]
    assert result.container.removed
    assert result.exit_code == 0
    assert result.container.wall_s > 0
    assert len(result.metrics()) >= 0


def test_a_container_with_a_name_stays():
    name = f"cell-{os.getpid()}"
    result = python("print('kept')", name=name, stdout=lambda data: None)
    try:
        assert not result.container.removed
        assert "kept" in str(result.container.logs())
    finally:
        result.container.rm()


def test_scikit_learn_fits_a_frame():
    pytest.importorskip("sklearn")
    import numpy
    import pandas

    frame = pandas.DataFrame({"x": numpy.arange(100.0), "y": 3 * numpy.arange(100.0) + 1})
    code = "from sklearn.linear_model import LinearRegression\nmodel = LinearRegression().fit(frame[['x']], frame['y'])"
    model = python(code, inputs={"frame": frame}, outputs=["model"])["model"]
    assert model.coef_[0] == pytest.approx(3)
    assert model.predict(frame[["x"]].head(1))[0] == pytest.approx(1)


def test_an_exception_of_the_code_is_raised_here():
    seen = Output()
    with pytest.raises(ZeroDivisionError) as error:
        python("x = 1\nx / 0", first_line=2, file="Cell In[9]", **seen.sinks)
    assert isinstance(error.value, ContainerFailed)
    assert error.value.exit_code == 1
    assert "Cell In[9], line 3" in error.value._render_traceback_()
    failed = python("1/0", raise_error=False, **seen.sinks)
    assert isinstance(failed.error, ZeroDivisionError)
    assert "ZeroDivisionError: division by zero" in seen.err.decode()


@pytest.mark.parametrize(
    ("code", "outputs", "message"),
    [
        ("import sys\nsys.exit(3)", "", "the code ended itself: sys.exit(3) in line 2 (exit status 3)"),
        ("a = 1", "b", "b was never assigned, so nothing came back"),
        (
            "import threading\na = threading.Lock()",
            "a",
            "a cannot be brought back: cannot pickle '_thread.lock' object",
        ),
        (
            "import os\nos._exit(0)",
            "a",
            "the container's Python ended without a word of how: its outputs did not come back",
        ),
        ("import os\nos._exit(7)", "", "failed with exit status 7"),
        ("import ctypes\nctypes.string_at(0)", "", "was ended by SIGSEGV (exit 139)"),
    ],
)
def test_ends_are_explained(code, outputs, message):
    space = {}
    with pytest.raises(ContainerFailed) as error:
        python(code, outputs=outputs, namespace=space, stdout=lambda data: None, stderr=lambda data: None)
    assert message in error.value.message
    assert space == {}


def test_a_file_that_is_only_here_is_told(tmp_path, monkeypatch):
    (tmp_path / "data.csv").write_text("1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        python("open('data.csv')")
    assert error.value.hint.endswith(f"show it the folder with -v {tmp_path}:{tmp_path}:ro")
    assert text("print(open('data.csv').read())", volume=[f"{tmp_path}:{tmp_path}:ro"]) == "1\n"


def test_no_network_unless_asked_for():
    with pytest.raises(OSError) as error:
        python("import socket\nsocket.getaddrinfo('localhost.invalid', 80)")
    assert error.value.hint == "the container has no network; --network host gives it this machine's"


def test_options_of_run_reach_the_container():
    seen = text(
        "import os, sys\nprint(os.environ['A'], os.environ['OMP_NUM_THREADS'], os.uname().nodename)\nprint(os.getcwd())",
        env=["A=b", "OMP_NUM_THREADS=3"], hostname="cell", workdir="/tmp",
    )  # fmt: skip
    assert seen == "b 3 cell\n/tmp\n"


def test_read_only_and_without_a_home():
    assert text("print([1, object()] and 'fine')", read_only=True) == "fine\n"
    with pytest.raises(OSError, match="Read-only file system"):
        python("open('/new', 'w')", read_only=True)


@pytest.mark.as_root
def test_another_user():
    assert text("import os\nprint(os.getuid())", user="1000") == "1000\n"


def test_text_comes_while_the_code_runs():
    times = []
    python("import time\nprint(1)\ntime.sleep(0.6)\nprint(2)", stdout=lambda data: times.append(time.monotonic()))
    assert len(times) == 2
    assert times[1] - times[0] > 0.3


def test_an_interrupt_is_passed_on_and_shows_where_the_code_was():
    seen = Output()
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as error:
        python("import time\ntime.sleep(30)", **seen.sinks)
    assert time.monotonic() - began < 8
    assert "----> 2 time.sleep(30)" in error.value._render_traceback_()
    assert "SIGINT" in seen.err.decode()


def test_an_interrupt_that_the_code_catches_still_binds_nothing():
    space = {}
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    code = "x = 1\nimport time\ntry: time.sleep(30)\nexcept KeyboardInterrupt: pass"
    with pytest.raises(KeyboardInterrupt):
        python(code, outputs="x", namespace=space, stderr=lambda data: None)
    assert space == {}


def test_many_at_once():
    found = {}

    def one(number):
        found[number] = python("y = x * x", inputs={"x": number}, outputs="y")["y"]

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number**2 for number in range(6)}


@pytest.mark.limits
class TestLimits:
    def test_out_of_memory_says_limit_peak_and_what_to_type(self):
        space = {}
        with pytest.raises(ContainerFailed) as error:
            python("x = []\nwhile True: x.append(bytearray(10**6))", memory="64m", outputs="x", namespace=space)
        assert "it reached its limit of 64 MiB (peak 64 MiB, exit 137)" in error.value.message
        assert error.value.hint.startswith("give it more, as -m 128m")
        assert (error.value.oom_killed, space) == (True, {})

    def test_a_child_out_of_memory_is_told_with_the_exception(self):
        code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'x = bytearray(10**9)'], check=True)"
        with pytest.raises(ContainerFailed) as error:
            python(code, memory="64m")
        assert type(error.value).__name__ == "CalledProcessError"
        assert "was killed for lack of memory (peak 64 MiB of 64 MiB); give it more, as -m 128m" in error.value.hint

    def test_an_input_counts_when_it_is_written_to(self):
        numpy = pytest.importorskip("numpy")
        array = numpy.ones(2**25)  # 256 MiB
        read = python("s = array.sum()", inputs={"array": array}, outputs="s", memory="96m")
        assert read["s"] == 2**25
        assert read.container.memory_peak < 90 * MIB
        with pytest.raises(ContainerFailed, match="reached its limit of 96 MiB"):
            python("array += 1", inputs={"array": array}, memory="96m")

    def test_an_output_is_not_copied_inside(self):
        pytest.importorskip("numpy")
        made = python("import numpy\na = numpy.ones(2**25)", outputs="a", memory="340m")
        assert made["a"].nbytes == 256 * MIB
        assert made["a"].flags.writeable

    def test_threads_follow_the_cpus(self):
        assert (
            text("import os\nprint(os.environ['OMP_NUM_THREADS'], os.environ['PYTHON_CPU_COUNT'])", cpus=1.5) == "2 2\n"
        )

    def test_a_function_under_limits(self):
        result = call(os.path.join, "a", "b", memory="64m", cpus=1)
        assert result.value == "a/b"
        assert result.usage["memory_limit"] == 64 * MIB
        with pytest.raises(ContainerFailed) as error:
            call(bytearray, 10**9, memory="64m")
        assert error.value.oom_killed

    def test_a_throttled_cell_and_its_picture(self):
        result = python("import time\nwhile time.process_time() < 0.5: pass", cpus=0.2)
        assert result.usage["cpu_s"] / result.container.wall_s < 0.3
        assert result.usage["throttled_s"] > 0.3
        frame = result.metrics()
        assert frame["throttled_part"].max() > 0
        plot = result.plot()
        assert plot.png.startswith(b"\x89PNG")
        assert re.search(r"limit 0\.2, throttled", repr(plot))


def test_what_a_killed_notebook_leaves_is_tidied(fresh_engine):
    """The exchange folder holds a socket and nothing else; its lock goes with the process."""
    from nbcontainers.experiment import exchange
    from nbcontainers.system.api import prune

    folder = fresh_engine.run / exchange.NAME / "dead"
    folder.mkdir(parents=True)
    prune(engine=fresh_engine)
    assert not folder.exists()


def test_refused_options():
    with pytest.raises(InvalidArgument, match="python takes no --detach"):
        python("1", detach=True)
