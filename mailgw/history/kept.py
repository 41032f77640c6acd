"""What is kept of a message, and its form in the database: one packed JSON array of positions."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

import attrs
from attrs import frozen

from mailgw.config.schema import Thresholds
from mailgw.mail.address import Mailbox
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.reply import Reply
from mailgw.mail.transaction import Client
from mailgw.mail.verdict import Verdict, VerdictLine
from mailgw.verdict.judgement import Judged
from mailgw.verdict.policy import Policy

# A message may state many facts; more than these help nobody.
MAX_PIECES = 300
_LIMITS = tuple(field.name for field in attrs.fields(Thresholds))
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


@frozen
class KeptVerdict:
    """A verdict for some recipients, with what of the policy it rested on: thresholds, and origins of its keys.

    `id` is that of its message in the queue, empty where there was none. `answers` is evidence that held for these
    recipients alone.
    """

    id: str
    recipients: tuple[int, ...]
    verdict: Verdict
    policy: Policy
    answers: tuple[Evidence, ...] = ()
    owners: tuple[tuple[str, ...], ...] = ()
    """The addresses that each of the recipients went by; empty where these are those of the envelope."""


@frozen
class Facts:
    """All that is known of a message beside what is searched for."""

    client: Client
    recipients: tuple[str, ...]
    auth: tuple[AuthResult, ...]
    evidence: tuple[Evidence, ...]
    verdicts: tuple[KeptVerdict, ...]


def pack(
    client: Client,
    recipients: Sequence[str],
    auth: Sequence[AuthResult],
    evidence: Sequence[Evidence],
    results: Sequence[tuple[Judged, str]],
) -> bytes:
    """Give the bytes that `unpack` reads."""
    pieces = evidence[:MAX_PIECES]
    details = {(piece.symbol, piece.detail, piece.source): number for number, piece in enumerate(pieces)}
    values = (
        (client.session_id, client.service, client.address, client.port, client.helo, client.tls, client.identity),
        recipients,
        [(r.method, r.result, r.properties, r.reason, r.comment) for r in auth],
        [_piece(piece) for piece in pieces],
        [_verdict_values(judged, message_id, details) for judged, message_id in results],
    )
    return zlib.compress(_encode(values).encode(), 1)


def unpack(data: bytes) -> Facts:
    """Undo `pack`. Raises ValueError, TypeError, IndexError or zlib.error for what is none of ours."""
    client, recipients, auth, evidence, verdicts = json.loads(zlib.decompress(data))
    session, service, address, port, helo, tls, identity = client
    pieces = tuple(_evidence(piece) for piece in evidence)
    return Facts(
        Client(session, service, address, port, helo=helo, tls=tls, identity=identity),
        tuple(recipients),
        tuple(
            AuthResult(method, result, tuple((name, value) for name, value in properties), reason, comment)
            for method, result, properties, reason, comment in auth
        ),
        pieces,
        tuple(_verdict(values, pieces) for values in verdicts),
    )


def text_of(mailbox: Mailbox | None) -> str:
    return str(mailbox) if mailbox is not None else ""


def _piece(piece: Evidence) -> tuple[Any, ...]:
    values = (piece.symbol, piece.detail, piece.strength, piece.source)
    return (*values, piece.recipients) if piece.recipients else values


def _evidence(values: Sequence[Any]) -> Evidence:
    symbol, detail, strength, source, *concerned = values
    return Evidence(symbol, detail, strength, source, tuple(concerned[0]) if concerned else ())


def _verdict_values(judged: Judged, message_id: str, details: dict[tuple[str, str, str], int]) -> tuple[Any, ...]:
    verdict, reply, thresholds = judged.verdict, judged.verdict.reply, judged.policy.thresholds
    lines = []
    for line in verdict.lines[:MAX_PIECES]:
        known = details.get((line.symbol, line.detail, line.source))
        what = (line.symbol, line.detail, line.source) if known is None else known
        lines.append((what, line.weight, line.strength, line.points, line.total, line.rule))
    return (
        message_id,
        judged.recipients,
        verdict.action,
        verdict.score,
        verdict.reason,
        None if reply is None else (reply.code, reply.status, reply.lines),
        lines,
        [getattr(thresholds, name) for name in _LIMITS],
        dict(judged.policy.origins),
        [_piece(piece) for piece in judged.answers],
        _owners(judged),
    )


def _owners(judged: Judged) -> list[list[str]]:
    if all(len(set(owners)) < 2 for owners in judged.owners):
        return []
    return [[str(mailbox) for mailbox in owners] for owners in judged.owners]


def _verdict(values: Sequence[Any], pieces: Sequence[Evidence]) -> KeptVerdict:
    message_id, recipients, action, score, reason, reply, lines, limits, origins, answers, owners = values
    made = []
    for what, weight, strength, points, total, rule in lines:
        piece = pieces[what] if isinstance(what, int) else Evidence(what[0], what[1], source=what[2])
        made.append(VerdictLine(piece.symbol, piece.detail, piece.source, weight, strength, points, total, rule=rule))
    named: dict[str, Any] = dict(zip(_LIMITS, limits, strict=False))
    named["never_reject"] = tuple(named["never_reject"])
    return KeptVerdict(
        message_id,
        tuple(recipients),
        Verdict(
            action, score, tuple(made), reason, None if reply is None else Reply(reply[0], reply[1], tuple(reply[2]))
        ),
        Policy({}, Thresholds(**named), origins=origins),
        tuple(_evidence(piece) for piece in answers),
        tuple(tuple(addresses) for addresses in owners),
    )
