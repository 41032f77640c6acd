"""TLS reports to those that ask (RFC 8460), as a source of daily reports."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from mailgw.config.schema import TlsReports
from mailgw.dns.interface import Resolver
from mailgw.mail.address import Mailbox, ascii_domain
from mailgw.mail.reply import TemporaryFailure
from mailgw.operation.threads import Threads
from mailgw.reports import tls_observed
from mailgw.reports.daily import Nobody
from mailgw.reports.letter import Letter, packed
from mailgw.reports.outbox import Post, ReportMail
from mailgw.reports.tables import DAY
from mailgw.reports.tls_json import to_json
from mailgw.reports.tls_record import find_tls_destinations
from mailgw.reports.tls_report import TlsPolicy, TlsReport
from mailgw.state.database import Database

# RFC 8460 5.5: redelivery is attempted for up to 24 hours.
_LIFETIME = 86400.0
# The same from the end of the day on: the first try is within hours of it.
_POSTED = 1.25 * 86400.0


@frozen
class TlsReporter:
    """Who reports: our `hostname`, the address that reports come from, and what the configuration says of us."""

    hostname: str
    sender: Mailbox
    organisation: str
    contact: Mailbox

    @classmethod
    def of(cls, settings: TlsReports, hostname: str) -> TlsReporter:
        """Take it from the configuration. Without an address, for a look, the postmaster of the host reports."""
        sender = Mailbox.parse(settings.sender) if settings.sender else Mailbox("postmaster", hostname)
        contact = Mailbox.parse(settings.contact) if settings.contact else sender
        return cls(hostname, sender, settings.organisation or sender.domain, contact)

    @property
    def submitter(self) -> str:
        """RFC 8460 5.3: the domain of `contact-info`, in the header, the subject and the name of the file."""
        return self.contact.ascii_domain

    def report(self, day: int, domain: str, policies: Sequence[TlsPolicy]) -> TlsReport:
        """Make the report on one domain and one day. The same again is the same report; that of another host of ours
        is another."""
        unique = hashlib.sha256(f"{self.hostname} {domain} {day}".encode()).hexdigest()[:32]
        report_id = f"{unique}@{self.submitter}"
        return TlsReport(
            self.organisation, str(self.contact), report_id, day * DAY, (day + 1) * DAY - 1, tuple(policies)
        )

    def letter(self, domain: str, report: TlsReport, recipients: Sequence[Mailbox], now: float) -> Letter:
        """Write the mail (RFC 8460 5.3). It asks not to be stopped by what it may be about: RFC 8460 3 wants reports
        delivered despite any failure of TLS, and the field says so to every hop (RFC 8689 3)."""
        submitter, unique = self.submitter, report.report_id.partition("@")[0]
        return Letter(
            self.sender,
            recipients,
            (f"Report Domain: {domain}", f"Submitter: {submitter}", f"Report-ID: <{report.report_id}>"),
            report.report_id,
            now,
            f"This is a TLS report of {self.hostname} about mail to {domain}, for programs: RFC 8460.\n"
            f"The record _smtp._tls.{domain} asks for it (rua=).",
            f"{submitter}!{domain}!{report.begin}!{report.end}!{unique}.json.gz",  # 5.1
            packed(to_json(report)),
            "application/tlsrpt+gzip",
            'report; report-type="tlsrpt"',
            (("TLS-Report-Domain", domain), ("TLS-Report-Submitter", submitter), ("TLS-Required", "No")),
        )


class TlsSource:
    """A daily.ReportSource. Recipient domains in `skip` get none.

    `is_signed` says whether mail from a domain goes out under a DKIM signature: without one a report must be ignored
    (RFC 8460 3), so none is sent, and the days wait for a key.
    """

    name = "tls"

    def __init__(
        self,
        database: Database,
        reporter: TlsReporter,
        resolver: Resolver,
        threads: Threads,
        clock: IReactorTime,
        is_signed: Callable[[str], bool],
        max_reports: int,
        skip: Sequence[str] = (),
    ) -> None:
        self.max_reports = max_reports
        self._database = database
        self._reporter = reporter
        self._resolver = resolver
        self._threads = threads
        self._clock = clock
        self._is_signed = is_signed
        self._skip = frozenset(ascii_domain(domain) for domain in skip)

    async def subjects(self, day: int) -> Sequence[str]:
        seen = await self._database.read(partial(tls_observed.domains, day=day))
        found = [item.domain for item in seen if item.domain not in self._skip]
        author = self._reporter.sender.ascii_domain
        if found and not self._is_signed(author):
            raise TemporaryFailure(
                f"no DKIM key signs for {author}, and nobody takes unsigned reports on TLS (RFC 8460 3): "
                f"`mailgw dkim new-key {author}` makes one"
            )
        return found

    async def compose(self, day: int, subject: str) -> ReportMail | Nobody:
        destinations = await find_tls_destinations(self._resolver, subject)
        if not destinations.asked:
            return Nobody()
        if not (destinations.mailboxes or destinations.urls):
            reasons = [f"{uri}: {reason}" for uri, reason in destinations.refused]
            return Nobody("; ".join(reasons)[:1000] or "its record names nobody")
        policies = await self._database.read(partial(tls_observed.observed, day=day, domain=subject))
        if not policies:
            return Nobody("nothing was seen of it")
        report = self._reporter.report(day, subject, policies)
        letter = self._reporter.letter(subject, report, destinations.mailboxes, self._clock.seconds())
        content = await self._threads.run(letter.encode) if destinations.mailboxes else b""
        posts = [Post(url, report.report_id, letter.attachment, letter.media_type) for url in destinations.urls]
        successes, failures = (
            sum(policy.successes for policy in policies),
            sum(policy.failures for policy in policies),
        )
        detail = f"{successes} sessions under TLS and {failures} failures towards {subject}"
        until = (day + 1) * DAY + _POSTED
        return ReportMail(
            self._reporter.sender,
            destinations.mailboxes,
            content,
            detail,
            _LIFETIME,
            any_tls=True,
            posts=posts,
            posted_until=until,
        )

    async def forget(self, before: int) -> None:
        await self._database.write(partial(tls_observed.forget, before=before))
