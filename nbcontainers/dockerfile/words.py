"""How the text after an instruction's name falls into words, flags, pairs, and the JSON (exec) form.

Quotes and escapes only hold words together here; they are taken away later, by expansion.py.
"""

from __future__ import annotations

import json
import re

SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Go calls a space (unicode.IsSpace); Python's own list has four more."""

BLANKS = re.compile(r"[\t\v\f\r ]+")
_STRING = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"'
_STRINGS = re.compile(rf"\[[ \t\n\r]*(?:{_STRING}(?:[ \t\n\r]*,[ \t\n\r]*{_STRING})*)?[ \t\n\r]*\]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def strings(text: str) -> tuple[str, ...] | None:
    """The words of an exec form, a JSON array of strings; None when it is no JSON array, and so shell form.

    What stands after the array is ignored, as Docker does. ValueError for an array that holds anything but strings.
    """
    text = text.lstrip(SPACE)
    if not text.startswith("["):
        return None
    found = _STRINGS.match(text)
    if found:
        return tuple(_SURROGATE.sub("\ufffd", word) for word in json.loads(found[0]))
    try:
        json.JSONDecoder(parse_constant=_no_json).raw_decode(text)
    except (ValueError, RecursionError):
        return None
    raise ValueError("a JSON array here holds only strings in double quotes")


def _no_json(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity, which Python reads and JSON does not have


def flags(text: str) -> tuple[tuple[str, ...], str]:
    """The leading `--name[=value]` words of `text`, and the rest. A lone `--` ends them and goes.

    Quotes and backslashes (whatever the file's escape character is) hold a flag with spaces together and are removed.
    """
    found: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at] in SPACE:
            at += 1
        if not text.startswith("--", at):
            return tuple(found), text[at:]
        word, quoted, at = _flag(text, at)
        if word == "--" and at < len(text):
            return tuple(found), text[at:]
        if word != "--" and (word or quoted):
            found.append(word)


def _flag(text: str, at: int) -> tuple[str, bool, int]:
    """One word from `at`: (without quotes and escapes, whether it had quotes, where it ends)."""
    word: list[str] = []
    quote = ""
    quoted = False
    while at < len(text):
        char = text[at]
        if not quote and char in SPACE:
            break
        if not quote and char in "'\"":
            quote, quoted = char, True
        elif char == quote:
            quote = ""
        else:
            if char == "\\":
                at += 1
            word.append(text[at : at + 1])
        at += 1
    return "".join(word), quoted, min(at, len(text))


def words(text: str, escape: str) -> list[str]:
    """Words apart from each other by blanks outside quotes, each as it was written."""
    found: list[str] = []
    start, at, quote = -1, 0, ""
    while at < len(text):
        char = text[at]
        if start < 0:
            if char in SPACE:
                at += 1
                continue
            start = at
        if char == escape and quote != "'":
            at += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in SPACE:
            found.append(text[start:at])
            start = -1
        at += 1
    if start >= 0:
        found.append(text[start:] if at == len(text) else text[start:-1])  # an escape of nothing goes
    return [word for word in found if word]


def pairs(text: str, escape: str, name: str) -> tuple[list[tuple[str, str]], bool]:
    """`k=v …` of ENV and LABEL, and whether it is the old form `k v` instead. ValueError says what is missing."""
    found = words(text, escape)
    if not found:
        return [], False
    if "=" not in found[0]:
        key, *value = BLANKS.split(text, maxsplit=1)
        if not value:
            raise ValueError(f"{name} must have two arguments: write {name} {key}=VALUE")
        return [(key, value[0])], True
    for word in found:
        if "=" not in word:
            raise ValueError(f"{word!r} has no '=': each must be of the form NAME=VALUE")
    return [(key, value) for key, _, value in (word.partition("=") for word in found)], False
