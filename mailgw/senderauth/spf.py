"""SPF (RFC 7208): may this client send mail with this domain?

pyspf evaluates, and is synchronous. So its questions are answered from a table; what the table does not have is
looked up asynchronously, and the evaluation runs again from the start, until nothing is missing. An answer that the
resolver has at hand is in the table at once, so that one run is enough then; else there are 2 to 6, of 0.1 ms each.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, cast

import spf
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mailgw.dns.interface import Answer, DnsFailure, MxRecord, RecordType, Resolver
from mailgw.mail.address import AddressError, ascii_domain
from mailgw.senderauth.gather import wait_for_all

# RFC 7208 4.6.4 and 5.4: an mx or a ptr that leads to more than 10 names is an error, or is cut there.
MAX_NAMES = 10
MAX_VOID_LOOKUPS = 2
# RFC 7208 3.4 wants a record to fit into 512 octets; real ones reach 2,000. pyspf takes quadratic time over some terms.
MAX_RECORD = 4096
MAX_DOMAIN_SPEC = 512
MAX_EXPLANATION = 256
# 10 terms of at most 2 rounds each, the record, the PTR of a %{p} with its addresses, and the explanation.
MAX_RUNS = 40

_DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?", re.I)
_RESULTS = frozenset({"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"})

Question = tuple[str, RecordType]


@frozen
class SpfResult:
    """The outcome of check_host() (RFC 7208 2.6).

    `result` is one of the seven result names; `domain` is the domain whose record was evaluated; `mechanism` the
    term of that record that matched, or empty; `reason` says in plain words what went wrong with permerror and
    temperror; `explanation` is the domain owner's text for a fail: hostile input, printable ASCII, bounded.
    """

    result: str
    domain: str
    mechanism: str = ""
    reason: str = ""
    explanation: str = ""


class Spf:
    """Evaluates SPF. `hostname` is ours, for the macro %{r} in explanations."""

    log = Logger()

    def __init__(self, resolver: Resolver, hostname: str) -> None:
        self._resolver = resolver
        self._hostname = hostname

    async def check(self, address: str, local_part: str, domain: str, helo: str) -> SpfResult:
        """Evaluate check_host() for the client's `address` and the identity `local_part`@`domain`.

        For the HELO identity the domain is that of HELO and the local part `postmaster` (RFC 7208 2.3, 4.3). What
        cannot be evaluated is a temperror (try later) or a permerror (the record is wrong). Raises ValueError when
        `address` is no IP address.
        """
        try:
            name = ascii_domain(domain)
        except AddressError:
            return SpfResult("none", domain, reason="the domain is malformed")
        # RFC 7208 4.3: a malformed domain, an address literal or a single label has no record to look for.
        if len(name) > 254 or not _DOMAIN.fullmatch(name):
            return SpfResult("none", domain, reason="the domain is malformed")
        name = name.removesuffix(".")
        return await self._evaluate(address, local_part, name, helo)

    async def _evaluate(self, address: str, local_part: str, name: str, helo: str) -> SpfResult:
        table = _Table(self._resolver)
        explain = False
        for _ in range(MAX_RUNS):
            query = _Query(table, address, local_part, name, helo, self._hostname, explain)
            try:
                result, _, text = query.check()
                if query.missing:
                    raise query.missing
            except _Missing as missing:
                await wait_for_all(missing.lookups)
                continue
            except Exception:
                # pyspf trips over some records; whichever it is, the record is not one that a receiver can use.
                self.log.failure("SPF of {domain} could not be evaluated", event="spf_error", domain=name)
                return SpfResult("permerror", name, reason="the record could not be evaluated")
            # RFC 7208 6.2: the explanation is fetched only when the result is a fail.
            if result == "fail" and query.explanation_wanted and not explain:
                explain = True
                continue
            owners = explain and text != spf.EXPLANATIONS["fail"]
            return _result(query, name, result, text if owners else "")
        return SpfResult("permerror", name, reason="the record leads to too many DNS questions")


def _result(query: _Query, name: str, result: str, explanation: str) -> SpfResult:
    reason = ""
    if result in ("permerror", "temperror"):
        reason = _printable(": ".join([str(query.prob), *(str(part) for part in query.mech)]))
    elif result not in _RESULTS:
        result, reason = "permerror", "the record is ambiguous"
    return SpfResult(result, name, _printable(query.mechanism or ""), reason, _printable(explanation))


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text[:MAX_EXPLANATION])


class _Missing(Exception):
    """The table has no answer yet; `lookups` fire when they are there."""

    def __init__(self, lookups: list[Deferred[None]]) -> None:
        super().__init__()
        self.lookups = lookups


class _Table:
    """What DNS has answered in this check."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self.answers: dict[Question, Answer | DnsFailure] = {}

    def need(self, questions: Iterable[Question]) -> None:
        """Ask for what is not there yet, all at once. Raises _Missing unless everything is there then."""
        waiting = []
        for question in questions:
            if question not in self.answers:
                lookup = Deferred.fromCoroutine(self._look_up(question))
                if question not in self.answers:
                    waiting.append(lookup)
        if waiting:
            raise _Missing(waiting)

    async def _look_up(self, question: Question) -> None:
        try:
            self.answers[question] = await self._resolver.lookup(*question)
        except DnsFailure as failure:
            self.answers[question] = failure


class _Query(spf.query):
    """A pyspf evaluation over the table.

    pyspf's own way to another DNS is a module global; overriding the method that calls it leaves the module alone.
    """

    prob: Any = ""

    def __init__(
        self,
        table: _Table,
        address: str,
        local_part: str,
        domain: str,
        helo: str,
        receiver: str,
        explain: bool,
    ) -> None:
        address = str(ipaddress.ip_address(address.partition("%")[0]))
        super().__init__(i=address, s=f"{local_part}@{domain}", h=helo, receiver=receiver, strict=True)
        # pyspf takes the sender apart at its first @, which may stand in a quoted local part.
        self.l, self.o, self.d = local_part, domain, domain
        self.table = table
        self.explain = explain
        self.explanation_wanted = False
        self.missing: _Missing | None = None

    def dns(self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        """Answer pyspf's question in the form it expects. The resolver has followed CNAMEs already."""
        name = str(name).rstrip(".").lower()
        # RFC 8616 4: a term with a non-ASCII local part in it matches nothing.
        if not name.isascii() or not all(0 < len(label) < 64 for label in name.split(".")) or len(name) > 253:
            return []
        question = (name, cast("RecordType", qtype))
        self.table.need([question])
        answer = self.table.answers[question]
        if isinstance(answer, DnsFailure):
            raise spf.TempError(f"DNS does not answer for {qtype} {name}")
        if not answer.records and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > MAX_VOID_LOOKUPS:
                raise spf.PermError(f"more than {MAX_VOID_LOOKUPS} lookups found nothing")
        return [_pyspf_record(record) for record in answer.records]

    def dns_txt(self, domainname: str, rr: str = "TXT", ignore_void: bool = False) -> list[bytes]:
        records: list[bytes] = super().dns_txt(domainname, rr, ignore_void=ignore_void)
        if any(len(record) > MAX_RECORD and record[:6].lower() == b"v=spf1" for record in records):
            raise spf.PermError(f"the record is longer than {MAX_RECORD} octets", domainname)
        return records

    def dns_mx(self, domainname: str) -> list[str]:
        """Give the addresses of the exchanges. Their names are asked for at once; pyspf does one a run.

        The limit on void lookups is on terms (RFC 7208 4.6.4): exchanges without an IPv6 address are no error.
        """
        exchanges = [exchange for _, exchange in sorted(self.dns(domainname, "MX")) if exchange]
        if len(exchanges) > MAX_NAMES:
            raise spf.PermError(f"more than {MAX_NAMES} MX records", domainname)
        return self._addresses(exchanges)

    def validated_ptrs(self) -> list[str]:
        """Give the names of the client that lead back to it; the first 10 are looked at (RFC 7208 5.5)."""
        try:
            names = self.dns_ptr(self.i)[:MAX_NAMES]
        except spf.TempError:
            return []  # RFC 7208 5.5: a DNS error is no match
        try:
            self._addresses(names)
        except spf.TempError:
            names = [
                name for name in names if not isinstance(self.table.answers.get((name.lower(), self.A)), DnsFailure)
            ]
        return [name for name in names if self.cidrmatch(self._addresses([name]), self.cidrmax)]

    def _addresses(self, names: list[str]) -> list[str]:
        askable = [n.lower() for n in names if n.isascii() and all(0 < len(x) < 64 for x in n.split("."))]
        self.table.need((name, self.A) for name in dict.fromkeys(askable))
        return [address for name in askable for address in self.dns(name, self.A, ignore_void=True)]

    def get_explanation(self, spec: str) -> str | None:
        self.explanation_wanted = True
        if not self.explain:
            return None
        try:
            text: str | None = super().get_explanation(spec)
        except _Missing as missing:
            self.missing = missing  # pyspf swallows what is raised here
            return None
        except spf.TempError:
            return None  # RFC 7208 6.2: as if there were no exp=
        return text

    def expand_domain(self, arg: str) -> str:
        if len(arg) > MAX_DOMAIN_SPEC:
            raise spf.PermError("the domain is too long", arg[:40])
        expanded: str = super().expand_domain(arg)
        return expanded

    def expand(self, s: str, stripdot: bool = True) -> str:
        """Expand macros. A domain beyond 253 characters loses labels from the left (RFC 7208 7.3)."""
        if len(s) > MAX_DOMAIN_SPEC:
            raise spf.PermError("the text is too long", s[:40])
        if not stripdot:
            # An explanation, which is no domain: pyspf would cut a long one like one, so it gets a word at a time.
            return " ".join(super(_Query, self).expand(word, False) for word in s.split(" "))
        expanded: str = super().expand(s)
        while len(expanded) > 253 and "." in expanded:
            expanded = expanded.partition(".")[2]
        return expanded


def _pyspf_record(record: object) -> object:
    if isinstance(record, bytes):
        return (record,)  # pyspf joins the strings of a TXT record itself
    if isinstance(record, MxRecord):
        return (record.preference, record.exchange)
    return record
