"""The Authentication-Results field (RFC 8601): write ours, and find those that only claim to be ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mailgw.mail.address import AddressError, ascii_domain
from mailgw.mail.evidence import AuthResult
from mailgw.mail.message import Message

WIDTH = 76  # leaves room for the semicolon below 78 (RFC 5322 2.1.1)
MAX_VALUE = 320  # an address, with some of its characters escaped
# RFC 2045 5.1 token, and what RFC 8601 2.2 also lets stand without quotes: local-part@domain-name, @domain-name.
_TOKEN = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+"
_ATOMS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+)*"
_BARE = re.compile(rf"{_TOKEN}|(?:{_ATOMS})?@[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_NO_KEYWORD = re.compile(r"[^A-Za-z0-9.-]")
_UNSAFE = re.compile(r"[^ -~]")
# RFC 5322 3.2.2: what may stand in a comment.
_NO_CTEXT = re.compile(r"[^!-'*-\[\]-~ ]")
# RFC 5322 2.2 and 4.5.3: a field's name, and space before the colon. Any CR or LF may end a line for someone who reads
# the message later, so any may begin a field.
_FIELD = re.compile(rb"(?:\A|(?<=[\r\n]))Authentication-Results[ \t]*:", re.I)
_LINE_END = re.compile(rb"\r\n|\r|\n")
_WORD = re.compile(r" *[^ ]+")

_COMMENT_PART = re.compile(r"[()]|\\.", re.S)
_QUOTED_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.S)
_TEXT = re.compile(r'[^("; \t\r\n]+')
_SPACE = re.compile(r"[ \t\r\n]+")
MAX_COMMENT_PARTS = 1000
MAX_PARTS = 100


def authentication_results(authserv_id: str, results: Sequence[AuthResult]) -> bytes:
    """Give the whole field with its line ends: a line for each result, folded below 78 columns where values allow.

    Values are quoted where they must be; what no field may hold becomes `?`, so that no value can end the field or
    add to it.
    """
    name = authserv_id if authserv_id.isascii() else _comparable(authserv_id)
    lines = [f"Authentication-Results: {_value(name)}"]
    lines += [_result(result) for result in results] or [" none"]
    return (";\r\n".join(lines) + "\r\n").encode("ascii")


def _result(result: AuthResult) -> str:
    """Give one result, folded. A quoted reason may be folded at its spaces (RFC 5322 3.2.4), other values never."""
    words = [f" {_keyword(result.method)}={_keyword(result.result)}"]
    if result.comment:
        words.append(f" ({_NO_CTEXT.sub('?', result.comment[:MAX_VALUE])})")
    if result.reason:
        words += _WORD.findall(f" reason={_quoted(result.reason)}")
    words += [f" {_keyword(name)}={_value(value)}" for name, value in result.properties]
    text, width = words[0], len(words[0])
    for word in words[1:]:
        if width + len(word) > WIDTH:
            text, width = text + "\r\n", 0
        text, width = text + word, width + len(word)
    return text


def _keyword(text: str) -> str:
    return _NO_KEYWORD.sub("", text)[:64]


def _value(text: str) -> str:
    return text if len(text) <= MAX_VALUE and _BARE.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    safe = _UNSAFE.sub("?", text[:MAX_VALUE])
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


def forged(message: Message, authserv_id: str) -> tuple[tuple[int, int], ...]:
    """Give the offsets in the head of each Authentication-Results field that claims our id (RFC 8601 5).

    They are for `Message.cuts`. A field that cannot be read is cut when our id stands anywhere in it, and one whose id
    is in more pieces than anybody honest writes is cut unread.
    """
    ours = _comparable(authserv_id)
    cuts = []
    for start, value, end in _fields(message.head):
        text = value.decode("utf-8", "replace")
        claims = _claims(text)
        if claims is None or (ours in claims if claims else ours in text.lower()):
            cuts.append((start, end))
    return tuple(cuts)


def _fields(head: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Give the start, the unfolded value and the end of each Authentication-Results field."""
    if b"authentication-results" not in head.lower():
        return
    position = 0
    while found := _FIELD.search(head, position):
        position = len(head)
        for line_end in _LINE_END.finditer(head, found.end()):
            if head[line_end.end() : line_end.end() + 1] not in (b" ", b"\t"):
                position = line_end.end()
                break
        yield found.start(), _LINE_END.sub(b"", head[found.end() : position]), position


def _claims(text: str) -> set[str] | None:
    """Give the ids that the field may be read to claim, in comparable form; none when it cannot be read, and None when
    there are too many pieces to read them.

    RFC 8601 2.2: an id with comments and space around it, then maybe a version, then a semicolon. A reader with less
    care may join what stands around a space or a comment.
    """
    words: list[str] = []
    position = parts = 0
    while (position := _behind_space(text, position)) < len(text) and text[position] != ";":
        parts += 1
        if parts > MAX_PARTS:
            return None
        if text[position] == "(":
            position = _behind_comment(text, position)
            if position < 0:
                return set()
        elif text[position] == '"':
            quoted = _QUOTED_STRING.match(text, position)
            if not quoted:
                return set()
            words.append(re.sub(r"\\(.)", r"\1", quoted.group(1), flags=re.S))
            position = quoted.end()
        elif plain := _TEXT.match(text, position):
            words.append(plain.group())
            position = plain.end()
    if not words or ")" in "".join(words):
        return set()
    candidates = [words[0], words[0].partition("/")[0], "".join(words), "".join(words[:-1])]
    return {_comparable(candidate) for candidate in candidates}


def _behind_space(text: str, start: int) -> int:
    space = _SPACE.match(text, start)
    return space.end() if space else start


def _behind_comment(text: str, start: int) -> int:
    """Give the offset behind a comment, which may hold comments (RFC 5322 3.2.2); -1 when it does not end."""
    depth = 0
    for n, part in enumerate(_COMMENT_PART.finditer(text, start)):
        if n > MAX_COMMENT_PARTS:
            return -1
        if part.group() in "()":
            depth += 1 if part.group() == "(" else -1
            if not depth:
                return part.end()
    return -1


def _comparable(authserv_id: str) -> str:
    text = authserv_id.strip().rstrip(".").lower()
    try:
        return ascii_domain(text)
    except AddressError:
        return text
