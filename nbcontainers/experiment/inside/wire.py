"""The socket between the notebook and the container's Python: frames of one byte kind, eight bytes length, payload.

To the container, once: HEADER (JSON), which carries the descriptor of a sealed memfd with the cell and its inputs
(SCM_RIGHTS, unix(7)). To the notebook: SHOW and CLEAR while the cell runs; then, if it ended well, BEGIN (the outputs' names),
PICKLE and BUFFER in any number, COMMIT; and always END. A second BEGIN makes what came before void. What is not
followed by COMMIT and END is never loaded.
"""

from __future__ import annotations

import json
import struct

TYPE_CHECKING = False  # typing's own import takes 3 ms
if TYPE_CHECKING:
    from typing import Any

HEADER = b"H"
SHOW = b"D"
CLEAR = b"L"
BEGIN = b"N"
PICKLE = b"P"
BUFFER = b"B"
COMMIT = b"C"
END = b"E"

HEAD = struct.Struct(">cQ")
JSON_KINDS = frozenset((HEADER, SHOW, CLEAR, BEGIN, END))
LARGEST_JSON = 64 * 2**20
"""Bytes of one display or error; what is larger is left out and said to be."""


def pack(kind: bytes, document: dict[str, Any]) -> bytes:
    """One JSON frame. Lone surrogates survive as escapes; numbers that JSON lacks (NaN) are Python's."""
    payload = json.dumps(document).encode()
    return HEAD.pack(kind, len(payload)) + payload


def unpack(payload: bytes | bytearray) -> dict[str, Any]:
    """The document of a JSON frame. Raises ValueError where it is no JSON object."""
    document = json.loads(payload)
    if not isinstance(document, dict):
        raise ValueError("a frame that is no JSON object")
    return document
