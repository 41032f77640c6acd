"""Messages of mail-parser's suite, with the structure that it expects: as far as both look at the same things.

Compared are the parts that hold no others: how many, of which kind, where each stands, and the text of text parts. Not
compared are header fields (`mail.message` has them as octets) and which part a program would show.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.anatomy import dissect
from mailgw.filters.mime import Part, find_structure
from mailgw.mail.message import BytesContent

SUITES = Path(os.environ.get("MAILGW_SUITES", Path(__file__).parents[2] / ".." / "shared" / "suites"))
FOLDER = SUITES / "mime"

DIFFERENT = {
    # The attached message is in base64, which RFC 2046 5.2.1 forbids: we keep it whole, the suite reads it.
    "rfc/008",
}
DIFFERENT_TEXT = {
    # No charset is declared and it is not ASCII: we take it for Windows-1252 where it is no UTF-8, as mail programs do.
    ("legacy/026", "text/plain"),
    ("legacy/052", "text/plain"),
    # "...base64-encoded data goes here..." in place of base64: we decode what digits there are, the suite gives it up.
    ("rfc/000", "audio/basic"),
    ("rfc/000", "image/jpeg"),
}


@frozen
class Expected:
    kind: str
    start: int
    end: int
    text: str


def expected_parts(message: dict[str, Any]) -> Iterator[Expected]:
    for part in message["parts"]:
        ((kind, value),) = part["body"].items()
        if kind == "Message":
            yield from expected_parts(value)
        elif kind != "Multipart":
            text = value if kind in ("Text", "Html") else ""
            yield Expected(kind, part["offset_body"], part["offset_end"], text)


class MimeSuiteTests(SynchronousTestCase):
    if not FOLDER.is_dir():
        skip = f"the messages are not there: {FOLDER}"

    def cases(self) -> Iterator[tuple[str, bytes, list[Expected]]]:
        for path in sorted(FOLDER.glob("*/*.crlf.json")):
            data = path.with_name(path.name.replace(".crlf.json", ".eml")).read_bytes()
            name = f"{path.parent.name}/{path.name.removesuffix('.crlf.json')}"
            message = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            yield name, message, list(expected_parts(json.loads(path.read_text())))

    def test_the_same_parts(self) -> None:
        same = 0
        for name, data, expected in self.cases():
            parts = find_structure(data).parts
            found = sorted((part.start, part.end) for part in parts)
            wanted = sorted((part.start, part.end) for part in expected)
            # The line end before a delimiter belongs to it (RFC 2046 5.1.1); the suite counts it where a body is empty.
            close = len(found) == len(wanted) and all(
                abs(a - c) <= 2 and abs(b - d) <= 2 for (a, b), (c, d) in zip(found, wanted, strict=True)
            )
            self.assertEqual(close, name not in DIFFERENT, name)
            same += close
        self.assertGreaterEqual(same, 63)

    def test_the_same_kinds_and_texts(self) -> None:
        same = 0
        different = set()
        for name, data, expected in self.cases():
            if name in DIFFERENT:
                continue
            parts = sorted(find_structure(data).parts, key=lambda part: part.start)
            for part, wanted in zip(parts, sorted(expected, key=lambda e: e.start), strict=True):
                if wanted.kind not in ("Text", "Html"):
                    continue
                if _plain(part.text(data)) == _plain(wanted.text) and (wanted.kind == "Html") == _is_html(part):
                    same += 1
                else:
                    different.add((name, part.content_type))
        self.assertEqual(different, DIFFERENT_TEXT)
        self.assertGreaterEqual(same, 60)

    def test_no_message_raises(self) -> None:
        for name, data, _ in self.cases():
            self.assertFalse(dissect(BytesContent(data)).is_large, name)


def _is_html(part: Part) -> bool:
    return part.content_type == "text/html"


def _plain(text: str) -> str:
    return " ".join(text.split())
