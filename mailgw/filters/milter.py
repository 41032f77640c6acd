"""Milters: other people's filters, as a client of their protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mailgw.config.schema.setting import setting
from mailgw.config.text import quote_key
from mailgw.engines.address import Address
from mailgw.engines.connection import Connection
from mailgw.engines.content import Pieces
from mailgw.engines.engine import Engine
from mailgw.engines.facts import Facts
from mailgw.engines.milter import Told, make_field, tell
from mailgw.engines.milter_wire import CHUNK, NO_ACTIONS, Actions
from mailgw.filters.base import FilterSettings, Undecided
from mailgw.filters.engine_settings import CONNECT_TIMEOUT, FAILURES, PAUSE, address_findings
from mailgw.filters.text import show
from mailgw.filters.waiting import TimeLimit, limited
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Message
from mailgw.mail.reply import TemporaryFailure
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import Threads

# What is always on offer: a quarantine becomes evidence, and the macros that a milter wants are sent.
_ALWAYS = Actions.QUARANTINE | Actions.SET_MACROS
_OFFERS: Mapping[str, Actions] = {
    "add_header": Actions.ADD_HEADER,
    "change_header": Actions.CHANGE_HEADER,
    "change_body": Actions.CHANGE_BODY,
    "change_sender": Actions.CHANGE_SENDER,
    "change_recipients": (Actions.ADD_RECIPIENT | Actions.DELETE_RECIPIENT | Actions.ADD_RECIPIENT_WITH_PARAMETERS),
}
_SYMBOLS: Mapping[str, str] = {"reject": "MILTER_REJECT", "tempfail": "MILTER_TEMPFAIL", "discard": "MILTER_DISCARD"}
_WORDS: Mapping[str, str] = {"reject": "rejects", "tempfail": "fails for now", "discard": "discards"}


@frozen
class MilterServer:
    """A milter. Its name stands in evidence and log."""

    address: str = setting("`unix:/PATH` or `HOST:PORT`.", "")
    time_limit: float = setting("Seconds until it is given up.", 20.0)
    reply_time: float = setting("Seconds for each of its replies; SMFIR_PROGRESS gives it as many again.", 10.0)
    on_error: Literal["ignore", "defer"] = setting(
        "When it is down or takes too long: `ignore` states MILTER_ERROR, `defer` answers 451.", "ignore"
    )
    headers: bool = setting(
        "Fields that it adds are put before the message (a signature, the results of its checks). Their place is above"
        " all that was received, whatever it asks for.",
        False,
    )
    pretend: tuple[Literal["add_header", "change_header", "change_body", "change_sender", "change_recipients"], ...] = (
        setting(
            "Changes of the message that it is offered because it refuses to work without. None of them is done; each"
            " that it asks for is logged.",
            (),
        )
    )
    connect_timeout: float = setting(CONNECT_TIMEOUT, 3.0)
    failures: int = setting(FAILURES, 3)
    pause: float = setting(PAUSE, 30.0)


@frozen
class MilterSettings(FilterSettings):
    enabled: bool = setting("Whether the filter runs.", False)
    time_limit: float = setting("Seconds for all milters, which run at the same time; more than each has.", 30.0)
    servers: Mapping[str, MilterServer] = setting(
        "The milters by name.", {}, shown={"opendkim": MilterServer("unix:/run/opendkim/opendkim.sock")}
    )

    def findings(self) -> Iterator[tuple[str, str]]:
        if self.enabled and not self.servers:
            yield "servers", "no milter; write [filters.milter.servers.NAME] with its address"
        for name, server in self.servers.items():
            key = f"servers.{quote_key(name)}.address"
            if not server.address:
                yield key, 'not set; write "unix:/PATH" or "HOST:PORT"'
            else:
                yield from address_findings(key, server.address)
            if server.time_limit >= self.time_limit:
                yield f"servers.{quote_key(name)}.time_limit", f"is not below that of all, {self.time_limit:g}"


class Milter:
    """Tells each milter of [filters.milter.servers] the message after DATA, all at once, and states what they decide.
    None of it happens for that alone: `MILTER_REJECT = "reject"` and `MILTER_TEMPFAIL = "defer"` under [rules] make it
    so. Of the changes that milters ask for, only added fields are done, with `headers = true`."""

    name: ClassVar[str] = "milter"
    symbols: ClassVar[Mapping[str, float]] = {
        "MILTER_REJECT": 5.5,
        "MILTER_TEMPFAIL": 0.0,
        "MILTER_DISCARD": 5.5,
        "MILTER_QUARANTINE": 5.5,
        "MILTER_RECIPIENT_REFUSED": 0.0,
        "MILTER_ERROR": 0.0,
    }
    log: ClassVar[Logger] = Logger()

    def __init__(self, settings: MilterSettings, reactor: Any, threads: Threads, hostname: str) -> None:
        """`hostname` is ours, as milters are told it in the macro `j`."""
        self.settings = settings
        self._clock = reactor
        self._threads = threads
        self._hostname = hostname
        self._servers = {
            name: (server, _make_engine(name, server, reactor)) for name, server in settings.servers.items()
        }

    async def check(self, transaction: Transaction) -> list[Evidence]:
        message = transaction.message
        if message is None:
            return []
        facts = Facts.of(transaction, self._hostname)
        asked = {
            name: limited(
                Deferred.fromCoroutine(self._ask(server, engine, message, facts)), server.time_limit, self._clock
            )
            for name, (server, engine) in self._servers.items()
        }
        evidence: list[Evidence] = []
        undecided = []
        try:
            for name, deferred in asked.items():
                try:
                    told = await deferred
                except (TemporaryFailure, TimeLimit) as error:
                    server = self.settings.servers[name]
                    late = f"not done within {server.time_limit:g} s"
                    cause = f"{name}: {error.cause if isinstance(error, TemporaryFailure) else late}"
                    evidence.append(Evidence("MILTER_ERROR", cause))
                    if server.on_error == "defer":
                        undecided.append(cause)
                else:
                    evidence += _evidence(name, told)
                    self._change(name, told, transaction)
        except BaseException:
            for deferred in asked.values():
                deferred.addErrback(lambda _: None)  # whoever waited has given up
                deferred.cancel()
            raise
        if undecided:
            raise Undecided("; ".join(undecided), evidence)
        return evidence

    async def _ask(self, server: MilterServer, engine: Engine, message: Message, facts: Facts) -> Told:
        actions = _ALWAYS | (Actions.ADD_HEADER if server.headers else NO_ACTIONS)
        for name in server.pretend:
            actions |= _OFFERS[name]

        async def dialogue(connection: Connection) -> Told:
            connection.patience = server.reply_time
            body = Pieces(message, self._threads, start=len(message.head), size=CHUNK)
            return await tell(connection, message, body, facts, actions)

        return await engine.ask(dialogue)

    def _change(self, name: str, told: Told, transaction: Transaction) -> None:
        """Take the fields that a milter may add; log what it wants and does not get."""
        refused = list(told.not_done)
        for field, value in told.added:
            raw = make_field(field, value) if self.settings.servers[name].headers else None
            if raw is None:
                refused.append(f"add the field {show(field)}")
            else:
                transaction.additions.append(raw)
        for change in refused:
            self.log.info(
                "milter {milter} wants to {change}: not done",
                event="milter_change_refused",
                milter=name,
                change=change,
                transaction=transaction.id,
                session=transaction.client.session_id,
            )


def _make_engine(name: str, server: MilterServer, reactor: Any) -> Engine:
    return Engine(
        f"milter {name}",
        [Address.parse(server.address)],
        reactor,
        time_limit=server.time_limit,
        connect_timeout=server.connect_timeout,
        failures=server.failures,
        pause=server.pause,
    )


def _evidence(name: str, told: Told) -> Iterator[Evidence]:
    symbol = _SYMBOLS.get(told.decision)
    if symbol:
        text = f": {told.text}" if told.text else ""
        yield Evidence(symbol, f"{name} {_WORDS[told.decision]}{text}")
    if told.quarantine:
        yield Evidence("MILTER_QUARANTINE", f"{name}: {told.quarantine}")
    for recipient, text in told.refused_recipients[:20]:
        yield Evidence("MILTER_RECIPIENT_REFUSED", f"{name} refuses {recipient}: {text}")
