"""From etc/ to a running gateway: what is read, and how the parts are put together.

`load` reads and checks everything, for the service and for the command line alike. `build` makes the service.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from mailgw.config.endpoints import parse_address
from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.load import load_filter_file, load_settings
from mailgw.config.schema import FilterFile, Settings
from mailgw.delivery.alias import AliasAgent
from mailgw.delivery.callahead import CallAhead
from mailgw.delivery.dsn import ReportWriter
from mailgw.delivery.maildir import MaildirAgent
from mailgw.delivery.relay import RelayAgent
from mailgw.delivery.sessions import Sessions as NextHopSessions
from mailgw.dns.interface import Resolver
from mailgw.dns.resolver import DnsResolver
from mailgw.filters import catalogue
from mailgw.filters.base import Filter
from mailgw.filters.runner import FilterRunner
from mailgw.mail.identifiers import new_id
from mailgw.operation import log, tls
from mailgw.operation.descriptors import Descriptors
from mailgw.operation.service import Binding, GatewayService, Part, run_as
from mailgw.operation.threads import Pool, Threads
from mailgw.queue.agent import DeliveryAgent
from mailgw.queue.scheduler import Scheduler
from mailgw.queue.sqlite import SqliteStore
from mailgw.reception.acceptance import Acceptance, TraceSettings
from mailgw.reception.credentials import UserFile
from mailgw.reception.guard import Guard
from mailgw.reception.history import MemoryHistory
from mailgw.reception.intake import IntakeSettings
from mailgw.reception.listener import ListenerFactory
from mailgw.reception.networks import Networks
from mailgw.reception.rates import Rates
from mailgw.reception.session import SessionSettings
from mailgw.reception.sessions import Sessions
from mailgw.routing.current import CurrentRouter, routing_files
from mailgw.routing.interface import RecipientVerifier
from mailgw.routing.listing import RecipientCommands, check_programs, make_lists
from mailgw.routing.load import load_router
from mailgw.routing.recipients import RecipientList
from mailgw.senderauth.authenticator import SYMBOLS, Authenticator
from mailgw.verdict.judge import Judge
from mailgw.verdict.policy import Policy

# Python work off the reactor: parsing of large messages, signatures, password hashes. More threads than cores would
# only wait for each other.
_CPU_THREADS = 2
# Deliveries to folders wait for the disk, not for the processor.
_DISK_THREADS = 8


@frozen
class Etc:
    """Everything that stands in etc/, checked."""

    path: Path
    settings: Settings
    filter_file: FilterFile
    filters: Sequence[Filter]
    weights: Mapping[str, float]
    """Of every symbol: the filters', the site's rules', sender authentication's, changed by [scores]."""
    router: CurrentRouter
    lists: Mapping[str, RecipientList]
    """Of domains with a recipients_command; empty until RecipientCommands fills them."""


def load(path: str | os.PathLike[str], clock: IReactorTime, threads: Threads) -> Etc:
    """Read mailgw.toml and every file that it names; make the filters, which use `clock` and `threads`.

    Raises ConfigurationErrors with all that is wrong in any of the files, but for what can't be looked for before
    mailgw.toml itself is right.
    """
    main = Path(path).absolute()
    settings = load_settings(main)
    errors: list[ConfigError] = []
    filter_file = FilterFile()
    filters: Sequence[Filter] = ()
    weights: Mapping[str, float] = {}
    router: CurrentRouter | None = None
    lists = make_lists(settings)
    errors += check_programs(settings, str(main))
    try:
        filter_file = load_filter_file(settings.filters_file)
        filters, weights = catalogue.build(
            filter_file, settings.filters_file, settings.rules_file, clock, threads, others=SYMBOLS
        )
    except ConfigurationErrors as found:
        errors += found.errors
    try:
        router = CurrentRouter(routing_files(settings), lambda: load_router(settings, str(main), lists), clock, threads)
    except ConfigurationErrors as found:
        errors += found.errors
    if errors or router is None:
        raise ConfigurationErrors(errors)
    return Etc(main, settings, filter_file, filters, weights, router, lists)


def make_judge(etc: Etc, resolver: Resolver, clock: IReactorTime, threads: Threads) -> Judge:
    """Make the judge: sender authentication, the filters, the policy."""
    return Judge(
        Authenticator(
            resolver,
            threads,
            etc.settings.hostname,
            clock,
            trusted_forwarders=etc.filter_file.dmarc.trusted_forwarders,
            trusted_sealers=etc.filter_file.dmarc.trusted_sealers,
        ),
        FilterRunner(etc.filters, clock),
        Policy(etc.weights, etc.filter_file.thresholds, etc.filter_file.rules),
        clock,
        etc.settings.timeouts.check,
    )


def make_resolver(etc: Etc, reactor: Any, entropy: random.Random) -> DnsResolver:
    """Make the resolver that the configuration asks for."""
    return DnsResolver(reactor, etc.settings.dns, entropy)


def build(path: str | os.PathLike[str], reactor: Any, entropy: random.Random, stream: TextIO | None) -> GatewayService:
    """Read the configuration and put the gateway together; nothing runs and nothing is bound yet.

    The log goes to `stream` where the configuration names no file; a daemon has no stream. Raises
    ConfigurationErrors, TlsError, StartError for a user that is not there, and OSError for a log that cannot be
    written.
    """
    cpu = Pool(reactor, "cpu", _CPU_THREADS)
    disk = Pool(reactor, "disk", _DISK_THREADS)
    etc = load(path, reactor, cpu)
    settings = etc.settings
    resolver = make_resolver(etc, reactor, entropy)
    store = SqliteStore(
        Path(settings.state_directory) / "queue",
        reactor,
        inline_size=settings.queue.inline_size,
        minimum_free=settings.queue.minimum_free,
        clock=reactor,
    )
    make_id = _Ids(reactor, entropy)
    maildir = MaildirAgent(settings.maildir, disk, settings.hostname, reactor)
    hops = NextHopSessions(reactor, resolver, settings.relay, settings.routes, settings.hostname, disk, entropy)
    relay = RelayAgent(hops, disk)
    verifier = CallAhead(hops, reactor, settings.timeouts.call_ahead)
    recipients = RecipientCommands(settings, etc.lists, reactor, cpu)
    reporter = ReportWriter(settings.hostname, etc.router, settings.queue, reactor, entropy)
    agents: dict[str, DeliveryAgent] = {"maildir": maildir, "relay": relay, "alias": AliasAgent()}
    scheduler = Scheduler(store, agents, reporter, reactor, entropy, settings.queue)
    sessions = Sessions(reactor, settings.timeouts.command_under_load)
    bindings = _bindings(
        etc, make_judge(etc, resolver, reactor, cpu), store, scheduler, sessions, reactor, cpu, make_id, verifier
    )
    parts = (
        Part("descriptors", Descriptors.of(settings).start, _nothing),
        Part("threads", cpu.start, cpu.stop),
        Part("disk threads", disk.start, disk.stop),
        Part("users and aliases", etc.router.start, etc.router.stop),
        Part("resolver", _nothing, resolver.stop),
        Part("queue", store.open, store.close),
        Part("recipients", recipients.start, recipients.stop),
        Part("folders", _nothing, maildir.close),
        Part("relay", _nothing, relay.close),
        Part("call-ahead", _nothing, verifier.stop),
        Part("scheduler", scheduler.start, lambda: scheduler.stop(settings.timeouts.shutdown)),
    )
    return GatewayService(
        reactor,
        bindings,
        parts,
        lambda: sessions.stop(settings.timeouts.shutdown),
        run_as(settings.user, settings.group),
        log.observer(settings.log, stream),
    )


def _bindings(
    etc: Etc,
    judge: Judge,
    store: SqliteStore,
    scheduler: Scheduler,
    sessions: Sessions,
    clock: IReactorTime,
    threads: Threads,
    make_id: _Ids,
    verifier: RecipientVerifier,
) -> list[Binding]:
    settings = etc.settings
    options = tls.server_options(settings.tls)
    authserv_id = settings.trace.authserv_id or settings.hostname
    guard = Guard(settings.limits, Rates(settings.rates), Networks(settings.own_networks), MemoryHistory(clock), clock)
    acceptance = Acceptance(
        judge,
        store,
        scheduler.offer,
        settings.limits,
        settings.queue,
        TraceSettings(settings.hostname, authserv_id, settings.trace.spam_fields, settings.trace.hide_client_address),
        guard,
        clock,
    )
    intake_settings = IntakeSettings(
        router=etc.router,
        store=store,
        judge=judge,
        acceptance=acceptance,
        limits=settings.limits,
        timeouts=settings.timeouts,
        new_id=make_id,
        postmaster_domain=next(iter(settings.domains), settings.hostname),
        verifier=verifier,
        guard=guard,
    )
    authenticator = UserFile(settings.routing.users_file, threads, clock)
    bindings = []
    for name, listener in settings.listeners.items():
        session_settings = SessionSettings(
            settings.hostname,
            settings.limits,
            settings.timeouts,
            options if listener.tls != "none" else None,
            listener.tls == "implicit",
            authenticator,
            guard,
            listener.greeting_delay,
            "PIPELINING" not in listener.without,
        )
        factory = ListenerFactory(listener, session_settings, intake_settings, sessions, clock, make_id)
        for text in listener.addresses:
            address, port = parse_address(text)
            bindings.append(Binding(name, address, port, factory))
    return bindings


class _Ids:
    """Makes session and transaction ids."""

    def __init__(self, clock: IReactorTime, entropy: random.Random) -> None:
        self._clock = clock
        self._entropy = entropy

    def __call__(self) -> str:
        return new_id(self._clock.seconds(), self._entropy.randbytes(5))


def _nothing() -> None:
    """A part that needs no start."""
