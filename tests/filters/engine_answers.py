"""What engines answer in the evidence files, in a few words, as bytes of their protocols."""

from __future__ import annotations

import json

from mailgw.engines.milter_wire import Options, encode
from tests.engines.test_readers import ANSWER, response

# The numbers of libmilter's mfdef.h: SMFIP_NOCONNECT to SMFIP_NOEOH and SMFIP_NOUNKNOWN, so that it hears the end only.
_NOTHING = 0x7F | 0x200
_NO_RCPT = 0x08
_QUARANTINE = 0x20


def answer(name: str, words: str) -> bytes:
    """Give the bytes; nothing for an engine that is not to be asked."""
    return {"clamav": _clamav, "rspamd": _rspamd, "spamassassin": _spamassassin, "milter": _milter}[name](words)


def _clamav(words: str) -> bytes:
    return f"stream: {words}\0".encode()


def _rspamd(words: str) -> bytes:
    score, _, action = words.partition(" ")
    return response(json.dumps({**ANSWER, "score": float(score), "action": action, "messages": {}}).encode())


def _spamassassin(words: str) -> bytes:
    body = b"Spam detection software\n"
    verdict = "True" if float(words) >= 5 else "False"
    head = f"SPAMD/1.1 0 EX_OK\r\nContent-length: {len(body)}\r\nSpam: {verdict} ; {words} / 5.0\r\n\r\n"
    return head.encode() + body


def _milter(words: str) -> bytes:
    """`recipient LETTER` answers the first of two RCPT and lets the rest pass; else a letter for the end, and text."""
    letter, _, text = words.partition(" ")
    if letter == "recipient":
        options = Options(6, 0, _NOTHING & ~_NO_RCPT).encode()  # type: ignore[arg-type]
        return options + encode(text) + encode("c") * 2
    options = Options(6, _QUARANTINE, _NOTHING).encode()  # type: ignore[arg-type]
    reply = encode(letter, text.encode() + b"\0") if text else encode(letter)
    return options + reply + (encode("c") if letter == "q" else b"")
