"""What runs inside the container, run outside of one: values, text, displays, errors, outputs."""

from __future__ import annotations

import sys

import pytest

from nbcontainers.experiment.inside import wire
from tests.cells import Cells


@pytest.fixture
def cell(tmp_path):
    return Cells(tmp_path)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", ["2"]),
        ("1 + 1;", []),
        ("1 + 1 ; # quiet", []),
        ("'a;b'", ["'a;b'"]),
        ("None", []),
        ("x = 1", []),
        ("x = 1\nx", ["1"]),
        ("", []),
        ("# nothing", []),
        ("[1, 'a', {'k': 2.5}]", ["[1, 'a', {'k': 2.5}]"]),
        ("{'a': (1, 2)}", ["{'a': (1, 2)}"]),
        ("int", ["int"]),
        ("{3, 1, 2}", ["{1, 2, 3}"]),
        ("list(range(40))[-1:]", ["[39]"]),
        ("display(1, 'two')\n3", ["1", "'two'", "3"]),
        ("from __future__ import annotations\ndef f(x: nothing): pass\nf.__annotations__", ["{'x': 'nothing'}"]),
        ("import asyncio\nawait asyncio.sleep(0)\nawait asyncio.sleep(0, 7)", ["7"]),
        ("_ = 5\n2\n", ["2"]),
        ("__name__", ["'__main__'"]),
    ],
)
def test_the_last_expression_is_shown(cell, code, shown):
    ran = cell(code)
    assert (ran.plain, ran.status, ran.end["status"]) == (shown, 0, "ok")


def test_long_values_have_ipythons_form(cell):
    ran = cell("{'a': list(range(30)), 'b': list(range(30))}")
    from IPython.lib.pretty import pretty

    assert ran.plain == [pretty({"a": list(range(30)), "b": list(range(30))})]


def test_text_and_displays_keep_their_order(cell):
    code = "import sys\nfor i in range(50):\n    print('a', i)\n    display(i)\n    print('b', i, file=sys.stderr)"
    kinds = [(kind, data if kind != wire.SHOW else data["data"]["text/plain"]) for kind, data in cell(code).shown]
    joined = [kind for kind, _ in kinds]
    shows = [at for at, kind in enumerate(joined) if kind == wire.SHOW]
    assert len(shows) == 50
    for number, at in enumerate(shows):
        before = b"".join(data for kind, data in kinds[:at] if kind == "stdout")
        assert before.count(b"\n") == number + 1
        errors = b"".join(data for kind, data in kinds[:at] if kind == "stderr")
        assert errors.count(b"\n") == number


def test_a_printed_line_is_one_write(cell):
    assert ("stdout", b"1 2\n") in cell("print(1, 2)").shown


def test_half_a_line_is_not_kept_back(cell):
    assert cell("print('half', end='')\nimport os\nos._exit(0)").text == "half"


def test_printing_is_pythons_own(cell, tmp_path):
    code = (
        f"print('a', 'b', sep='-', end='!')\nprint('x', file=open({str(tmp_path / 'f')!r}, 'w'))\nprint(*[1], sep=None)"
    )
    assert cell(code).text == "a-b!1\n"
    assert (tmp_path / "f").read_text() == "x\n"


def test_rich_objects_and_updates(cell):
    ran = cell(
        "from IPython.display import HTML, display, clear_output\n"
        "handle = display(HTML('<b>1</b>'), display_id='one')\nhandle.update(HTML('<b>2</b>'))\nclear_output(wait=True)\n"
        "class Rich:\n    def _repr_html_(self): return '<i>'\n    def __repr__(self): return 'rich'\nRich()"
    )
    first, second, clear, last = [document for _, document in ran.shown]
    assert first["data"]["text/html"] == "<b>1</b>"
    assert (first["transient"], first["update"]) == ({"display_id": "one"}, False)
    assert (second["transient"], second["update"]) == ({"display_id": "one"}, True)
    assert clear["wait"] is True
    assert last["data"] == {"text/plain": "rich", "text/html": "<i>"}


def test_a_frame_shows_as_in_the_notebook(cell):
    pandas = pytest.importorskip("pandas")
    ran = cell("import pandas\npandas.DataFrame({'a': [1, 2]}).assign(**{f'c{i}': i for i in range(30)})")
    frame = pandas.DataFrame({"a": [1, 2]}).assign(**{f"c{i}": i for i in range(30)})
    with pandas.option_context("display.max_columns", 20):
        assert ran.displays[0]["data"]["text/html"] == frame._repr_html_()


def test_figures_are_shown_when_the_cell_ends_and_by_show(cell):
    pytest.importorskip("matplotlib")
    ran = cell(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);\nplt.show()\nprint('between')\nfig, ax = plt.subplots();"
    )
    kinds = [kind for kind, _ in ran.shown]
    assert kinds == [wire.SHOW, "stdout", wire.SHOW]
    for document in ran.displays:
        assert document["data"]["image/png"].startswith("iVBOR")
        assert document["data"]["text/plain"] == "<Figure size 640x480 with 1 Axes>"


def test_ipythons_own_syntax(cell):
    ran = cell("\nx = !echo hello\n%time y = 2\nx[0], y")
    assert "Wall time" in ran.text
    assert ran.plain == ["('hello', 2)"]
    assert cell("%%time\nz = 3", outputs=("z",)).outputs == {"z": 3}


def test_a_display_that_is_too_large_is_left_out_and_said_to_be(cell):
    ran = cell(
        "class Big:\n    def _repr_html_(self): return 'x' * 9_000_000\n    def __repr__(self): return 'big'\nBig()"
    )
    assert ran.displays[0]["data"] == {"text/plain": "big"}
    ran = cell("'x' * 9_000_000")
    assert "left out, because a display may have 8 MiB: text/plain of 8 MiB" in ran.plain[0]


def test_a_forked_child_does_not_tear_frames(cell):
    ran = cell(
        "import os, sys\npid = os.fork()\nif not pid:\n    display('child')\n    os._exit(0)\nos.waitpid(pid, 0)\n'parent'"
    )
    assert ran.plain == ["'parent'"]
    assert ran.text == "'child'\n"


def test_threads_may_show(cell):
    code = (
        "import threading\nts = [threading.Thread(target=lambda: [display('x' * 5000) for _ in range(50)]) for _ in range(4)]"
        "\n[t.start() for t in ts]; [t.join() for t in ts];"
    )
    assert cell(code).plain == [repr("x" * 5000)] * 200


# -- errors ------------------------------------------------------------------------------------------------------------


def test_an_exception_keeps_the_cells_lines(cell):
    ran = cell("def f(x):\n    return 1 / x\n\nf(0)", first_line=2)
    assert (ran.status, ran.error["type"], ran.error["message"]) == (1, "ZeroDivisionError", "division by zero")
    assert [(frame["line"], frame["function"]) for frame in ran.error["frames"]] == [(5, "<module>"), (3, "f")]
    assert [3, "    return 1 / x"] in ran.error["frames"][1]["source"]


def test_a_syntax_error_says_where(cell):
    ran = cell("x = 1\ny = = 2", first_line=2)
    assert ran.error["type"] == "SyntaxError"
    assert (ran.error["syntax"]["line"], ran.error["syntax"]["text"], ran.error["syntax"]["column"]) == (
        3,
        "y = = 2",
        5,
    )


def test_warnings_and_printed_tracebacks_know_the_source(cell):
    ran = cell(
        "import warnings, traceback\nwarnings.warn('careful')\ntry:\n    1/0\nexcept Exception: traceback.print_exc()"
    )
    assert "Cell In[3]:2: UserWarning: careful\n  warnings.warn('careful')" in ran.errors
    assert 'File "Cell In[3]", line 4, in <module>\n    1/0' in ran.errors


def test_chains_notes_and_groups(cell):
    ran = cell("try:\n    {}['a']\nexcept KeyError as e:\n    n = ValueError('v'); n.add_note('note'); raise n from e")
    first, second = ran.end["error"]["chain"]
    assert (first["type"], first["notes"], first["direct"]) == ("ValueError", ["note"], True)
    assert (second["type"], second["message"]) == ("KeyError", "'a'")
    ran = cell("raise ExceptionGroup('g', [ValueError(1)])")
    assert ran.error["group"][0].strip() == "+ Exception Group Traceback (most recent call last):"
    assert not any("runner.py" in line for line in ran.error["group"])


def test_endless_recursion_is_told_in_short(cell):
    ran = cell("def f(n): return f(n + 1)\nf(0)")
    assert ran.error["type"] == "RecursionError"
    assert ran.error["frames"][-1]["repeated"] > 500


def test_an_error_while_showing_is_told_as_ipython_does(cell):
    ran = cell("class Bad:\n    def __repr__(self): raise ValueError('no repr')\nBad()")
    assert "ValueError" in ran.text
    assert "no repr" in ran.text


@pytest.mark.parametrize(
    ("code", "status", "end"),
    [
        ("import sys\nsys.exit(3)", 3, {"status": "exit", "code": 3, "line": 2}),
        ("exit_ = SystemExit('words')\nraise exit_", 1, {"status": "exit", "code": 1, "line": 2}),
        ("import sys\nsys.exit()", 0, {"status": "ok", "code": 0}),
        ("import os\nos._exit(5)", 5, None),
    ],
)
def test_the_code_may_end_itself(cell, code, status, end):
    ran = cell(code)
    assert (ran.status, ran.end) == (status, end)


def test_an_interrupt_shows_where_the_code_was(cell):
    ran = cell("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)")
    assert (ran.status, ran.error["type"]) == (130, "KeyboardInterrupt")
    assert ran.error["frames"][0]["line"] in (2, 3)


def test_input_has_nobody_to_ask(cell):
    assert "pass the value in with -i NAME" in cell("input('name?')").error["message"]


# -- names in and out --------------------------------------------------------------------------------------------------


def test_names_come_in_and_go_out(cell):
    numpy = pytest.importorskip("numpy")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": numpy.arange(5000.0), "s": ["a"] * 5000})
    ran = cell(
        "b = a * 2\nf['y'] = f['x'] + 1\na[0] = 9",
        inputs={"a": numpy.arange(5000.0), "f": frame},
        outputs=("b", "f", "a"),
    )
    assert ran.outputs["b"].sum() == numpy.arange(5000.0).sum() * 2
    pandas.testing.assert_frame_equal(ran.outputs["f"], frame.assign(y=frame["x"] + 1))
    assert ran.outputs["a"][0] == 9
    ran.outputs["a"][1] = 8  # what comes back may be written to


def test_what_two_names_share_stays_shared(cell):
    inner = [1, 2]
    ran = cell(
        "same = a['inner'] is inner\nout = inner",
        inputs={"a": {"inner": inner}, "inner": inner},
        outputs=("same", "out"),
    )
    assert ran.outputs == {"same": True, "out": [1, 2]}


def test_outputs_come_all_or_none(cell):
    ran = cell("a = 1\n_hidden = 2", outputs=("a", "b"))
    assert ran.end == {"status": "missing", "code": 1, "missing": ["b"], "defined": ["a"]}
    assert ran.outputs == {}
    ran = cell("import threading\na = 1\nlock = threading.Lock()", outputs=("a", "lock"))
    assert (ran.end["status"], ran.end["name"], ran.outputs) == ("output", "lock", {})
    assert "cannot pickle '_thread.lock' object" in ran.end["reason"]


def test_an_exception_gives_nothing_back(cell):
    ran = cell("a = 1\n1/0", outputs=("a",))
    assert (ran.outputs, ran.error["type"]) == ({}, "ZeroDivisionError")


def test_a_class_of_the_cell_comes_back_by_value_or_is_refused(cell):
    code = "class Model:\n    def __init__(self): self.x = 3\nmodel = Model()"
    pytest.importorskip("cloudpickle")
    assert cell(code, outputs=("model",)).outputs["model"].x == 3
    without = "import _nbcontainers_cell.binary as binary\nbinary.find_spec = lambda name: None\n"
    ran = cell(without + code, outputs=("model",))
    assert (ran.end["status"], ran.end["name"], ran.end["by_value"]) == ("output", "model", True)
    assert ran.end["reason"] == "it needs the class 'Model' of __main__"


def test_an_input_that_cannot_be_made_there_is_named(cell, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("class Thing: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])
    ran = cell("thing", inputs={"thing": only_here.Thing()})
    assert (ran.end["status"], ran.end["name"], ran.end["module"]) == ("input", "thing", "only_here")
    assert "No module named 'only_here'" in ran.end["reason"]
