"""Which policy holds towards a domain: what it announces now, what was fetched before (RFC 8461 3.3, 5.1)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import ClassVar, Literal

from attrs import define, evolve, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.dns.questions import texts_of
from mailgw.mail.reply import TemporaryFailure
from mailgw.mta_sts.fetching import Fetch, FetchError
from mailgw.mta_sts.policy import Policy, PolicyError, parse_policy
from mailgw.mta_sts.record import RecordError, policy_id, policy_url, record_name
from mailgw.mta_sts.store import MAX_AHEAD, Kept, PolicyStore

# RFC 8461 3.3: a policy that could not be had is not asked for again for five minutes or longer.
RETRY_AFTER = 300.0
# DNS that did not answer for a domain is not asked for its record for so long: mail does not wait for it each time.
ASK_AGAIN = 60.0
# RFC 8461 3.3: those in use are fetched anew once a day, long before they end.
REFRESH_AFTER = 86400.0
# A policy by which nothing can be delivered is fetched anew when it is older: its id may have been left as it was.
DOUBT_AFTER = 600.0
# What another worker, or the command line, did is known after so long.
LOOK_AGAIN = 60.0
# That it is in use is written so often.
USED_EVERY = 3600.0
MAX_KNOWN = 10_000
_MAX_SHOWN = 500
MAX_FETCHES = 50

Trouble = Literal["dns", "record", "fetch", "webpki", "invalid", "busy"]


@frozen
class Problem:
    """Why the domain's present policy is not known."""

    kind: Trouble
    reason: str


@frozen
class Standing:
    """What holds towards a domain: `kept` is its policy, None where it has none; `problem` is why no newer one, or none
    at all, could be had."""

    kept: Kept | None = None
    problem: Problem | None = None

    @property
    def policy(self) -> Policy | None:
        """The policy to go by; None also where the domain says `none`."""
        return self.kept.policy if self.kept is not None and self.kept.policy.mode != "none" else None


NONE = Standing()
OnFailure = Callable[[str, Kept | None, Problem], None]


@define
class _Known:
    kept: Kept | None
    looked: float
    used: float = 0.0
    stored: bool = True


@frozen
class _Failure:
    id: str
    until: float
    problem: Problem


class PolicyFinder:
    """Finds, fetches and remembers. Who asks for a policy that is being fetched shares the answer."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        resolver: Resolver,
        fetch: Fetch,
        store: PolicyStore,
        clock: IReactorTime,
        on_failure: OnFailure = lambda domain, kept, problem: None,
    ) -> None:
        """`on_failure` is told of each policy that could not be had, and which one goes on."""
        self._resolver = resolver
        self._fetch = fetch
        self._store = store
        self._clock = clock
        self._on_failure = on_failure
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._failures: OrderedDict[str, _Failure] = OrderedDict()
        self._waiting: dict[str, list[Deferred[Standing]]] = {}
        self._fetching: set[Deferred[None]] = set()
        self._stopped = False

    async def find(self, domain: str, *, doubt: bool = False, wait: bool = True) -> Standing:
        """Say what holds towards a domain (A-labels, lower case). Never raises, and takes no longer than a question to
        DNS and TIME_LIMIT of `fetching`.

        With `doubt` a policy that is not quite new is fetched anew though its id is the same; without `wait` what would
        have to be fetched is left out.
        """
        kept = await self._recall(domain)
        announced = await self._announced(domain)
        if isinstance(announced, Problem):
            return Standing(kept, announced)
        if not announced:
            return Standing(kept)
        if kept is not None and kept.id == announced:
            age = self._clock.seconds() - kept.fetched
            if doubt and age > DOUBT_AFTER:
                return await self._renew(domain, announced, kept)
            if age > REFRESH_AFTER:
                self._begin(domain, announced, kept)
            return Standing(kept)
        return await self._renew(domain, announced, kept) if wait else Standing(kept)

    async def refresh(self, kept: Kept) -> Standing:
        """Fetch a policy anew, where its domain still has one."""
        announced = await self._announced(kept.domain)
        if isinstance(announced, Problem):
            return Standing(kept, announced)
        if not announced:
            return Standing(kept, Problem("record", f"there is no record {record_name(kept.domain)}"))
        return await self._renew(kept.domain, announced, kept)

    def stop(self) -> None:
        """Give up what is being fetched: who waits goes by what is kept."""
        self._stopped = True
        for fetching in tuple(self._fetching):
            fetching.cancel()

    async def _announced(self, domain: str) -> str | Problem:
        """Give the id of the domain's present policy; empty when it has none."""
        failure = self._failures.get(domain)
        if failure is not None and failure.problem.kind == "dns" and failure.until > self._clock.seconds():
            return failure.problem
        try:
            return policy_id(await texts_of(self._resolver, record_name(domain)))
        except DnsFailure as error:
            problem = Problem("dns", error.cause)
            self._fail(domain, _Failure("", self._clock.seconds() + ASK_AGAIN, problem))
            return problem
        except RecordError as error:
            return Problem("record", f"the record {record_name(domain)} cannot be used: {error}")

    # What is known

    async def _recall(self, domain: str) -> Kept | None:
        """Give what is kept and has not expired."""
        now = self._clock.seconds()
        known = self._known.get(domain)
        if known is None or now - known.looked > LOOK_AGAIN:
            known = await self._look(domain, known, now)
        kept = known.kept
        # A policy of the future was fetched while the clock was wrong: nobody knows how old it is.
        if kept is None or kept.expires <= now or kept.fetched > now + MAX_AHEAD:
            return None
        if now - known.used > USED_EVERY:
            known.used = now
            self._store.note_used(domain, now)
        return kept

    async def _look(self, domain: str, known: _Known | None, now: float) -> _Known:
        """Look at what is stored; what could not be stored is tried again, and goes on meanwhile."""
        before = known or _Known(None, now)
        try:
            if before.kept is not None and not before.stored:
                await self._store.put(before.kept)
            return self._remember(domain, _Known(await self._store.get(domain), now, before.used))
        except TemporaryFailure:
            return self._remember(domain, evolve(before, looked=now))

    def _remember(self, domain: str, known: _Known) -> _Known:
        self._known[domain] = known
        self._known.move_to_end(domain)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return known

    # Fetching

    async def _renew(self, domain: str, announced: str, kept: Kept | None) -> Standing:
        waiter: Deferred[Standing] = Deferred()
        standing = self._begin(domain, announced, kept, waiter)
        return await waiter if standing is None else standing

    def _begin(
        self, domain: str, announced: str, kept: Kept | None, waiter: Deferred[Standing] | None = None
    ) -> Standing | None:
        """See to it that the policy is being fetched, and `waiter` told; or say why it is not."""
        failure = self._failures.get(domain)
        if failure is not None and failure.id == announced and failure.until > self._clock.seconds():
            return Standing(kept, failure.problem)
        waiters = self._waiting.get(domain, [])
        if domain not in self._waiting and (self._stopped or len(self._waiting) >= MAX_FETCHES):
            return Standing(kept, Problem("busy", "too many policies are being fetched"))
        if waiter is not None:
            waiters.append(waiter)
        if domain not in self._waiting:
            self._waiting[domain] = waiters
            # On its own: it goes on for the others when the first who asked is gone.
            fetching = Deferred.fromCoroutine(self._settle(domain, announced, kept))
            self._fetching.add(fetching)
            fetching.addBoth(lambda _: self._fetching.discard(fetching))
        return None

    async def _settle(self, domain: str, announced: str, kept: Kept | None) -> None:
        try:
            standing = await self._fetched(domain, announced, kept)
        except CancelledError:
            standing = Standing(kept, Problem("busy", "the gateway stops"))
        except Exception as error:
            self.log.failure("the policy of {domain} cannot be had", event="mta_sts_failed", domain=domain)
            standing = self._failed(domain, announced, kept, Problem("fetch", repr(error)))
        for waiter in self._waiting.pop(domain):
            if not waiter.called:  # else it was given up
                waiter.callback(standing)

    async def _fetched(self, domain: str, announced: str, kept: Kept | None) -> Standing:
        url = policy_url(domain)
        try:
            policy = parse_policy(await self._fetch(url))
        except FetchError as error:
            problem = Problem("webpki" if error.webpki else "fetch", f"{url} cannot be had: {error}")
            return self._failed(domain, announced, kept, problem)
        except PolicyError as error:
            return self._failed(domain, announced, kept, Problem("invalid", f"{url} is no policy: {error}"))
        now = self._clock.seconds()
        fresh = Kept(domain, announced, policy, now)
        self._failures.pop(domain, None)
        known = self._remember(domain, _Known(fresh, now))
        if kept is None or evolve(kept, fetched=now) != fresh:
            self.log.info(
                "{domain} has the MTA-STS policy {id}: {policy}",
                event="mta_sts_policy",
                domain=domain,
                id=announced,
                policy="; ".join(policy.lines)[:_MAX_SHOWN],
            )
        try:
            await self._store.put(fresh)
        except TemporaryFailure as failure:
            known.stored = False
            self.log.warn(
                "the policy of {domain} is not kept: {reason}",
                event="mta_sts_not_kept",
                domain=domain,
                reason=failure.cause,
            )
        return Standing(fresh)

    def _failed(self, domain: str, announced: str, kept: Kept | None, problem: Problem) -> Standing:
        """RFC 8461 3.3: the administrator hears of it, unless what is kept says `none` (or there is nothing)."""
        self._fail(domain, _Failure(announced, self._clock.seconds() + RETRY_AFTER, problem))
        self._on_failure(domain, kept, problem)
        standing = Standing(kept, problem)
        log = self.log.warn if standing.policy is not None else self.log.info
        log(
            "the MTA-STS policy of {domain} is not known: {reason}; {instead}",
            event="mta_sts_failed",
            domain=domain,
            reason=problem.reason,
            instead="the one before goes on" if standing.policy is not None else "mail goes as if it had none",
        )
        return standing

    def _fail(self, domain: str, failure: _Failure) -> None:
        self._failures[domain] = failure
        self._failures.move_to_end(domain)
        if len(self._failures) > MAX_KNOWN:
            self._failures.popitem(last=False)
