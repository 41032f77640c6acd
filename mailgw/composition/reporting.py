"""Reports to other organisations, and theirs to us."""

from __future__ import annotations

import random
from typing import Any

from attrs import frozen

from mailgw.composition.etc import Etc
from mailgw.composition.outbound import Outbound
from mailgw.config.schema import Settings
from mailgw.dns.interface import Resolver
from mailgw.mail.address import Mailbox, ascii_domain
from mailgw.operation.service import Part, nothing
from mailgw.operation.threads import Pool
from mailgw.operation.workers import Place
from mailgw.reception.acceptance import Observer
from mailgw.reception.networks import Networks
from mailgw.reports import observed
from mailgw.reports.daily import DailyReports, ReportSource
from mailgw.reports.dmarc_source import DmarcSource, Reporter
from mailgw.reports.inbox import ReportInbox
from mailgw.reports.outbox import Outbox
from mailgw.reports.posting import Dispatch, Poster, make_client
from mailgw.reports.tables import MIGRATIONS, database_path
from mailgw.reports.tls_observed import TlsCollector
from mailgw.reports.tls_source import TlsReporter, TlsSource
from mailgw.state.database import Database


@frozen
class ReportState:
    """What reports are kept in, and who counts results of TLS; nothing where the configuration wants no reports."""

    database: Database | None = None
    tls: TlsCollector | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """To start before anything counts."""
        if self.database is None:
            return ()
        state = Part("state of reports", self.database.open, self.database.close)
        return (state, Part("TLS results", nothing, self.tls.stop)) if self.tls is not None else (state,)


def make_report_state(settings: Settings, reactor: Any) -> ReportState:
    """All workers count into one file."""
    dmarc, tls = settings.dmarc_reports, settings.tls_reports
    if not (dmarc.sender or dmarc.inbox or tls.sender):
        return ReportState()
    database = Database(database_path(settings.state_directory), MIGRATIONS, reactor)
    return ReportState(database, TlsCollector(database, reactor) if tls.sender else None)


@frozen
class Reporting:
    """Who is told of verdicts, and what starts after the queue."""

    observers: tuple[Observer, ...] = ()
    parts: tuple[Part, ...] = ()


def make_reporting(
    etc: Etc,
    state: ReportState,
    resolver: Resolver,
    outbound: Outbound,
    reactor: Any,
    cpu: Pool,
    entropy: random.Random,
    place: Place,
) -> Reporting:
    """Put it together. All workers observe, the first one sends."""
    database = state.database
    if database is None:
        return Reporting()
    settings = etc.settings.dmarc_reports
    sender = Mailbox.parse(settings.sender) if settings.sender else None
    inbox = Mailbox.parse(settings.inbox) if settings.inbox else None
    observers: list[Observer] = []
    if inbox is not None:
        hostname = ascii_domain(etc.settings.hostname)

        def is_ours(domain: str) -> bool:
            return domain == hostname or etc.router.is_ours(domain)

        observers.append(ReportInbox(database, inbox, is_ours, cpu, settings.keep, reactor))
    if sender is not None:
        own = Networks(etc.settings.own_networks)
        excepted = [address for address in (sender, inbox) if address is not None]
        observers.append(observed.Observer(database, own.__contains__, excepted, settings.max_records, reactor))
    sources = _make_sources(etc.settings, database, resolver, outbound, reactor, cpu)
    if not sources or place.number != 0:
        return Reporting(tuple(observers))
    lifetime = etc.settings.queue.report_lifetime
    outbox = Outbox(outbound.store.put, outbound.scheduler.offer, etc.router, reactor, entropy, lifetime)
    dispatch = Dispatch(outbox, Poster(make_client(reactor, resolver), reactor), reactor)
    daily = DailyReports(database, sources, dispatch, reactor, entropy)
    return Reporting(tuple(observers), (Part("reports", daily.start, daily.stop),))


def _make_sources(
    settings: Settings, database: Database, resolver: Resolver, outbound: Outbound, reactor: Any, cpu: Pool
) -> list[ReportSource]:
    dmarc, tls = settings.dmarc_reports, settings.tls_reports
    sources: list[ReportSource] = []
    if dmarc.sender:
        reporter = Reporter.of(dmarc, settings.hostname)
        sources.append(DmarcSource(database, reporter, resolver, cpu, reactor, dmarc.max_reports, dmarc.skip))
    if tls.sender:
        tls_reporter = TlsReporter.of(tls, settings.hostname)
        sources.append(
            TlsSource(database, tls_reporter, resolver, cpu, reactor, outbound.is_signed, tls.max_reports, tls.skip)
        )
    return sources
