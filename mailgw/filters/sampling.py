"""Samples for the classifier, of a message that is judged and of a file that is learned from: the same for both."""

from __future__ import annotations

import re

from mailgw.classifier.sample import ROUTE_SIZE, Sample, make_sample
from mailgw.filters.anatomy import Anatomy, dissect
from mailgw.filters.charset import decode_value
from mailgw.filters.text import beginning
from mailgw.mail.message import MAX_HEADER, Message

# A header section, and whether the empty line follows.
_HEADER = re.compile(rb"(?:[!-9;-~]++[ \t]*+:[^\n]*+\n(?:[ \t][^\n]*+\n)*+)++(\n?)")


def sample_of(message: Message, anatomy: Anatomy) -> Sample:
    """Make the sample of a message that was taken apart. Blocks where the content is a file with a short header."""
    start = len(message.head)
    body = beginning(message.content, start + ROUTE_SIZE)[start:] if start < ROUTE_SIZE else b""
    return make_sample(message.fields, decode_value, body, anatomy.body, anatomy.urls)


def read_sample(data: bytes) -> Sample:
    """Make the sample of a message as it lies in a folder or a collection: with any line ends, with or without mbox's
    first line, and where the header section ends without an empty line, with that."""
    if data.startswith(b"From "):
        data = data[data.find(b"\n") + 1 :]
    data = data.replace(b"\r\n", b"\n")
    header = _HEADER.match(data, 0, MAX_HEADER)
    if header and not header.group(1) and header.end() < min(len(data), MAX_HEADER):
        data = b"%b\n%b" % (data[: header.end()], data[header.end() :])
    message = Message.from_bytes(data.replace(b"\n", b"\r\n"))
    return sample_of(message, dissect(message.content))
