"""DMARC aggregate reports to those that ask (RFC 9990), as a source of daily reports."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from mailgw.config.schema import DmarcReports
from mailgw.dns.interface import Resolver
from mailgw.mail.address import Mailbox, ascii_domain
from mailgw.operation.release import release
from mailgw.operation.threads import Threads
from mailgw.reports import observed
from mailgw.reports.aggregate import AggregateReport, Published
from mailgw.reports.aggregate_xml import to_xml
from mailgw.reports.daily import Nobody
from mailgw.reports.destinations import find_destinations
from mailgw.reports.letter import Letter, packed
from mailgw.reports.observed import Observed
from mailgw.reports.outbox import ReportMail
from mailgw.reports.tables import DAY
from mailgw.state.database import Database


@frozen
class Reporter:
    """Who reports: our `hostname`, the address, and what the configuration says of us."""

    hostname: str
    sender: Mailbox
    organisation: str
    contact: str
    max_records: int

    @classmethod
    def of(cls, settings: DmarcReports, hostname: str) -> Reporter:
        """Take it from the configuration. Without an address, for a look, the postmaster of the host reports."""
        sender = Mailbox.parse(settings.sender) if settings.sender else Mailbox("postmaster", hostname)
        return cls(hostname, sender, settings.organisation or sender.domain, settings.contact, settings.max_records)

    def report(self, day: int, seen: Observed) -> AggregateReport:
        """Make the report on one domain and one day."""
        published = seen.published
        return AggregateReport(
            self.organisation,
            str(self.sender),
            self._report_id(day, published.domain),
            day * DAY,
            (day + 1) * DAY - 1,
            Published(
                published.domain,
                published.policy,
                published.subdomain_policy,
                published.nonexistent_policy,
                "s" if published.strict_dkim else "r",
                "s" if published.strict_spf else "r",
                "y" if published.testing else "n",
                "treewalk",
            ),
            seen.records,
            self.contact,
            (f"only the {len(seen.records)} most frequent records are reported",) if seen.truncated else (),
            f"mailgw {release()}",
        )

    def _report_id(self, day: int, domain: str) -> str:
        """RFC 9990 "Unique Identifiers in Aggregate Reporting": one identifier everywhere, and the file's may hold
        letters and digits only. A report that is made again is the same report."""
        return hashlib.sha256(f"{self.hostname} {domain} {day}".encode()).hexdigest()[:32]

    def letter(self, report: AggregateReport, recipients: Sequence[Mailbox], now: float) -> Letter:
        domain = report.published.domain
        return Letter(
            self.sender,
            recipients,
            (f"Report Domain: {domain}", f"Submitter: {self.hostname}", f"Report-ID: <{report.report_id}>"),
            f"{report.report_id}@{self.hostname}",
            now,
            f"This is a DMARC aggregate report of {self.hostname} about {domain}, for programs: RFC 9990.\n"
            f"The DMARC record of {domain} asks for it (rua=).",
            f"{self.hostname}!{domain}!{report.begin}!{report.end}!{report.report_id}.xml.gz",
            packed(to_xml(report)),
            "application/gzip",
        )


class DmarcSource:
    """A daily.ReportSource. Policy domains in `skip` get none."""

    name = "dmarc"

    def __init__(
        self,
        database: Database,
        reporter: Reporter,
        resolver: Resolver,
        threads: Threads,
        clock: IReactorTime,
        max_reports: int,
        skip: Sequence[str] = (),
    ) -> None:
        self.max_reports = max_reports
        self._database = database
        self._reporter = reporter
        self._resolver = resolver
        self._threads = threads
        self._clock = clock
        self._skip = frozenset(ascii_domain(domain) for domain in skip)

    async def subjects(self, day: int) -> Sequence[str]:
        seen = await self._database.read(partial(observed.domains, day=day))
        return [published.domain for published, _ in seen if published.rua and published.domain not in self._skip]

    async def compose(self, day: int, subject: str) -> ReportMail | Nobody:
        find = partial(observed.observed, day=day, domain=subject, most=self._reporter.max_records)
        seen = await self._database.read(find)
        if seen is None:
            return Nobody("nothing was seen of it")
        destinations = await find_destinations(self._resolver, seen.published)
        if not destinations.granted:
            return Nobody("; ".join(f"{uri}: {reason}" for uri, reason in destinations.refused)[:1000])
        report = self._reporter.report(day, seen)
        letter = self._reporter.letter(report, destinations.granted, self._clock.seconds())
        content = await self._threads.run(letter.encode)
        detail = f"{len(report.records)} records, {report.messages} messages of {subject}"
        return ReportMail(self._reporter.sender, destinations.granted, content, detail)

    async def forget(self, before: int) -> None:
        await self._database.write(partial(observed.forget, before=before))
