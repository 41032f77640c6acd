"""Reads the reports that arrive at our address for them, beside their delivery."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, ClassVar

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.mail.address import Mailbox
from mailgw.mail.transaction import Transaction
from mailgw.mail.verdict import Verdict
from mailgw.operation.threads import Threads
from mailgw.reports import received
from mailgw.reports.aggregate import AggregateReport
from mailgw.reports.reading import Report, ReportRefused, read_reports
from mailgw.reports.tables import DAY
from mailgw.reports.tls_report import TlsReport
from mailgw.state.database import Database

MAX_WAITING = 20
MAX_A_DAY = 5000
_MAX_MESSAGE = 25 * 1024 * 1024


class ReportInbox:
    """Takes reports out of messages to `address` (a reception.acceptance.Observer).

    Only those that pass DMARC, as RFC 9990 "Email" demands of reports, those on TLS by their signature (RFC 8460 3),
    and are about a domain of ours: anybody may claim anything. They are kept for `keep` seconds. What is not read is
    delivered all the same, and `mailgw reports read` takes it later.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        database: Database,
        address: Mailbox,
        is_ours: Callable[[str], bool],
        threads: Threads,
        keep: float,
        clock: IReactorTime,
    ) -> None:
        self._database = database
        self._address = address
        self._is_ours = is_ours
        self._threads = threads
        self._keep = keep
        self._forgot = 0.0
        self._clock = clock
        self._waiting = 0
        # One at a time: a hostile one takes seconds of a thread, and memory.
        self._lock = DeferredLock()

    def __call__(self, transaction: Transaction, verdict: Verdict) -> None:
        message = transaction.message
        recipients = (recipient.forward_path for recipient in transaction.envelope.recipients)
        if message is None or verdict.action not in ("inbox", "spam") or self._address not in recipients:
            return
        if not any(evaluation.result == "pass" for evaluation in transaction.dmarc):
            self._log(transaction.id, "the message does not pass DMARC")
        elif message.size > _MAX_MESSAGE or self._waiting >= MAX_WAITING:
            self._log(transaction.id, "it is too large, or too many wait; read it with `mailgw reports read`")
        else:
            file = message.content.open()  # now: once it is delivered its file is gone
            self._waiting += 1
            signed = any(evaluation.result == "pass" and evaluation.dkim for evaluation in transaction.dmarc)
            reading = Deferred.fromCoroutine(self._read(transaction.id, file, signed))
            reading.addErrback(lambda failure: self.log.failure("a report was not read", failure, event="error"))

    async def _read(self, transaction: str, file: BinaryIO, signed: bool) -> None:
        try:
            await self._lock.acquire()
            try:
                reports = await self._threads.run(_read_all, file)
            finally:
                file.close()
                self._lock.release()
            now = self._clock.seconds()
            if await self._database.read(partial(received.number_stored, since=now - DAY)) >= MAX_A_DAY:
                self._log(transaction, f"{MAX_A_DAY} reports were read within a day")
                return
            for report in reports:
                if isinstance(report, TlsReport) and not signed:
                    self._log(transaction, "a report on TLS must be signed by its domain (RFC 8460 3)")
                elif self._is_about_us(report):
                    kept = await self._database.write(partial(received.store, report=report, now=now))
                    self._log_read(transaction, report, kept=kept)
                else:
                    self._log(transaction, "it is about no domain of ours")
            if now - self._forgot >= DAY:
                self._forgot = now
                await self._database.write(partial(received.forget, before=now - self._keep))
        except ReportRefused as error:
            self._log(transaction, str(error))
        finally:
            self._waiting -= 1

    def _is_about_us(self, report: Report) -> bool:
        if any(map(self._is_ours, _domains(report))):
            return True
        # RFC 8460 1.1: the Policy Domain of DANE is the name of an MX host.
        policies = report.policies if isinstance(report, TlsReport) else ()
        hosts = [policy.domain for policy in policies if policy.type == "tlsa"]
        return any(self._is_ours(name) for host in hosts for name in _above(host))

    def _log_read(self, transaction: str, report: Report, *, kept: bool) -> None:
        self.log.info(
            "report in {transaction} about {domains}: {outcome}",
            event="report_read",
            transaction=transaction,
            domains=sorted(_domains(report)),
            outcome="read" if kept else "it is known already",
        )

    def _log(self, transaction: str, reason: str) -> None:
        self.log.info(
            "no report is read from {transaction}: {reason}",
            event="report_ignored",
            transaction=transaction,
            reason=reason,
        )


def _read_all(file: BinaryIO) -> list[Report]:
    return list(read_reports(file.read()))


def _above(host: str) -> Iterator[str]:
    while host:
        host = host.partition(".")[2]
        yield host


def _domains(report: Report) -> set[str]:
    if isinstance(report, AggregateReport):
        return {report.published.domain}
    if isinstance(report, TlsReport):
        return {policy.domain for policy in report.policies if policy.domain}
    return set(report.domains)
