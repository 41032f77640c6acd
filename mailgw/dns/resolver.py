"""The resolver: asks the machine's or the configured recursive servers, without blocking."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import dns.message
import dns.name
from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailgw.config.schema import Dns
from mailgw.dns.cache import Cache, Key
from mailgw.dns.exchange import Exchange, SocketExchange, SpoofSuspected
from mailgw.dns.interface import Answer, DnsFailure, RecordType
from mailgw.dns.servers import RESOLV_CONF, Server, choose_servers
from mailgw.dns.slots import Slots
from mailgw.dns.tries import Tries
from mailgw.dns.wire import (
    MAX_ALIASES,
    Alias,
    NoExtensions,
    Query,
    ServerAway,
    ServerFailure,
    encode_query,
    is_truncated,
    parse_name,
    read_response,
)

# Waits for a server before the next one is asked as well; the last repeats until the deadline.
TRY_TIMEOUTS = (1.0, 2.0, 4.0)
# A server that was silent is asked after the others for so long.
DEMOTION = 30.0
# Tries on the wire at once: each holds a socket.
MAX_SOCKETS = 512


class DnsResolver:
    """A dns.interface.Resolver over UDP and TCP.

    Answers are cached for their TTL; equal questions that are on their way are asked once. `random` must be hard to
    guess (`random.SystemRandom()`): it gives the ids of questions. Raises ValueError when a server cannot be read.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: Dns,
        random: random.Random,
        *,
        exchange: Exchange | None = None,
        resolv_conf: str = RESOLV_CONF,
    ) -> None:
        self.servers = choose_servers(settings.servers, settings.trust_authenticated, resolv_conf)
        self._clock = reactor
        self._random = random
        self._timeout = settings.timeout
        self._exchange: Exchange = exchange or SocketExchange(reactor)
        self._cache = Cache(settings.cache_size)
        self._slots = Slots(reactor, MAX_SOCKETS)
        self._waiting: dict[Key, list[Deferred[Answer]]] = {}
        self._asking: dict[Key, Deferred[Any]] = {}
        self._silent_until: dict[Server, float] = {}
        self._stopped = False

    async def lookup(self, name: str, type: RecordType) -> Answer:
        """Ask. `name` is without the final dot, in A-labels; one that DNS cannot have does not exist.

        Raises DnsFailure, at the latest when the configured timeout has passed since the question was first put.
        The `ttl` of an answer from the cache is what it was when it came.
        """
        key = (name.lower().removesuffix("."), type)
        found = self._cache.get(key, self._clock.seconds())
        if found is None:
            found = await self._ask_once(key)
        if isinstance(found, DnsFailure):
            raise DnsFailure(found.cause)
        return found

    async def stop(self) -> None:
        """Give up all questions (they end with DnsFailure), and wait until the sockets are closed."""
        self._stopped = True
        for asking in list(self._asking.values()):
            asking.cancel()
        await self._exchange.stop()

    async def _ask_once(self, key: Key) -> Answer:
        """Wait for the question's answer; put the question when nobody has."""
        if self._stopped:
            raise DnsFailure("the resolver has stopped")
        name = parse_name(key[0])
        if name is None:
            return Answer(exists=False)
        waiters = self._waiting.setdefault(key, [])
        # Each has a Deferred of its own: who gives up does not end the question for the others.
        waiter: Deferred[Answer] = Deferred(canceller=waiters.remove)
        waiters.append(waiter)
        if key not in self._asking:
            asking = Deferred.fromCoroutine(self._question(name, key[1]))
            asking.addTimeout(self._timeout, self._clock)
            self._asking[key] = asking
            asking.addBoth(self._settle, key)
        return await waiter

    def _settle(self, outcome: Answer | Failure, key: Key) -> None:
        """Remember the outcome and give it to all who wait."""
        del self._asking[key]
        if isinstance(outcome, Failure):
            found: Answer | DnsFailure = self._explain(outcome, key)
        else:
            found = outcome
        if not self._stopped:
            self._cache.put(key, found, self._clock.seconds())
        for waiter in self._waiting.pop(key):
            if isinstance(found, DnsFailure):
                waiter.errback(DnsFailure(found.cause))
            else:
                waiter.callback(found)

    def _explain(self, failure: Failure, key: Key) -> DnsFailure:
        question = f"{key[1]} {key[0]}"
        if isinstance(failure.value, DnsFailure):
            return DnsFailure(failure.value.cause)  # without the traceback: its frames would stay with it in the cache
        if isinstance(failure.value, DeferredTimeout):
            servers = ", ".join(str(server) for server in self.servers)
            return DnsFailure(f"{question}: no answer from {servers} within {self._timeout:g} s")
        if isinstance(failure.value, CancelledError):
            return DnsFailure(f"{question}: the resolver has stopped")
        self.log.failure("DNS question {question} failed", failure, event="dns_error", question=question)
        return DnsFailure(f"{question}: {failure.value!r}")

    async def _question(self, name: dns.name.Name, type: RecordType) -> Answer:
        """Put the question, and one for each alias whose records the answer leaves out."""
        chain: Alias | None = None
        for _ in range(MAX_ALIASES):
            answer = await self._try_servers(chain.target if chain else name, type, chain.hops if chain else 0)
            if isinstance(answer, Answer):
                return chain.followed_by(answer) if chain else answer
            if chain:
                authenticated = answer.authenticated and chain.authenticated
                answer = evolve(answer, authenticated=authenticated, ttl=min(answer.ttl, chain.ttl))
            chain = answer
        raise DnsFailure(f"{type} {name}: more than {MAX_ALIASES} CNAMEs")

    async def _try_servers(self, name: dns.name.Name, type: RecordType, hops: int) -> Answer | Alias:
        """Ask one server after the other until one answers.

        When one says that it cannot, or all are away, the question fails at the end of the round. When those that are
        there are silent they are asked again, with more time; the deadline of the question ends this. Who was only
        slow is heard until then.
        """
        now = self._clock.seconds()
        servers = sorted(self.servers, key=lambda server: self._silent_until.get(server, 0) > now)
        failures: list[ServerFailure] = []
        tries: Tries[Answer | Alias] = Tries(self._clock)
        attempt = 0
        retry = False
        try:
            while not _is_failed(failures, len(servers)):
                failures.clear()
                wait = TRY_TIMEOUTS[min(attempt, len(TRY_TIMEOUTS) - 1)]
                attempt += 1
                for server in servers:
                    outcome = await tries.start(self._ask_server(server, name, type, hops, retry), wait)
                    retry = outcome is None
                    if isinstance(outcome, ServerFailure):
                        failures.append(outcome)
                    if outcome is None or isinstance(outcome, ServerAway):
                        self._silent_until[server] = self._clock.seconds() + DEMOTION
                    elif not isinstance(outcome, ServerFailure):
                        return outcome
        finally:
            tries.cancel()
        reasons = "; ".join(map(str, failures))
        raise DnsFailure(f"{type} {name.to_text(omit_final_dot=True)}: {reasons}")

    async def _ask_server(
        self, server: Server, name: dns.name.Name, type: RecordType, hops: int, retry: bool
    ) -> Answer | Alias:
        """Ask one server: with EDNS where it knows that, over TCP where the answer is larger than a datagram. A `retry`
        is only made where there is room for it.

        Raises ServerFailure, which names the server, TimeoutError, and DnsFailure for too many CNAMEs.
        """
        try:
            for edns in (True, False):
                query = encode_query(name, type, self._random.getrandbits(16), edns=edns)
                response = await self._slots.run(partial(self._exchange_once, server, query), retry=retry)
                try:
                    answer = read_response(response, type, trusted=server.trusted, hops=hops)
                except NoExtensions:
                    continue
                self._silent_until.pop(server, None)
                return answer
            raise ServerFailure("it refuses the question")
        except ServerFailure as failure:
            kind = ServerAway if isinstance(failure, ServerAway) else ServerFailure
            raise kind(f"{server}: {failure}") from None

    async def _exchange_once(self, server: Server, query: Query) -> dns.message.Message:
        try:
            response = await self._exchange.ask(server, query, self._timeout, stream=False)
        except SpoofSuspected as cause:
            self.log.warn("{server}: {cause}", event="dns_spoof_suspected", server=str(server), cause=str(cause))
        else:
            if not is_truncated(response):
                return response
        response = await self._exchange.ask(server, query, self._timeout, stream=True)
        if is_truncated(response):  # RFC 2181 9: what is cut short is no answer
            raise ServerFailure("its answer is cut short over TCP too")
        return response


def _is_failed(failures: Sequence[ServerFailure], servers: int) -> bool:
    """Whether a round has settled that there will be no answer."""
    return len(failures) >= servers or any(not isinstance(failure, ServerAway) for failure in failures)
