"""BuildKit's own parser as a program: JSON list of Dockerfiles on stdin, JSON list of what it reads on stdout.

Run by an interpreter that has the package `dockerfile` (BuildKit 0.12's parser in Go), in a process of its own because
it starts Go's threads. One result a file: a list of [name, flags, args, is_json, first line, last line, here-documents],
or a text, its error.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import dockerfile


def read(text: str) -> Any:
    try:
        commands = dockerfile.parse_string(text)
    except dockerfile.GoParseError as error:
        return str(error)
    return [
        [
            " ".join(filter(None, (one.cmd, one.sub_cmd))).upper(), list(one.flags), list(one.value), one.json,
            one.start_line, one.end_line, [[doc.name, doc.content] for doc in one.heredocs],
        ]
        for one in commands
    ]  # fmt: skip


json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
