"""The mail transaction: the one object that travels from MAIL to the 250."""

from __future__ import annotations

from typing import Any, Literal

from attrs import define, field, frozen

from mailgw.mail.dmarc import DmarcEvaluation
from mailgw.mail.envelope import Envelope
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.message import Message

Service = Literal["mx", "submission", "lmtp"]
SignalKind = Literal["early_talker", "pipelining"]


@frozen
class Signal:
    """Something in a client's manners that only its session sees; `detail` is for people."""

    kind: SignalKind
    detail: str


@frozen
class Client:
    """Who is at the other end of the session, as far as is known now. A new fact makes a new Client (`evolve`)."""

    session_id: str
    service: Service
    address: str
    """The client's IP address as text."""
    port: int = 0
    local: str = ""
    """Our address and port, as text."""
    helo: str = ""
    esmtp: bool = False
    tls: str = ""
    """Protocol and cipher once TLS is up (`TLSv1.3 TLS_AES_256_GCM_SHA384`), else empty."""
    identity: str = ""
    """The authenticated user, else empty."""
    signals: tuple[Signal, ...] = ()
    """At most one of each kind."""


@define
class Transaction:
    """One transaction. Its lists only grow; its message is there from the end of data on.

    `additions` are whole header fields, with their line ends, that are put before the message when it is accepted.
    """

    id: str
    client: Client
    envelope: Envelope
    message: Message | None = None
    auth: list[AuthResult] = field(factory=list)
    evidence: list[Evidence] = field(factory=list)
    dmarc: list[DmarcEvaluation] = field(factory=list)
    additions: list[bytes] = field(factory=list)
    work: dict[Any, Any] = field(factory=dict, eq=False, repr=False)
    """What filters know of the message and share while they run, by the class of it (`filters.anatomy`). Never kept."""
