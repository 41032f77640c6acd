"""Rspamd's protocol: a message by HTTP POST to /checkv2, its judgement as JSON (rspamd.com: Rspamd protocol)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import h11

from mailgw.engines.errors import Broken, Declined, quote
from mailgw.engines.facts import Facts, clean
from mailgw.engines.foreign import Judgement, finite

_MAX_HEAD = 16 * 1024
_MAX_BODY = 1024 * 1024
_MAX_SYMBOLS = 2000


class Exchange:
    """One request and its response, without I/O; then `judgement` holds what was said."""

    def __init__(self) -> None:
        self.judgement = Judgement(0.0)
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._status = 0
        self._body = b""

    def request(self, facts: Facts, size: int) -> bytes:
        """Give the head of the request for a message of `size` octets; the message follows as it is."""
        headers = [("Host", "rspamd"), ("Connection", "close"), ("Content-Length", str(size)), *_headers(facts)]
        encoded = [(name.encode("ascii"), value.strip().encode()) for name, value in headers if value.strip()]
        head = self._http.send(h11.Request(method="POST", target="/checkv2", headers=encoded))
        assert head is not None
        return head

    def feed(self, data: bytes) -> bool:
        """Raises Broken for what is no response of Rspamd's, Declined for an error that it reports."""
        try:
            self._http.receive_data(data)
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Response):
                    self._status = event.status_code
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > _MAX_BODY:
                        raise Broken(f"its answer has more than {_MAX_BODY} octets")
                elif isinstance(event, h11.EndOfMessage):
                    self.judgement = _judgement(self._status, self._body)
                    return True
                elif isinstance(event, h11.ConnectionClosed):
                    raise Broken("it closed the connection without an answer")
                elif not isinstance(event, h11.InformationalResponse):
                    return False  # NEED_DATA
        except h11.RemoteProtocolError as error:
            raise Broken(f"its answer is no HTTP: {error}") from None


def _headers(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "IP", facts.address
    yield "Hostname", facts.name or "unknown"  # what Rspamd takes for a client without a name
    yield "Helo", facts.helo
    yield "From", f"<{facts.reverse_path}>"
    for recipient in facts.recipients:
        yield "Rcpt", f"<{recipient}>"
    yield "Queue-Id", facts.queue_id
    yield "User", facts.user
    yield "MTA-Name", facts.hostname
    version, _, cipher = facts.tls.partition(" ")
    yield "TLS-Version", version
    yield "TLS-Cipher", cipher


def _judgement(status: int, body: bytes) -> Judgement:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if status != 200:
        reason = answer.get("error", "") if isinstance(answer, dict) else ""
        raise Declined(f"it answers HTTP {status}: {quote(str(reason).encode() or body)}")
    if not isinstance(answer, dict) or "score" not in answer:
        raise Broken(f"its answer is no judgement: {quote(body)}")
    return Judgement(
        finite(answer["score"]),
        finite(answer.get("required_score", 0.0)),
        clean(str(answer.get("action", "")))[:40],
        clean(_message(answer.get("messages")))[:200],
        tuple(_symbols(answer.get("symbols"))),
        answer.get("is_skipped") is True and answer.get("action") == "no action",
    )


def _message(messages: Any) -> str:
    return str(messages.get("smtp_message", "")) if isinstance(messages, dict) else ""


def _symbols(symbols: Any) -> Iterator[tuple[str, float]]:
    if isinstance(symbols, dict):
        for name, symbol in list(symbols.items())[:_MAX_SYMBOLS]:
            if isinstance(symbol, dict):
                yield clean(str(name))[:100], finite(symbol.get("score", 0.0))
