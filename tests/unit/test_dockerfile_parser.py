"""The parser: lines, comments, continuations, directives, flags, exec forms, here-documents, errors with their lines."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcontainers.dockerfile import directives
from nbcontainers.dockerfile.parser import LONGEST, parse, read_line
from nbcontainers.errors import BuildError

SETTINGS = settings(deadline=None, max_examples=100, derandomize=True)


def read(text: str | bytes) -> list[tuple[str, tuple[str, ...], tuple[int, int]]]:
    return [(node.name, node.args, node.lines) for node in parse(text).nodes]


def failure(text: str | bytes) -> BuildError:
    with pytest.raises(BuildError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    "text, expected",
    [
        ("FROM a", [("FROM", ("a",), (1, 1))]),
        ("from  a \t as\tb", [("FROM", ("a", "as", "b"), (1, 1))]),
        ("\n\n  FROM a\n\n\tRUN b  c \n", [("FROM", ("a",), (3, 3)), ("RUN", ("b  c",), (5, 5))]),
        (b"\xef\xbb\xbfFROM a\r\nRUN b\r\n", [("FROM", ("a",), (1, 1)), ("RUN", ("b",), (2, 2))]),
        ("# c\nRUN a # b\n#d", [("RUN", ("a # b",), (2, 2))]),
        ("RUN a \\\n  b\\\nc", [("RUN", ("a   bc",), (1, 3))]),
        ("RUN a \\ \t\nb", [("RUN", ("a b",), (1, 2))]),
        ("RUN a \\\r\n b\r\n", [("RUN", ("a  b",), (1, 2))]),
        ("RUN a \\\n# one\n   # two\n b", [("RUN", ("a  b",), (1, 4))]),
        ("RUN a \\\n\n \t\n b\nRUN c", [("RUN", ("a  b",), (1, 4)), ("RUN", ("c",), (5, 5))]),
        ("RUN a \\", [("RUN", ("a",), (1, 1))]),
        ("RUN a\\\\\nRUN b", [("RUN", ("a\\\\",), (1, 1)), ("RUN", ("b",), (2, 2))]),
        ("RUN a\\b", [("RUN", ("a\\b",), (1, 1))]),
        ("\\\nRUN a", [("RUN", ("a",), (1, 2))]),
        ("RUN\\\n a", [("RUN", ("a",), (1, 2))]),
        ("# escape=`\nRUN a `\n b\\\nRUN c", [("RUN", ("a  b\\",), (2, 3)), ("RUN", ("c",), (4, 4))]),
        ("RUN a `\nRUN b", [("RUN", ("a `",), (1, 1)), ("RUN", ("b",), (2, 2))]),
        ("RUN", [("RUN", (), (1, 1))]),
        ("EXPOSE 80  90\t7", [("EXPOSE", ("80", "90", "7"), (1, 1))]),
        ("WORKDIR /a b", [("WORKDIR", ("/a b",), (1, 1))]),
        ("ENV a b  c", [("ENV", ("a", "b  c"), (1, 1))]),
        ("ENV a=b c=\"d e\" f='g h' i=j\\ k", [("ENV", ("a", "b", "c", '"d e"', "f", "'g h'", "i", "j\\ k"), (1, 1))]),
        ("ENV a=b \\\n    c=d", [("ENV", ("a", "b", "c", "d"), (1, 2))]),
        ("LABEL \"a b\"=c=d", [("LABEL", ('"a b"', "c=d"), (1, 1))]),
        ("ARG a b=c 'd e'=f", [("ARG", ("a", "b=c", "'d e'=f"), (1, 1))]),
        ("HEALTHCHECK --interval=1s CMD a b", [("HEALTHCHECK", ("CMD", "a b"), (1, 1))]),
        ('HEALTHCHECK CMD ["a", "b"]', [("HEALTHCHECK", ("CMD", "a", "b"), (1, 1))]),
        ("COPY a  b c", [("COPY", ("a", "b", "c"), (1, 1))]),
        ("MAINTAINER a  b <c>", [("MAINTAINER", ("a  b <c>",), (1, 1))]),
    ],
)  # fmt: skip
def test_instructions_and_their_lines(text: str | bytes, expected: object) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "rest, words",
    [
        ('["a", "b c"]', ("a", "b c")), ('  [ "a" ]', ("a",)), ("[]", ()), ('["\\u00e9\\n"]', ("é\n",)),
        ('["a"] # b', ("a",)), ('["a"]]', ("a",)), ('["a\\ud800"]', ("a\ufffd",)), ('["\\ud83d\\ude00"]', ("😀",)),
        ("[ -f x ] && y", None), ("['a']", None), ('["a",]', None), ('["a"', None), ("[", None), ("[NaN]", None),
        ('["\\x"]', None), ('["a\tb"]', None), ('{"a": 1}', None), ("[[ a ]]", None), ("[" * 9000, None),
    ],
)  # fmt: skip
def test_exec_form_is_a_json_array_of_strings_and_else_shell_form(rest: str, words: tuple[str, ...] | None) -> None:
    for name in ("RUN", "CMD", "ENTRYPOINT"):
        node = read_line(f"{name} {rest}")
        assert node.is_json == (words is not None)
        assert node.args == (words if words is not None else (rest.strip(),))


@pytest.mark.parametrize("rest", ['["a", 1]', "[null]", "[true]", '["a", ["b"]]', "[{}]", "[1] x"])
@pytest.mark.parametrize("name", ["RUN", "CMD", "SHELL", "VOLUME", "COPY", "HEALTHCHECK CMD", "ONBUILD RUN"])
def test_an_array_of_other_things_is_an_error(name: str, rest: str) -> None:
    error = failure(f"FROM a\n{name} {rest}")
    assert "only strings in double quotes" in error.message
    assert error.line == 2


@pytest.mark.parametrize(
    "line, flags, args",
    [
        ("RUN --a=b --c d", ("--a=b", "--c"), ("d",)),
        ("RUN  --a  --b x --c", ("--a", "--b"), ("x --c",)),
        ('RUN --a="b c" d', ("--a=b c",), ("d",)),
        ("RUN --a='b\\'c' d", ("--a=b'c",), ("d",)),
        ("RUN --a=b\\ c d", ("--a=b c",), ("d",)),
        ("RUN -- --a", (), ("--a",)),
        ("RUN --a -- --b", ("--a",), ("--b",)),
        ("RUN -a --b", (), ("-a --b",)),
        ('RUN "--a" b', (), ('"--a" b',)),
        ('RUN --a="" b', ("--a=",), ("b",)),
        ("RUN --a=é b", ("--a=é",), ("b",)),
        ("RUN --", (), ()),
        ('RUN --a="b c', ("--a=b c",), ()),
    ],
)
def test_flags_come_first(line: str, flags: tuple[str, ...], args: tuple[str, ...]) -> None:
    node = read_line(line)
    assert (node.flags, node.args) == (flags, args)


def test_a_flag_over_two_lines() -> None:
    node = parse("RUN --mount=type=tmpfs,\\\ntarget=/x \\\n  --network=none ls").nodes[0]
    assert node.flags == ("--mount=type=tmpfs,target=/x", "--network=none")
    assert node.args == ("ls",)


@pytest.mark.parametrize(
    "text, found",
    [
        ("RUN <<EOF\na\nb\nEOF\nRUN c", [("EOF", "a\nb\n", True)]),
        ("RUN <<-EOF\n\ta\n\t\tEOF", [("EOF", "\ta\n", True)]),
        ("RUN <<'EOF'\n$a\nEOF", [("EOF", "$a\n", False)]),
        ('RUN <<"E F"\nx\nE F', [("E F", "x\n", False)]),
        ("RUN <<E\"O\"F\nx\nEOF", [("EOF", "x\n", False)]),
        ("RUN <<a cat && <<b cat\n1\na\n2\nb", [("a", "1\n", True), ("b", "2\n", True)]),
        ("RUN <<EOF \\\n  bash\nx\nEOF", [("EOF", "x\n", True)]),
        ("RUN <<EOF\n# not a comment\n\\\n\n EOF\nEOF", [("EOF", "# not a comment\n\\\n\n EOF\n", True)]),
        ("RUN <<EOF\r\na\r\nEOF\r\n", [("EOF", "a\r\n", True)]),
        ("RUN <<EOF\nEOF", [("EOF", "", True)]),
        ("RUN 3<<EOF\nEOF", [("EOF", "", True)]),
        ("RUN cat << EOF > /x\na\nEOF", [("EOF", "a\n", True)]),
        ("COPY <<a <<b /x/\n1\na\n2\nb", [("a", "1\n", True), ("b", "2\n", True)]),
        ("ADD <<a /x\n1\na", [("a", "1\n", True)]),
        ("ONBUILD RUN <<EOF\na\nEOF", [("EOF", "a\n", True)]),
        ("RUN echo '<<EOF'", []), ('RUN echo "<<EOF"', []), ("RUN echo \\<<EOF", []), ("RUN a<<EOF", []),
        ("RUN $((1<<2))", []), ("RUN echo $((1 << 2))", []), ("RUN cat <<<EOF", []), ('RUN ["<<EOF"]', []),
        ("CMD <<EOF", []), ("RUN it's <<EOF", []), ("RUN <<", []), ("RUN <<-", []),
    ],
)  # fmt: skip
def test_heredocs(text: str, found: list[tuple[str, str, bool]]) -> None:
    node = parse(text).nodes[0]
    assert [(one.name, one.content, one.expand) for one in node.heredocs] == found
    assert node.lines[1] >= 1 + sum(one.content.count("\n") + 1 for one in node.heredocs)


def test_heredoc_lines_end_where_the_text_does() -> None:
    nodes = parse("FROM a\nRUN <<E <<F\n1\nE\n2\nF\nRUN b").nodes
    assert [node.lines for node in nodes] == [(1, 1), (2, 6), (7, 7)]


def test_tabs_go_only_with_the_dash() -> None:
    one, two = parse("RUN <<-E\n\t\ta\n \tb\n\tE\nRUN <<E\n\ta\nE").nodes
    assert one.heredocs[0].body == "a\n \tb\n"
    assert two.heredocs[0].body == "\ta\n"


def test_many_heredocs_do_not_search_the_file_each() -> None:
    nodes = parse("FROM a\n" + "RUN x << y\n" * 5_000).nodes
    assert len(nodes) == 5_001


@pytest.mark.parametrize(
    "text, escape, syntax",
    [
        ("# escape=`\nFROM a", "`", ""), ("#escape = \\\nFROM a", "\\", ""), ("  # ESCAPE=`\nFROM a", "`", ""),
        ("# syntax=x/y:1 z\n# escape=`\nFROM a", "`", "x/y:1 z"), ("\n# escape=`\nFROM a", "\\", ""),
        ("# c\n# escape=`\nFROM a", "\\", ""), ("# other=1\n# escape=`\nFROM a", "\\", ""),
        ("FROM a\n# escape=`", "\\", ""), ("\ufeff# escape=`\nFROM a", "`", ""), ("# escape=\nFROM a", "\\", ""),
    ],
)  # fmt: skip
def test_directives_stand_at_the_top(text: str, escape: str, syntax: str) -> None:
    found = parse(text).directives
    assert (found.escape, found.syntax) == (escape, syntax)


@pytest.mark.parametrize(
    "value, skip, error, experimental",
    [
        ("skip=A,B", {"A", "B"}, False, set()), ("error=true", set(), True, set()),
        ("skip=all;error=TRUE", {"all"}, True, set()), ("skip = A ; experimental=all", {"A"}, False, {"all"}),
    ],
)  # fmt: skip
def test_check_directive(value: str, skip: set[str], error: bool, experimental: set[str]) -> None:
    check = parse(f"# check={value}\nFROM a").directives.check
    assert check == directives.Check(frozenset(skip), frozenset(experimental), error)


@pytest.mark.parametrize(
    "text, line, column, words",
    [
        ("", 1, 0, "no instruction"), ("# only\n\n# comments", 1, 0, "no instruction"),
        ("# escape=x\nFROM a", 1, 10, "invalid escape token 'x'"),
        ("# escape=`\n# escape=`\nFROM a", 2, 3, "only one escape parser directive"),
        ("# check=foo=1\nFROM a", 1, 9, "invalid check option"), ("# check=error=maybe\nFROM a", 1, 15, "no boolean"),
        ("FROM a\nENV x", 2, 0, "must have two arguments"), ("FROM a\nENV x=y z", 2, 9, "'z' has no '='"),
        ("FROM a\nLABEL x", 2, 0, "must have two arguments"),
        ("FROM a\nRUN <<EOF\nx", 2, 5, "<<EOF has no end"), ("FROM a\nCOPY <<-E /x\nE E", 2, 6, "<<E has no end"),
        ("FROM a\nRUN " + "x" * LONGEST, 2, 0, "longer than 65535 bytes"), ("FROM a\n\\\n\n", 2, 0, "continues to no"),
        ("FROM a\nRUN b \\\n c <<E\n", 3, 4, "<<E has no end"),
    ],
)  # fmt: skip
def test_errors_name_line_and_column(text: str, line: int, column: int, words: str) -> None:
    error = failure(text)
    assert words in error.message
    assert f"Dockerfile:{line}: " in error.message
    assert error.column == column


def test_the_longest_line_that_is_read() -> None:
    assert parse("RUN " + "x" * (LONGEST - 4)).nodes
    assert "longer" in failure("RUN " + "é" * (LONGEST // 2)).message


def test_an_error_shows_its_lines_and_a_mark() -> None:
    error = failure("FROM a\nENV one=1 \\\n    two\n")
    assert error.message == (
        "Dockerfile:3: ENV: 'two' has no '=': each must be of the form NAME=VALUE\n"
        "  2 | ENV one=1 \\\n"
        "  3 |     two\n"
        "    |     ^^^"
    )
    assert (error.file, error.line, error.end_line, error.column) == ("Dockerfile", 2, 3, 5)


def test_a_long_instruction_is_shown_in_part() -> None:
    error = failure("FROM a\nENV \\\n" + "".join(f" k{number}=v \\\n" for number in range(40)) + " bad\n")
    assert error.message.count("\n") == 5
    assert " 43 |  bad" in error.message


def test_comments_before_an_instruction_are_its_own_until_an_empty_line() -> None:
    nodes = parse("# syntax=x\n# a\nFROM a\n# b\n# c\nARG x\n# d\n\nRUN e").nodes
    assert [node.comments for node in nodes] == [("a",), ("b", "c"), ()]


def test_empty_continuation_lines_are_remembered() -> None:
    assert parse("RUN a \\\n\n b \\\n#c\n\n d").nodes[0].empty == (2, 5)


PIECES = st.sampled_from(
    [
        *"RUN FROM COPY ENV ARG LABEL ONBUILD a =b <<E E # \\ ` ' \" $ { } [ ] , --x=y".split(),
        " ",
        "\n",
        "\\\n",
        "\t",
        "\r\n",
    ]
)


@SETTINGS
@given(st.one_of(st.lists(PIECES, max_size=30).map("".join), st.text(max_size=60), st.binary(max_size=60)))
def test_nothing_but_its_own_error_comes_out(content: str | bytes) -> None:
    try:
        parsed = parse(content)
    except BuildError:
        return
    written = parsed.unparse()
    assert parse(written).unparse() == written


WORD = st.text(string.ascii_letters + string.digits + "é/._-$", min_size=1, max_size=8)


@SETTINGS
@given(
    st.dictionaries(
        st.text(string.ascii_letters, min_size=1, max_size=5), st.lists(WORD, max_size=4).map(" ".join), min_size=1
    )
)
def test_env_pairs_come_back(pairs: dict[str, str]) -> None:
    line = " ".join(f'{name}="{text}"' for name, text in pairs.items())
    assert read_line(f"ENV {line}").args == tuple(part for name, text in pairs.items() for part in (name, f'"{text}"'))


@SETTINGS
@given(
    st.lists(WORD, min_size=1, max_size=6),
    st.lists(st.sampled_from(["\\\n", "\\ \n", "\\\n# c\n", "\\\n\n"]), max_size=6),
)
def test_continuations_and_comments_change_nothing(words: list[str], breaks: list[str]) -> None:
    plain = "RUN " + " ".join(words)
    broken = "RUN " + "".join(f" {brk}{word}" for word, brk in zip(words, [*breaks, *[""] * len(words)], strict=False))
    assert parse(broken).nodes[0].args[0].split() == parse(plain).nodes[0].args[0].split()
