"""The ports, and what stands behind them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from mailgw.composition.etc import Etc
from mailgw.composition.outbound import Outbound
from mailgw.config.endpoints import parse_address
from mailgw.config.schema import Listener, Settings
from mailgw.mail.identifiers import new_id
from mailgw.operation import tls
from mailgw.operation.service import Binding, Part
from mailgw.operation.threads import Pool
from mailgw.operation.workers import Place
from mailgw.reception.acceptance import Acceptance, Observer, Recorder
from mailgw.reception.copies import Copies, TraceSettings
from mailgw.reception.credentials import UserFile
from mailgw.reception.guard import Guard
from mailgw.reception.history import MemoryHistory
from mailgw.reception.intake import IntakeSettings
from mailgw.reception.listener import ListenerFactory
from mailgw.reception.networks import Networks
from mailgw.reception.rates import Rates
from mailgw.reception.sender_policy import SenderPolicy
from mailgw.reception.session import SessionSettings
from mailgw.reception.sessions import Sessions
from mailgw.routing.interface import Router
from mailgw.routing.listing import RecipientCommands
from mailgw.routing.returns import ReturningRouter
from mailgw.verdict.judge import Judge


@frozen
class Inbound:
    """The ports to bind, the sessions behind them, and the parts to start before they open."""

    bindings: tuple[Binding, ...]
    sessions: Sessions
    copies: Copies
    senders: SenderPolicy
    parts: tuple[Part, ...]

    def become(self, settings: Settings, router: Router) -> None:
        """Take what a reload takes."""
        self.copies.trace = trace_settings(settings)
        self.senders.become(_sender_policy(settings, router))


def make_inbound(
    etc: Etc,
    judge: Judge,
    outbound: Outbound,
    reactor: Any,
    cpu: Pool,
    entropy: random.Random,
    place: Place,
    observers: Sequence[Observer] = (),
    recorder: Recorder | None = None,
) -> Inbound:
    """Put it together; `observers` are told of each verdict. Raises TlsError."""
    settings = etc.settings
    sessions = Sessions(reactor, settings.timeouts.command_under_load)
    make_id = _Ids(reactor, entropy)
    guard = Guard(
        settings.limits, Rates(settings.rates), Networks(settings.own_networks), MemoryHistory(reactor), reactor
    )
    senders = _sender_policy(settings, etc.router)
    copies = Copies(trace_settings(settings), settings.queue, settings.quarantine, senders)
    intake = _intake(etc, judge, outbound, copies, senders, reactor, guard, make_id, observers, recorder)
    authenticator = UserFile(settings.routing.users_file, cpu, reactor)
    make_tls = tls.server_engines(settings.tls, place.read)

    def bindings_of(name: str, listener: Listener) -> list[Binding]:
        session = SessionSettings(
            settings.hostname,
            settings.limits,
            settings.timeouts,
            make_tls if listener.tls != "none" else None,
            listener.tls == "implicit",
            authenticator,
            guard,
            listener.greeting_delay,
            "PIPELINING" not in listener.without,
        )
        factory = ListenerFactory(listener, session, intake, sessions, reactor, make_id)
        return [Binding(name, *parse_address(text), factory) for text in listener.addresses]

    recipients = RecipientCommands(settings, etc.lists, reactor, cpu)
    return Inbound(
        tuple(binding for item in settings.listeners.items() for binding in bindings_of(*item)),
        sessions,
        copies,
        senders,
        (
            Part("users and aliases", etc.router.start, etc.router.stop),
            Part("recipients", recipients.start, recipients.stop),
        ),
    )


def _intake(
    etc: Etc,
    judge: Judge,
    outbound: Outbound,
    copies: Copies,
    senders: SenderPolicy,
    reactor: Any,
    guard: Guard,
    make_id: Callable[[], str],
    observers: Sequence[Observer],
    recorder: Recorder | None,
) -> IntakeSettings:
    settings = etc.settings
    return IntakeSettings(
        router=ReturningRouter(etc.router, outbound.srs),
        store=outbound.store,
        judge=judge,
        acceptance=Acceptance(
            judge,
            outbound.store,
            outbound.scheduler.offer,
            copies,
            settings.limits,
            guard,
            reactor,
            make_id,
            observers,
            recorder,
            outbound.notices.about,
        ),
        limits=settings.limits,
        timeouts=settings.timeouts,
        new_id=make_id,
        postmaster_domain=next(iter(settings.domains), settings.hostname),
        verifier=outbound.verifier,
        guard=guard,
        senders=senders,
    )


def _sender_policy(settings: Settings, router: Router) -> SenderPolicy:
    """Say who may write under which address."""
    return SenderPolicy.of(settings.submission, router, settings.routing.separators)


def trace_settings(settings: Settings) -> TraceSettings:
    """Say what is written into messages."""
    trace = settings.trace
    return TraceSettings(
        settings.hostname,
        trace.authserv_id or settings.hostname,
        trace.spam_fields,
        trace.hide_client_address,
        trace.received_spf,
    )


class _Ids:
    """Makes session and transaction ids."""

    def __init__(self, clock: IReactorTime, entropy: random.Random) -> None:
        self._clock = clock
        self._entropy = entropy

    def __call__(self) -> str:
        return new_id(self._clock.seconds(), self._entropy.randbytes(5))
