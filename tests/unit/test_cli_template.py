"""`--format` as scripts for Docker write it."""

from __future__ import annotations

import json

import pytest

from nbcontainers.cli.template import render
from nbcontainers.errors import InvalidArgument
from nbcontainers.table import Column, Table, digest, percent, since, stored

ROWS = [
    {"name": "web", "id": "sha256:" + "a" * 64, "size": 7_654_321, "created": "2020-01-01T00:00:00Z", "cpu": 12.5},
    {"name": "a-long-name", "id": "sha256:" + "b" * 64, "size": None, "created": None, "cpu": 0},
]
TABLE = Table(
    ROWS,
    [Column("id", "IMAGE ID", digest), Column("name"), Column("created", format=since), Column("size", format=stored),
     Column("cpu", "CPU %", percent)],
)  # fmt: skip
DOCUMENT = {
    "Name": "web", "State": {"Status": "running", "Pid": 7, "Dead": False}, "Args": ["a", "b"], "None": None,
    "Labels": {"one.key": "1"}, "Mounts": [{"Source": "/a"}, {"Source": "/b"}], "Empty": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "first"),
    [
        ("{{.ID}} {{.Names}}", "a" * 12 + " web"),
        ("{{ .Name }}\\t{{.Size}}", "web\t7.65MB"),
        ("{{.CreatedAt}}", "2020-01-01T00:00:00Z"),
        ("{{.CPUPerc}} {{.ImageID}}", "12.50% " + "a" * 12),
        ("{{json .Name}}", '"web"'),
        ('{{if eq .Name "web"}}yes{{else}}no{{end}}', "yes"),
        ("{{.Name | upper}}{{/* */}}", None),
    ],
)
def test_rows(template: str, first: str | None) -> None:
    if first is None:
        with pytest.raises(InvalidArgument, match="not known"):
            render(TABLE, template)
        return
    assert render(TABLE, template).split("\n")[0] == first
    assert len(render(TABLE, template).split("\n")) == len(ROWS)


def test_a_row_as_json_has_dockers_names() -> None:
    first, _ = map(json.loads, render(TABLE, "{{json .}}").splitlines())
    assert first == {"ID": "a" * 12, "Name": "web", "Created": first["Created"], "Size": "7.65MB", "Cpu": "12.50%"}


def test_names_of_containers_are_several() -> None:
    assert json.loads(render(Table([{"name": "web"}], [Column("name", "NAMES")]), "{{json .}}")) == {"Names": "web"}


def test_a_table_of_chosen_columns_has_titles() -> None:
    lines = render(TABLE, "table {{.ID}}\\t{{.Names}}\\t{{.Size}}").splitlines()
    assert lines == [
        "IMAGE ID       NAME          SIZE",
        "a" * 12 + "   web           7.65MB",
        "b" * 12 + "   a-long-name",
    ]
    assert render(Table([], TABLE.columns), "table {{.ID}}") == "IMAGE ID"
    assert render(Table([], TABLE.columns), "{{.ID}}") == ""


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{{.State.Status}} {{.State.Pid}} {{.State.Dead}} {{.None}}", "running 7 false <no value>"),
        ("{{range .Mounts}}{{.Source}};{{end}}", "/a;/b;"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{with .State}}{{.Pid}}{{end}}", "7"),
        ('{{index .Labels "one.key"}}{{index .Labels "other"}}', "1"),
        ('{{join .Args ", "}} {{len .Args}} {{index .Args 1}}', "a, b 2 b"),
        ("{{.Args}} {{.Labels}}", "[a b] map[one.key:1]"),
        ("{{json .State}}", '{"Status": "running", "Pid": 7, "Dead": false}'),
        ("{{if .Empty}}a{{else if .Args}}b{{else}}c{{end}}", "b"),
        ('{{if and .Args (not .Empty)}}{{(index .Mounts 0).Source}}{{end}}', None),
        ("a  {{- .Name -}}  b", "awebb"),
        ('{{.Name | printf}}', None), ("{{.Nothing}}", None), ("{{if .Name}}", None), ("{{end}}", None), ("{{.Name", None),
        ("{{}}", None), ("{{index .Args 9}}", None), ("{{.Name.First}}", None), ("{{(.Name}}", None),
        ('{{.Name | eq "\\q"}}', None), ("{{split 1 2}}", None), ('{{join "a" .Args}}', None),
    ],
)  # fmt: skip
def test_documents(template: str, shown: str | None) -> None:
    if shown is None:
        with pytest.raises(InvalidArgument, match=r"^--format: "):
            render([DOCUMENT], template)
    else:
        assert render([DOCUMENT, DOCUMENT], template) == f"{shown}\n{shown}"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"there is no \.Nme") as caught:
        render(TABLE, "{{.Nme}}")
    assert ".Name" in caught.value.hint


def test_the_famous_line_for_an_address_needs_no_space() -> None:
    document = {"NetworkSettings": {"Networks": {"lab": {"IPAddress": "10.0.0.2"}, "other": {"IPAddress": ""}}}}
    assert render([document], "{{range.NetworkSettings.Networks}}{{.IPAddress}}{{else}}none{{end}}") == "10.0.0.2"


def test_stats_have_dockers_pairs() -> None:
    row: dict[str, object] = {"cpu": 2.5, "memory": 4096, "memory_limit": None, "net_received": 10, "net_sent": 20}
    columns = [Column("cpu", "CPU % (OF 1)", percent), Column("memory", "MEM USAGE", stored),
               Column("memory_limit", "LIMIT", stored)]  # fmt: skip
    assert render(Table([row], columns), "{{.CPUPerc}} {{.MemUsage}} {{.NetIO}}") == "2.50% 4.1kB / -- 10 / 20"
    assert render(Table([row], columns), "table {{.MemUsage}}").splitlines() == ["MEM USAGE", "4.1kB / --"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{" + "(" * 5000 + ".Name" + ")" * 5000 + "}}", "stand in each other"),
        ("{{if 1}}" * 3000 + "x" + "{{end}}" * 3000, "stand in each other"),
        (r'{{"\xzz"}}', "escape"),
    ],
)
def test_what_no_template_should_be(template: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        render(TABLE, template)
