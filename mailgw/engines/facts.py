"""What every engine is told of a transaction beside the message."""

from __future__ import annotations

from attrs import frozen

from mailgw.mail.transaction import Transaction


@frozen
class Facts:
    """All as text without control characters: an engine's protocol has lines, and some clients say odd things."""

    queue_id: str
    hostname: str
    """Ours."""
    address: str
    port: int
    name: str
    """The name of the address that leads back to it, or empty: a name that does not may be a lie."""
    helo: str
    reverse_path: str
    """Without angle brackets; empty for the null reverse-path."""
    recipients: tuple[str, ...]
    user: str
    """Who is authenticated, else empty."""
    tls: str
    """Protocol and cipher, or empty."""
    protocol: str
    """How it came: SMTP, ESMTP, LMTP, with S for TLS and A for an authenticated user (RFC 3848)."""
    service: str

    @classmethod
    def of(cls, transaction: Transaction, hostname: str) -> Facts:
        client, envelope = transaction.client, transaction.envelope
        names = (a.comment for a in transaction.auth if a.method == "iprev" and a.result == "pass")
        base = "LMTP" if client.service == "lmtp" else "ESMTP" if client.esmtp else "SMTP"
        return cls(
            queue_id=transaction.id,
            hostname=hostname,
            address=client.address.partition("%")[0],
            port=client.port,
            name=clean(next(names, "")),
            helo=clean(client.helo),
            reverse_path=clean(str(envelope.reverse_path or "")),
            recipients=tuple(clean(str(r.forward_path)) for r in envelope.recipients),
            user=clean(client.identity),
            tls=clean(client.tls),
            protocol=base + ("S" if client.tls else "") + ("A" if client.identity else "") if base != "SMTP" else base,
            service=client.service,
        )


def clean(text: str) -> str:
    """Give the text on one line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
