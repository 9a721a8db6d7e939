"""Quotes, escapes and every form of `$variable`; the scopes of ARG and ENV."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcontainers.dockerfile import dockerfile, pattern, stages, value, variables
from nbcontainers.dockerfile import instructions as i
from nbcontainers.dockerfile.expansion import Mode, expand
from nbcontainers.errors import BuildError

SETTINGS = settings(deadline=None, max_examples=150, derandomize=True)
VALUES = {"x": "foobarbaz", "e": "", "p": "/a/b/c.tar.gz", "s": "a*b?c", "two": "a b", "n": "a\nb", "é": "u", "_1": "v"}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("plain", "plain"), ("$x", "foobarbaz"), ("${x}", "foobarbaz"), ("a$x-b", "afoobarbaz-b"), ("${x}y", "foobarbazy"),
        ("$xy", ""), ("$u", ""), ("${u}", ""), ("$é", "u"), ("$_1", "v"), ("$", "$"), ("a$", "a$"), ("$/", "$/"), ("$$", ""),
        ("$1", ""), ("$12a", "a"), ("$@b", "b"), ("$.", "$."),
        (r"\$x", "$x"), (r"\${x}", "${x}"), (r"\\$x", r"\foobarbaz"), (r"a\ b", "a b"), (r"\a", "a"), ("a\\", "a"),
        ("'$x'", "$x"), ("'a\\'", "a\\"), ("'a\"b'", 'a"b'), ('"$x"', "foobarbaz"), (r'"\$x"', "$x"), (r'"\""', '"'),
        (r'"\a"', r"\a"), (r'"\\"', "\\"), ('"it\'s"', "it's"), ('a"b c"d', "ab cd"), ("''", ""), ('""', ""),
        ("${u:-d}", "d"), ("${e:-d}", "d"), ("${x:-d}", "foobarbaz"), ("${u-d}", "d"), ("${e-d}", ""), ("${x-d}", "foobarbaz"),
        ("${u:+d}", ""), ("${e:+d}", ""), ("${x:+d}", "d"), ("${u+d}", ""), ("${e+d}", "d"), ("${x+d}", "d"),
        ("${x:?no}", "foobarbaz"), ("${x?no}", "foobarbaz"), ("${e?no}", ""),
        ("${u:-${x}}", "foobarbaz"), ("${u:-${v:-w}}", "w"), ("${u:-$x}", "foobarbaz"), ("${u:-}", ""), ("${u:-a b}", "a b"),
        ("${u:-'}'}", "}"), (r"${u:-\}}", "}"), ('"${u:-a}"', "a"), ("${u:-\"q\"}", "q"),
        ("${x#f}", "oobarbaz"), ("${x#*b}", "arbaz"), ("${x##*b}", "az"), ("${x#b}", "foobarbaz"), ("${x#}", "foobarbaz"),
        ("${x%z}", "foobarba"), ("${x%b*}", "foobar"), ("${x%%b*}", "foo"), ("${x%?}", "foobarba"), ("${x%%*}", ""),
        ("${x##*}", ""), ("${x#*}", "foobarbaz"), ("${u#a}", ""), ("${p##*/}", "c.tar.gz"), ("${p%/*}", "/a/b"),
        ("${p%.*}", "/a/b/c.tar"), ("${p%%.*}", "/a/b/c"), (r"${s#a\*}", "b?c"), (r"${s%\?c}", "a*b"), (r"${s%%\**}", "a"),
        ("${x/ba/fo}", "fooforbaz"), ("${x//ba/fo}", "fooforfoz"), ("${x/o*b/-}", "f-az"), ("${x//o/}", "fbarbaz"),
        (r"${p//\//_}", "_a_b_c.tar.gz"), (r"${s/\*/-}", "a-b?c"), (r"${s//\?/-}", "a*b-c"), ("${x/?/-}", "-oobarbaz"),
        ("${x//?/-}", "---------"), ("${x/$u/y}", "yfoobarbaz"), ("${x/b/$two}", "fooa barbaz"), ("${u/a/b}", ""),
        ("${n#*b}", "a\nb"), ("${n/?b/-}", "a\nb"), ("${x/[o]/-}", "foobarbaz"), ("${p/./-}", "/a/b/c-tar.gz"),
    ],
)  # fmt: skip
def test_text(text: str, expected: str) -> None:
    assert expand(text, VALUES).text == expected


@pytest.mark.parametrize(
    "text, words",
    [
        ("a  b\tc", "a|b|c"), ("$two", "a|b"), ('"$two"', "a b"), ("'a b' c", "a b|c"), (r"a\ b c", "a b|c"), ("", ""),
        ("  ", ""), ('"" a', "a"), ("x$two", "xa|b"), ("$two$two", "a|ba|b"), ("${u:-a b} c", "a|b|c"), ('a"b c"d e', "ab cd|e"),
        ("a\u00a0b", "a|b"), ("a\x1cb", "a\x1cb"),
    ],
)  # fmt: skip
def test_words(text: str, words: str) -> None:
    assert "|".join(expand(text, VALUES).words) == words


@pytest.mark.parametrize(
    "text, message",
    [
        ("${x:=y}", "unsupported modifier :="), ("${x=y}", "unsupported modifier ="), ("${x^^}", "unsupported modifier ^"),
        ("${x:#y}", "unsupported modifier :#"), ("${x:y}", "unsupported modifier :y"), ("${", "no }"), ("${x", "no }"),
        ("${x:", "no }"), ("${x:-a", "no } to end ${x"), ("${x/a", "no / to end ${x"), ("${x/a/b", "no } to end ${x"),
        ("${}", "bad substitution"), ("${:-a}", "bad substitution"), ("${{x}}", "bad substitution"),
        ("'a", "no ' to end"), ('"a', 'no " to end'), ("${u:-'a}", "no '"), ("${u:?no way}", "u: no way"),
        ("${u:?}", "u: is not allowed to be unset"), ("${e:?}", "e: is not allowed to be empty"),
        ("${u?}", "u: is not allowed to be unset"), (r"${x#\a}", "invalid escape"), (r"${x/a\b/c}", "invalid escape"),
        ("${u:-" * 200 + "}" * 200, "more than 100"),
    ],
)  # fmt: skip
def test_what_is_no_substitution(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        expand(text, VALUES)
    assert message in str(caught.value)


def test_the_backtick_escapes_when_asked() -> None:
    assert expand('`$x c:\\y "`$x"', VALUES, "`").text == "$x c:\\y $x"


@pytest.mark.parametrize(
    "text, expected",
    [('it\'s "$x" \\$x \\a', 'it\'s "foobarbaz" $x a'), ("${u:-'}", "'"), ("\\\\n", "\\n")],
)
def test_heredoc_bodies_keep_their_quotes(text: str, expected: str) -> None:
    assert expand(text, VALUES, mode=Mode(quotes_are_text=True)).text == expected


def test_raw_modes_keep_what_they_say() -> None:
    assert expand("'a' \"$x\" \\$x", VALUES, mode=Mode(keep_quotes=True)).text == "'a' \"foobarbaz\" $x"
    assert expand("a\\b", VALUES, mode=Mode(keep_escapes=True)).text == "a\\b"
    text = "$u ${u} ${u:-a} ${u#a} ${u/a/b}"
    assert expand(text, {}, mode=Mode(keep_unset=True)).text == text


def test_names_are_told_apart() -> None:
    found = expand("$x $u ${v:-1} ${w#a}", VALUES)
    assert found.matched == {"x"}
    assert found.unmatched == {"u", "w"}


def test_no_bomb_of_variables() -> None:
    with pytest.raises(ValueError, match="16 MiB"):
        expand("$a" * 2000, {"a": "b" * 65536})


@SETTINGS
@given(st.text("ax${}:-+?#%/\\'\"*b ", max_size=25))
def test_expansion_ends_in_a_text_or_in_a_value_error(text: str) -> None:
    try:
        found = expand(text, VALUES)
    except ValueError:
        return
    assert "".join(found.words) == "".join(found.text.split()) or " " in "".join(found.words) or "\n" in found.text


@SETTINGS
@given(st.text(max_size=20))
def test_single_quotes_hold_anything_but_themselves(text: str) -> None:
    assert expand("'" + text.replace("'", "") + "'", VALUES).text == text.replace("'", "")


@SETTINGS
@given(st.text("ab*?", max_size=8), st.text("ab\n", max_size=12))
def test_trimming_agrees_with_a_plain_search(glob: str, text: str) -> None:
    """Against every cut tried in turn with a matcher of one line."""
    import re

    whole = re.compile("".join({"*": "[^\n]*", "?": "[^\n]"}.get(char, char) for char in glob))
    cuts = range(len(text) + 1)
    heads = [cut for cut in cuts if whole.fullmatch(text[:cut])]
    tails = [cut for cut in cuts if whole.fullmatch(text[cut:])]
    parts = pattern.shell_parts(glob)
    for longest, pick in ((False, min), (True, max)):
        assert pattern.trim(parts, text, prefix=True, longest=longest) == (text[pick(heads) :] if heads else text)
    assert pattern.trim(parts, text, prefix=False, longest=False) == (text[: max(tails)] if tails else text)
    assert pattern.trim(parts, text, prefix=False, longest=True) == (text[: min(tails)] if tails else text)


def environment(text: str, stage: int = -1, **build_args: str) -> dict[str, str]:
    """What RUN sees at the end of a stage, its parents walked first."""
    file = dockerfile.read(text)
    plan = stages.plan(file, build_args=build_args, platforms=value.platform_arguments("linux/amd64", "linux/arm64"))
    scopes: dict[int, variables.Scope] = {}
    for planned in plan.stages:
        start = variables.Scope(plan.globals, build_args, escape=file.escape)
        scope = scopes.get(planned.base.stage, start)
        for one in planned.stage.instructions:
            done, _ = variables.of_instruction(one, scope, file.source)
            scope = scope.after(done)
        scopes[planned.stage.index] = scope
    return scopes[plan.target].environment()


@pytest.mark.parametrize(
    "text, build_args, expected",
    [
        ("FROM a\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc", {}, {"abc": "bye", "def": "hello", "ghi": "bye"}),
        ("FROM a\nENV a=1 b=$a", {}, {"a": "1", "b": ""}),
        ("FROM a\nENV a b $c d", {}, {"a": "b  d"}),
        ("FROM a\nARG v", {}, {}), ("FROM a\nARG v=1", {}, {"v": "1"}), ("FROM a\nARG v=1", {"v": "2"}, {"v": "2"}),
        ("FROM a\nARG v=", {}, {"v": ""}), ("FROM a\nENV x=$v\nARG v=1\nENV y=$v", {}, {"x": "", "v": "1", "y": "1"}),
        ("ARG v=1\nFROM a\nENV x=$v", {}, {"x": ""}), ("ARG v=1\nFROM a\nARG v\nENV x=$v", {}, {"v": "1", "x": "1"}),
        ("ARG v=1\nFROM a\nARG v=2", {}, {"v": "2"}), ("ARG v=1\nFROM a\nARG v", {"v": "3"}, {"v": "3"}),
        ("ARG v\nFROM a\nARG v", {}, {}), ("ARG a=1\nARG b=$a-2\nFROM x\nARG b", {}, {"b": "1-2"}),
        ("FROM a\nARG v=1\nENV v=2", {"v": "3"}, {"v": "2"}), ("FROM a\nENV v=2\nARG v=3", {}, {"v": "3"}),
        ("FROM a\nENV v=2\nARG v", {}, {"v": "2"}), ("FROM a\nARG v\nENV v=${v:-d}", {}, {"v": "d"}),
        ("FROM a AS b\nARG v=1\nENV e=2\nFROM b\nENV f=$v$e", {}, {"v": "1", "e": "2", "f": "12"}),
        ("FROM a AS b\nARG v=1\nFROM a\nENV f=$v", {}, {"f": ""}),
        ("FROM a\nENV x=$TARGETARCH\nARG TARGETARCH BUILDPLATFORM\nENV y=$TARGETARCH", {},
         {"x": "", "TARGETARCH": "arm64", "BUILDPLATFORM": "linux/amd64", "y": "arm64"}),
        ("FROM a", {"HTTP_PROXY": "p", "no_proxy": "q", "other": "r"}, {"HTTP_PROXY": "p", "no_proxy": "q"}),
        ("FROM a\nARG a=1 b=$a c", {}, {"a": "1", "b": ""}),
        ("FROM a\nENV k$x=1", {}, {"k": "1"}),
        ("# escape=`\nFROM a\nENV p=c:\\d q=`$x", {}, {"p": "c:\\d", "q": "$x"}),
    ],
)  # fmt: skip
def test_scopes(text: str, build_args: dict[str, str], expected: dict[str, str]) -> None:
    assert environment(text, **build_args) == expected


def expanded(line: str, **env: str) -> i.Instruction:
    file = dockerfile.read(f"FROM a\n{line}")
    scope = variables.Scope(variables.Globals({}), variables=env, escape=file.escape)
    return variables.of_instruction(file.stages[0].instructions[0], scope, file.source)[0]


@pytest.mark.parametrize(
    "line, name, expected",
    [
        ("WORKDIR $a/b", "path", "/x y/b"), ("USER $b:$b", "user", "u:u"), ("STOPSIGNAL $c", "signal", "SIGINT"),
        ("VOLUME $a /c", "paths", ("/x y", "/c")), ('VOLUME ["$a"]', "paths", ("/x y",)), ("EXPOSE $p", "ports", ("80/tcp", "90/udp")),
        ("EXPOSE 7-9 8/TCP 80:81", "ports", ("7/tcp", "8/tcp", "9/tcp", "81/tcp")), ("COPY $b $a", "destination", "/x y"),
        ("COPY --chown=$b --chmod=$m a b", "chmod", "640"), ("COPY --chown=$b a b", "chown", "u"), ("COPY \\$b a", "sources", ("$b",)),
        ("COPY --exclude=$b a b", "exclude", ("u",)), ("ADD --checksum=$b a b", "checksum", "u"), ("LABEL $b=$a", "pairs", (("u", "/x y"),)),
        ("RUN echo $a", "words", ("echo $a",)), ("CMD $a", "words", ("$a",)), ("ENTRYPOINT [\"$a\"]", "words", ("$a",)),
        ("HEALTHCHECK CMD $a", "test", ("CMD-SHELL", "$a")), ("SHELL [\"$a\"]", "words", ("$a",)), ("ONBUILD USER $b", "expression", "USER $b"),
        ("COPY <<E $a\n'$b' \\$b\nE", "contents", (i.Content("E", "'u' $b\n", True),)),
        ("COPY <<'E' $a\n'$b' \\$b\nE", "contents", (i.Content("E", "'$b' \\$b\n", False),)),
    ],
)  # fmt: skip
def test_what_is_expanded_and_what_not(line: str, name: str, expected: object) -> None:
    found = expanded(line, a="/x y", b="u", c="SIGINT", p="80 90/udp", m="640")
    assert getattr(found, name) == expected


@pytest.mark.parametrize(
    "line, message",
    [
        ("STOPSIGNAL $u", "'' is no signal"),
        ("EXPOSE $b", "'u' is no port"), ("COPY --chmod=$b a b", "'u' is no mode"), ("COPY ${u:?missing} b", "u: missing"),
        ("ENV a=${b:=c}", "unsupported modifier"), ("RUN --mount=type=$b,target=/x ls", "no type of mount"), ("LABEL $u=x", "is empty"),
        ('ENV a="b', 'no " to end'), ("VOLUME $u", "the path '$u' is empty"),
    ],
)  # fmt: skip
def test_errors_of_values_show_the_line(line: str, message: str) -> None:
    with pytest.raises(BuildError) as caught:
        expanded(line, b="u")
    assert message in caught.value.message
    assert caught.value.line == 2


@pytest.mark.parametrize(
    "text, expected", [("", None), ("0", 0), ("1700000000", 1700000000), ("context", "context"), ("build", "build")]
)
def test_source_date_epoch(text: str, expected: object) -> None:
    assert variables.source_date_epoch(text) == expected


def test_source_date_epoch_is_not_before_1970() -> None:
    with pytest.raises(ValueError, match="before 1970"):
        variables.source_date_epoch("-1")
