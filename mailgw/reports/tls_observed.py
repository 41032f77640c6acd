"""What came of TLS with each recipient domain: counted in memory, written now and then, read when the day is over."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs
import cattrs
from attrs import evolve, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mailgw.mail.tlsresult import AppliedPolicy, TlsResult
from mailgw.reports.tables import DAY
from mailgw.reports.tls_report import TlsFailure, TlsPolicy
from mailgw.state.database import Database

MAX_DOMAINS = 20_000
"""Recipient domains of a day: who can make up names in DNS can make up any number of them."""
MAX_ROWS = 100
"""Rows of a domain and day, a row for what came out alike. What is over it is counted by its kind of failure alone,
and not at all where even that would be as many again: nobody but the domain itself can make so many policies."""

# What happened is written together after this: a crash loses so much of the counts, and no session waits for a disk.
_PERIOD = 60.0
# Or when so much that came out differently waits.
MAX_WAITING = 2000
# A remote's words.
_MAX_TEXT = 200

Counts = Mapping[tuple[int, TlsResult], int]
"""How often each came out, by day."""


@frozen
class SeenDomain:
    """What a table shows of a domain: the kinds of its policies, and its sessions."""

    domain: str
    policies: tuple[str, ...]
    successes: int
    failures: int


class TlsCollector:
    """Counts results (a delivery.tls.results.TlsObserver)."""

    def __init__(self, database: Database, clock: IReactorTime) -> None:
        self._database = database
        self._clock = clock
        self._counts: dict[tuple[int, TlsResult], int] = {}
        self._call: IDelayedCall | None = None

    def __call__(self, result: TlsResult) -> None:
        key = (int(self._clock.seconds()) // DAY, result)
        self._counts[key] = self._counts.get(key, 0) + 1
        if len(self._counts) >= MAX_WAITING:
            self.write()
        elif self._call is None:
            self._call = self._clock.callLater(_PERIOD, self.write)

    def write(self) -> None:
        """Have what was counted written."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        counts, self._counts = self._counts, {}
        if counts:
            self._database.note(partial(add, counts=counts))

    async def stop(self) -> None:
        """The database writes it when it is closed."""
        self.write()


def add(connection: sqlite3.Connection, counts: Counts) -> None:
    """Add to what is there, within the bounds."""
    number_of: dict[int, int] = {}
    for (day, result), number in counts.items():
        policy, failure = _text(attrs.asdict(result.policy)), _failure_text(result)
        domain = result.domain
        if _increase(connection, day, domain, policy, failure, number):
            continue
        rows = _number(connection, "count(*)", "day = ? AND domain = ?", day, domain)
        if not rows:
            if day not in number_of:
                number_of[day] = _number(connection, "count(DISTINCT domain)", "day = ?", day)
            if number_of[day] >= MAX_DOMAINS:
                continue
            number_of[day] += 1
        if rows >= MAX_ROWS:
            failure = _failure_text(TlsResult(domain, failure=result.failure))
            if rows >= 2 * MAX_ROWS or _increase(connection, day, domain, policy, failure, number):
                continue
        connection.execute("INSERT INTO tls_seen VALUES (?, ?, ?, ?, ?)", (day, domain, policy, failure, number))


def _increase(connection: sqlite3.Connection, day: int, domain: str, policy: str, failure: str, number: int) -> bool:
    cursor = connection.execute(
        "UPDATE tls_seen SET count = count + ? WHERE day = ? AND domain = ? AND policy = ? AND failure = ?",
        (number, day, domain, policy, failure),
    )
    return cursor.rowcount > 0


def domains(connection: sqlite3.Connection, day: int) -> list[SeenDomain]:
    """Give the domains that were seen on a day, by name."""
    rows = connection.execute(
        "SELECT domain, json_group_array(DISTINCT json_extract(policy, '$.type')),"
        " sum(count * (failure = '')), sum(count * (failure != ''))"
        " FROM tls_seen WHERE day = ? GROUP BY domain ORDER BY domain",
        (day,),
    )
    return [SeenDomain(domain, tuple(sorted(json.loads(kinds))), *numbers) for domain, kinds, *numbers in rows]


def observed(connection: sqlite3.Connection, day: int, domain: str) -> tuple[TlsPolicy, ...]:
    """Give what was seen of a domain, as its report has it: by policy, the most frequent failures first."""
    rows = connection.execute(
        "SELECT policy, failure, count FROM tls_seen WHERE day = ? AND domain = ? ORDER BY policy, count DESC, failure",
        (day, domain),
    )
    found: dict[str, TlsPolicy] = {}
    for text, failure, count in rows:
        seen = found.get(text)
        if seen is None:
            policy = cattrs.structure(json.loads(text), AppliedPolicy)
            seen = TlsPolicy(policy.type, policy.domain or domain, policy.strings, policy.mx_hosts, 0, 0, ())
        if failure:
            detail = cattrs.structure({**json.loads(failure), "sessions": count}, TlsFailure)
            seen = evolve(seen, failures=seen.failures + count, details=(*seen.details, detail))
        else:
            seen = evolve(seen, successes=seen.successes + count)
        found[text] = seen
    return tuple(found.values())


def forget(connection: sqlite3.Connection, before: int) -> None:
    """Drop what is older than the day `before`."""
    connection.execute("DELETE FROM tls_seen WHERE day < ?", (before,))


def _failure_text(result: TlsResult) -> str:
    """Write all of a failure but its count; nothing for a success."""
    if not result.failure:
        return ""
    facts: dict[str, Any] = {
        "result_type": result.failure,
        "sending_mta_ip": result.sending_ip,
        "receiving_mx_hostname": result.mx_host,
        "receiving_ip": result.receiving_ip,
        "receiving_mx_helo": result.helo[:_MAX_TEXT],
        "reason_code": result.reason[:_MAX_TEXT],
    }
    return _text({key: value for key, value in facts.items() if value})


def _text(facts: Mapping[str, Any]) -> str:
    """One spelling: what came out alike is one row."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))


def _number(connection: sqlite3.Connection, what: str, where: str, *values: object) -> int:
    number: int
    (number,) = connection.execute(f"SELECT {what} FROM tls_seen WHERE {where}", values).fetchone()
    return number
