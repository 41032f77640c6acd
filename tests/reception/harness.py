"""A session on a transport in memory, with a router, a judge and a store that tests can steer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from mailgw.config.schema import DEFAULT_RATES, Limits, Listener, Quarantine, Queue, Rate, Submission, Timeouts
from mailgw.mail.address import Mailbox
from mailgw.mail.transaction import Client, Transaction
from mailgw.mail.verdict import Verdict
from mailgw.queue.item import Destination
from mailgw.queue.memory import MemoryStore
from mailgw.queue.store import Entry
from mailgw.reception.acceptance import Acceptance
from mailgw.reception.copies import Copies, TraceSettings
from mailgw.reception.guard import Guard
from mailgw.reception.history import MemoryHistory
from mailgw.reception.intake import IntakeSettings
from mailgw.reception.listener import ListenerFactory
from mailgw.reception.networks import Networks
from mailgw.reception.rates import Rates
from mailgw.reception.sender_policy import SenderPolicy
from mailgw.reception.session import SessionSettings
from mailgw.reception.sessions import Sessions
from mailgw.routing.interface import REPORT, Origin, Routed, Target, Unknown, Verification
from mailgw.verdict.judgement import Judged
from mailgw.verdict.policy import Policy

# Tests of something else are not to run into a rate.
NO_RATES = {name: evolve(rate, limit=0) for name, rate in DEFAULT_RATES.items()}
INBOX = Verdict("inbox", 0.0, (), "nothing against it")


class FakeRouter:
    """`known` at ours.example are mailboxes; who is at routed.example the next hop knows, nobody yet at
    listed.example; every other domain is outside."""

    known = ("alice", "bob", "postmaster")

    def is_ours(self, domain: str) -> bool:
        return domain in ("ours.example", "routed.example", "listed.example")

    def resolve(self, mailbox: Mailbox, origin: Origin = REPORT) -> Routed | Unknown:
        if not self.is_ours(mailbox.domain):
            return Routed((Target(mailbox, Destination("relay", f"mx:{mailbox.domain}")),), ours=False)
        if mailbox.domain != "ours.example":
            target = Target(mailbox, Destination("relay", "route:store"))
            return Routed(
                (target,), ours=True, undecided="list" if mailbox.domain == "listed.example" else "call_ahead"
            )
        if mailbox.local_part not in self.known:
            return Unknown("no such mailbox")
        return Routed((Target(mailbox, Destination("maildir", str(mailbox))),), ours=True)


class FakeJudge:
    """Gives `verdict`, or `verdicts` by the number of the recipient, or waits for `pending`, or raises `error`; keeps
    what it was asked about."""

    def __init__(self) -> None:
        self.verdict = INBOX
        self.verdicts: dict[int, Verdict] = {}
        self.pending: Deferred[None] | None = None
        self.error: Exception | None = None
        self.transactions: list[Transaction] = []
        self.begun: list[Mailbox | None] = []

    def begin(self, client: Client, reverse_path: Mailbox | None) -> None:
        self.begun.append(reverse_path)

    async def judge(self, transaction: Transaction, early: object, owners: object) -> Sequence[Judged]:
        self.transactions.append(transaction)
        if self.pending is not None:
            await self.pending
        if self.error is not None:
            raise self.error
        recipients = range(len(transaction.envelope.recipients))
        verdicts = self.verdicts or dict.fromkeys(recipients, self.verdict)
        return [
            Judged(verdict, tuple(n for n in recipients if verdicts[n] is verdict), Policy({}))
            for verdict in {id(verdict): verdict for verdict in verdicts.values()}.values()
        ]


class FakeVerifier:
    """Says `verification` of everybody, or waits for `pending`; keeps whom it was asked about."""

    def __init__(self) -> None:
        self.verification = Verification(True)
        self.pending: Deferred[None] | None = None
        self.asked: list[Mailbox] = []

    async def verify(self, target: Target) -> Verification:
        self.asked.append(target.mailbox)
        if self.pending is not None:
            await self.pending
        return self.verification


class FakeAuthenticator:
    def __init__(self) -> None:
        self.error: Exception | None = None

    async def verify(self, username: str, password: str) -> str | None:
        if self.error is not None:
            raise self.error
        return "alice@ours.example" if (username, password) == ("alice", "secret") else None


class Transport(StringTransportWithDisconnection):
    """A transport that knows how TCP ones are closed."""

    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()

    def finish_handshake(self) -> None:
        link: Any = self.protocol
        assert link._tls is not None, "nobody began a TLS handshake"
        link._tls.established = True
        link.dataReceived(b"")


class FakeTls:
    """TLS whose handshake ends when the test says so, and which encrypts nothing."""

    version = "TLSv1.3 TLS_AES_256_GCM_SHA384"

    def __init__(self) -> None:
        self.established = False
        self.lost = ""
        self._out = b""

    def receive(self, data: bytes) -> bytes:
        return data if self.established else b""

    def send(self, data: bytes) -> None:
        assert self.established
        self._out += data

    def close(self) -> None:
        pass

    def output(self) -> bytes:
        out, self._out = self._out, b""
        return out


class Server:
    """One listener with everything behind it in memory. `connect` gives a peer."""

    def __init__(
        self,
        *,
        kind: str = "mx",
        tls: str = "none",
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        store: MemoryStore | None = None,
        rates: Mapping[str, Rate] = NO_RATES,
        own_networks: Sequence[str] = (),
        submission: Submission | None = None,
        **listener: Any,
    ) -> None:
        """`listener` has more keys of its section."""
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.judge = FakeJudge()
        self.authenticator = FakeAuthenticator()
        self.verifier = FakeVerifier()
        self.store = store or MemoryStore()
        self.offered: list[Entry] = []
        self.tls: list[FakeTls] = []
        """Of each connection that began it."""
        self.recorder: list[Any] = []
        self.told: list[tuple[Transaction, Verdict]] = []
        limits = limits or Limits()
        timeouts = timeouts or Timeouts()
        self.sessions = Sessions(self.clock, timeouts.command_under_load)
        self._ids = iter(range(10**6))
        self.guard = Guard(limits, Rates(rates), Networks(own_networks), MemoryHistory(self.clock), self.clock)
        senders = SenderPolicy.of(submission or Submission(), FakeRouter())
        acceptance = Acceptance(
            self.judge,  # type: ignore[arg-type]
            self.store,
            self.offered.append,
            Copies(TraceSettings("mx.ours.example", "mx.ours.example", True), Queue(), Quarantine(), senders),
            limits,
            self.guard,
            self.clock,
            self.new_id,
            (lambda *told: self.observe(*told),),
            self,
        )
        intake_settings = IntakeSettings(
            router=FakeRouter(),
            store=self.store,
            judge=self.judge,  # type: ignore[arg-type]
            acceptance=acceptance,
            limits=limits,
            timeouts=timeouts,
            new_id=self.new_id,
            postmaster_domain="ours.example",
            verifier=self.verifier,
            guard=self.guard,
            senders=senders,
        )
        section = Listener(kind=kind, tls=tls, **listener)  # type: ignore[arg-type]
        session_settings = SessionSettings(
            "mx.ours.example",
            limits,
            timeouts,
            None if tls == "none" else self._make_tls,
            tls == "implicit",
            self.authenticator,
            self.guard,
            section.greeting_delay,
        )
        self.factory = ListenerFactory(
            section,
            session_settings,
            intake_settings,
            self.sessions,
            self.clock,
            self.new_id,
        )

    def _make_tls(self) -> FakeTls:
        self.tls.append(FakeTls())
        return self.tls[-1]

    def observe(self, transaction: Transaction, verdict: Verdict) -> None:
        self.told.append((transaction, verdict))

    def record(self, *told: Any) -> None:
        for recorder in self.recorder:
            recorder(*told)

    def new_id(self) -> str:
        return f"ID{next(self._ids):04d}"

    def connect(self, address: str = "192.0.2.1") -> Peer:
        return Peer(self, address)


class Peer:
    """A client: `say` sends bytes and gives the replies that came back."""

    def __init__(self, server: Server, address: str) -> None:
        peer = IPv4Address("TCP", address, 40000)
        self.transport = Transport(hostAddress=IPv4Address("TCP", "127.0.0.1", 25), peerAddress=peer)
        self.transport.protocol = server.factory.buildProtocol(peer)
        self.transport.protocol.makeConnection(self.transport)
        self.greeting = self.replies()

    @property
    def link(self) -> Any:
        """What the bytes go to: behind a PROXY header that is the link."""
        return self.transport.protocol

    def replies(self) -> str:
        data = self.transport.value().decode()
        self.transport.clear()
        return data

    def say(self, *lines: str) -> str:
        """Send lines in one segment; give what was answered by now."""
        return self.send("".join(line + "\r\n" for line in lines).encode())

    def send(self, data: bytes) -> str:
        """Send bytes in one segment; give what was answered by now."""
        self.link.dataReceived(data)
        return self.replies()

    @property
    def closed(self) -> bool:
        return not self.transport.connected

    def deliver(self, message: str = "Subject: x\r\n\r\nbody", recipient: str = "alice@ours.example") -> str:
        """Send a message in one transaction; give the reply to the final dot."""
        self.say("EHLO client.example", "MAIL FROM:<a@b.example>", f"RCPT TO:<{recipient}>", "DATA")
        return self.say(*message.split("\r\n"), ".")


def codes(replies: str) -> list[str]:
    """The codes of the replies, one for each."""
    return [line[:3] for line in replies.splitlines() if line[3:4] == " "]
