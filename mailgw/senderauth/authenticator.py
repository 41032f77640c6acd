"""All checks of the sender, as results for the Authentication-Results field and as evidence."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import TypeVar

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.dns.interface import Resolver
from mailgw.mail.address import Mailbox, ascii_domain
from mailgw.mail.dmarc import DmarcEvaluation
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.message import Message
from mailgw.mail.transaction import Client
from mailgw.operation.threads import Threads
from mailgw.senderauth import arc_findings, dmarc_findings, helo, spf_findings
from mailgw.senderauth.arc import Arc, ArcResult, trusted_seal
from mailgw.senderauth.author import AuthorError, author_domains
from mailgw.senderauth.dkim import Dkim, DkimResult
from mailgw.senderauth.dmarc import Dmarc, DmarcResult
from mailgw.senderauth.gather import gather
from mailgw.senderauth.iprev import IprevResult, iprev
from mailgw.senderauth.spf import Spf, SpfResult

SYMBOLS: Mapping[str, float] = {
    **spf_findings.SYMBOLS,
    "DKIM_VALID": -0.2,
    "DKIM_INVALID": 0.5,
    "DKIM_UNACCEPTABLE": 0.0,
    "DKIM_PERMERROR": 0.0,
    "DKIM_TEMPERROR": 0.0,
    "DKIM_NONE": 0.0,
    **arc_findings.SYMBOLS,
    **dmarc_findings.SYMBOLS,
    "NO_RDNS": 1.5,
    "RDNS_MISMATCH": 1.0,
    "RDNS_VALID": 0.0,
    "RDNS_TEMPERROR": 0.0,
    **helo.SYMBOLS,
}
"""Every symbol stated here, with its weight when etc does not say otherwise."""

# RFC 7208 4.6.4: an evaluation should be given at least 20 seconds. The resolver bounds each question below that.
TIME_LIMIT = 20.0

_DKIM_SYMBOLS = {
    "fail": "DKIM_INVALID",
    "temperror": "DKIM_TEMPERROR",
    "permerror": "DKIM_PERMERROR",
    "policy": "DKIM_UNACCEPTABLE",
    "neutral": "DKIM_UNACCEPTABLE",
}
_IPREV_SYMBOLS = {
    "pass": ("RDNS_VALID", "{address} is {name}"),
    "fail": ("RDNS_MISMATCH", "{address} has the name {name}, which does not lead back"),
    "permerror": ("NO_RDNS", "{address} has no name in DNS"),
    "temperror": ("RDNS_TEMPERROR", "DNS does not tell the name of {address}"),
}

T = TypeVar("T")


@frozen
class Findings:
    """What a check found: results (RFC 8601) for the field, and evidence for the verdict."""

    auth: tuple[AuthResult, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    sealer: str = ""
    """Of ARC: the domain of the trusted sealer who vouches for the author."""
    dmarc: tuple[DmarcEvaluation, ...] = ()
    """Of DMARC: what the same found, as values."""


class Authenticator:
    """Runs the checks. None raises and none takes longer than `time_limit` seconds: what goes wrong is a temperror.

    `threads` run what takes long (a large body's hash); `hostname` is ours; `clock` is the wall clock. The DKIM
    domains `trusted_forwarders` and the ARC domains `trusted_sealers` excuse a message from DMARC.
    """

    log = Logger()

    def __init__(
        self,
        resolver: Resolver,
        threads: Threads,
        hostname: str,
        clock: IReactorTime,
        time_limit: float = TIME_LIMIT,
        trusted_forwarders: Iterable[str] = (),
        trusted_sealers: Iterable[str] = (),
    ) -> None:
        self._resolver = resolver
        self._hostname = hostname
        self._clock = clock
        self._time_limit = time_limit
        self._spf = Spf(resolver, hostname)
        self._dkim = Dkim(resolver, threads, clock.seconds)
        self._arc = Arc(resolver, threads, clock.seconds)
        self._dmarc = Dmarc(resolver)
        self._trusted_forwarders = frozenset(ascii_domain(domain) for domain in trusted_forwarders)
        self._trusted_sealers = tuple(trusted_sealers)

    async def spf(self, client: Client, reverse_path: Mailbox | None) -> Findings:
        """Check the identities of MAIL FROM and HELO, at once (RFC 7208 2.3, 2.4). For the null reverse-path they are
        the same, and there is one result."""
        if reverse_path is None:
            result = await self._check_spf(client, "postmaster", client.helo)
            return Findings((spf_findings.auth_result(client, None, result),), spf_findings.evidence(client, result))
        result, of_helo = await gather(
            (
                self._check_spf(client, reverse_path.local_part or "postmaster", reverse_path.domain),
                self._check_spf(client, "postmaster", client.helo),
            )
        )
        auth, evidence = spf_findings.of_helo(client, of_helo)
        return Findings(
            (spf_findings.auth_result(client, reverse_path, result), *auth),
            (*spf_findings.evidence(client, result), *evidence),
        )

    async def _check_spf(self, client: Client, local_part: str, domain: str) -> SpfResult:
        check = self._spf.check(client.address, local_part, domain, client.helo)
        return await self._limited("spf", check, SpfResult("temperror", domain, reason="it took too long"))

    async def dkim(self, message: Message) -> Findings:
        """Verify the message's signatures."""
        late = (DkimResult("temperror", "the verification could not be completed"),)
        return _dkim_findings(await self._limited("dkim", self._dkim.verify(message), late))

    async def arc(self, message: Message, client: Client) -> Findings:
        """Validate what those who passed the message on have sealed (RFC 8617)."""
        late = ArcResult("temperror", "the validation could not be completed")
        result = await self._limited("arc", self._arc.validate(message), late)
        sealer = trusted_seal(result, self._trusted_sealers)
        return Findings(
            (arc_findings.auth_result(result, client.address),),
            (arc_findings.evidence(result, sealer),),
            sealer or "",
        )

    async def dmarc(self, message: Message, auth: Sequence[AuthResult], sealers: Sequence[str] = ()) -> Findings:
        """Check whether the domain in From sent the message (RFC 9989).

        `auth` are the results of `spf` and `dkim` for it. `sealers` are the domains of a valid ARC chain that the
        postmaster trusts: like a signature of a trusted forwarder, they excuse a fail.
        """
        try:
            authors = author_domains(message)
        except AuthorError as problem:
            # RFC 9989 5.3.1: DMARC does not apply. So that nobody evades it unseen, this is evidence of its own.
            invalid = Evidence("DMARC_FROM_INVALID", str(problem), source="dmarc")
            return Findings((AuthResult("dmarc", "permerror", reason=str(problem)),), (invalid,))
        late = tuple(DmarcResult(author, "temperror", "the check could not be completed") for author in authors)
        results = await self._limited("dmarc", self._dmarc.check(authors, auth), late)
        exception = dmarc_findings.trusted_forwarder(auth, self._trusted_forwarders, sealers)
        return Findings(
            dmarc_findings.auth_results(results, exception),
            dmarc_findings.evidence(results, exception),
            dmarc=dmarc_findings.evaluations(results, exception),
        )

    async def iprev(self, client: Client) -> Findings:
        """Check that the client's address has a name that leads back to it (RFC 8601 3)."""
        check = iprev(self._resolver, client.address)
        result = await self._limited("iprev", check, IprevResult("temperror"))
        symbol, text = _IPREV_SYMBOLS[result.result]
        detail = text.format(address=client.address, name=result.name)
        return Findings(
            (AuthResult("iprev", result.result, (("policy.iprev", client.address),), comment=result.name),),
            (Evidence(symbol, detail, source="iprev"),),
        )

    async def helo(self, client: Client) -> Findings:
        """Check what the client calls itself."""
        check = helo.check_helo(self._resolver, client, self._hostname)
        return Findings(evidence=await self._limited("helo", check, ()))

    async def _limited(self, method: str, check: Awaitable[T], otherwise: T) -> T:
        """Give the check's result, or `otherwise` when it takes too long or raises."""

        async def run() -> T:
            return await check

        deferred = Deferred.fromCoroutine(run())
        if not deferred.called:
            deferred.addTimeout(self._time_limit, self._clock)
        try:
            return await deferred
        except DeferredTimeout:
            self.log.warn(
                "{method} took longer than {limit} s", event="senderauth_timeout", method=method, limit=self._time_limit
            )
        except CancelledError:
            raise  # our caller gave up
        except Exception:
            self.log.failure("{method} could not be checked", event="senderauth_error", method=method)
        return otherwise


def _dkim_findings(results: tuple[DkimResult, ...]) -> Findings:
    """One good signature is enough: others may have been broken by a mailing list (RFC 6376 6.1)."""
    if not results:
        none = Evidence("DKIM_NONE", "the message is not signed", source="dkim")
        return Findings((AuthResult("dkim", "none"),), (none,))
    auth = tuple(AuthResult("dkim", r.result, _dkim_properties(r), r.reason) for r in results)
    passed = [result.domain for result in results if result.result == "pass"]
    if passed:
        detail = f"signed by {', '.join(dict.fromkeys(passed))}"
        return Findings(auth, (Evidence("DKIM_VALID", detail, source="dkim"),))
    evidence: dict[str, Evidence] = {}
    for result in results:
        symbol = _DKIM_SYMBOLS[result.result]
        evidence.setdefault(symbol, Evidence(symbol, f"{result.domain}: {result.reason}", source="dkim"))
    return Findings(auth, tuple(evidence.values()))


def _dkim_properties(result: DkimResult) -> tuple[tuple[str, str], ...]:
    """header.b tells signatures of one domain apart (RFC 6008)."""
    identity = result.identity if result.identity.lower() != f"@{result.domain}" else ""
    properties = (
        ("header.d", result.domain),
        ("header.i", identity),
        ("header.s", result.selector),
        ("header.a", result.algorithm),
        ("header.b", result.signature),
    )
    return tuple((name, value) for name, value in properties if value)
