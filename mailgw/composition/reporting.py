"""Reports to other organisations, and theirs to us."""

from __future__ import annotations

import random
from typing import Any

from attrs import frozen

from mailgw.composition.etc import Etc
from mailgw.composition.outbound import Outbound
from mailgw.dns.interface import Resolver
from mailgw.mail.address import Mailbox
from mailgw.operation.service import Part
from mailgw.operation.threads import Pool
from mailgw.operation.workers import Place
from mailgw.reception.acceptance import Observer
from mailgw.reception.networks import Networks
from mailgw.reports import observed
from mailgw.reports.daily import DailyReports
from mailgw.reports.dmarc_source import DmarcSource, Reporter
from mailgw.reports.inbox import ReportInbox
from mailgw.reports.outbox import Outbox
from mailgw.reports.tables import MIGRATIONS, database_path
from mailgw.state.database import Database


@frozen
class Reporting:
    """Who is told of verdicts; what starts before the ports open, and what after the queue."""

    observers: tuple[Observer, ...] = ()
    first: tuple[Part, ...] = ()
    last: tuple[Part, ...] = ()


def make_reporting(
    etc: Etc, resolver: Resolver, outbound: Outbound, reactor: Any, cpu: Pool, entropy: random.Random, place: Place
) -> Reporting:
    """Put it together; nothing where the configuration wants no reports. All workers observe, the first one sends."""
    settings = etc.settings.dmarc_reports
    sender = Mailbox.parse(settings.sender) if settings.sender else None
    inbox = Mailbox.parse(settings.inbox) if settings.inbox else None
    if sender is None and inbox is None:
        return Reporting()
    database = Database(database_path(etc.settings.state_directory), MIGRATIONS, reactor)
    observers: list[Observer] = []
    last: list[Part] = []
    if inbox is not None:
        observers.append(ReportInbox(database, inbox, etc.router.is_ours, cpu, settings.keep, reactor))
    if sender is not None:
        own = Networks(etc.settings.own_networks)
        excepted = [address for address in (sender, inbox) if address is not None]
        observers.append(observed.Observer(database, own.__contains__, excepted, settings.max_records, reactor))
    if sender is not None and place.number == 0:
        reporter = Reporter.of(settings, etc.settings.hostname)
        source = DmarcSource(database, reporter, resolver, cpu, reactor, settings.skip)
        outbox = Outbox(
            outbound.store.put,
            outbound.scheduler.offer,
            etc.router,
            reactor,
            entropy,
            etc.settings.queue.report_lifetime,
        )
        daily = DailyReports(database, [source], outbox, reactor, entropy, settings.max_reports)
        last.append(Part("reports", daily.start, daily.stop))
    return Reporting(tuple(observers), (Part("state of reports", database.open, database.close),), tuple(last))
