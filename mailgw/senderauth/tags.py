"""Lists of tag=value, as DKIM writes its fields and records (RFC 6376 3.2)."""

from __future__ import annotations

import re

_TAG_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_FWS = re.compile(rb"[ \t\r\n]+")


def parse_tags(value: bytes) -> dict[str, bytes]:
    """Take a tag-list. Raises ValueError. The space around names and values is taken off."""
    tags: dict[str, bytes] = {}
    specs = value.split(b";")
    if not specs[-1].strip():
        specs.pop()
    for spec in specs:
        name, equals, content = spec.partition(b"=")
        name = name.strip()
        if not equals or not _TAG_NAME.fullmatch(name):
            raise ValueError("the field is not a list of tag=value")
        tag = name.decode("ascii")
        if tag in tags:
            raise ValueError(f"the tag {tag}= is there twice")
        tags[tag] = content.strip()
    return tags


def without_space(value: bytes) -> bytes:
    """Take out the folds and spaces that a value may hold anywhere, such as base64."""
    return _FWS.sub(b"", value)


def split_list(value: bytes) -> list[bytes]:
    """Give the parts of a value such as h= and t=, without the space around them."""
    return [item.strip() for item in value.split(b":")]
