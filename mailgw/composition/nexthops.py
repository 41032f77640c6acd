"""Sessions with next hops, and what domains publish about TLS with theirs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from attrs import frozen

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.schema import Settings
from mailgw.delivery.sessions import Sessions
from mailgw.delivery.tls.choice import AccessChooser, problem_result
from mailgw.delivery.tls.client import ClientTls, TrustError, read_trust
from mailgw.delivery.tls.results import TlsObserver
from mailgw.delivery.tls.watch import DaneWatch
from mailgw.dns.interface import Resolver
from mailgw.mta_sts.fetching import PolicyFetcher
from mailgw.mta_sts.finder import OnFailure, PolicyFinder
from mailgw.mta_sts.refreshing import Refresher
from mailgw.mta_sts.store import FILE, MIGRATIONS, Kept, StatePolicyStore
from mailgw.operation.service import Part, nothing
from mailgw.operation.threads import Pool
from mailgw.operation.workers import Place
from mailgw.state.database import Database


@frozen
class WayOut:
    """The sessions, and the parts to start before mail goes over them."""

    sessions: Sessions
    parts: tuple[Part, ...] = ()


def make_next_hops(
    settings: Settings,
    resolver: Resolver,
    reactor: Any,
    disk: Pool,
    entropy: random.Random,
    place: Place,
    observer: TlsObserver | None,
) -> WayOut:
    """Put it together. Raises ConfigurationErrors for a file of certificates that is wrong."""
    trust = read_authorities(settings)
    finder: PolicyFinder | None = None
    parts: tuple[Part, ...] = ()
    if settings.relay.mta_sts:
        finder, parts = _make_finder(settings, resolver, reactor, trust, place, observer)
    sessions = Sessions(
        reactor,
        resolver,
        settings.relay,
        settings.routes,
        settings.hostname,
        disk,
        entropy,
        ClientTls(trust),
        AccessChooser(settings.tls_policies, finder, observer),
        observer,
    )
    if place.number == 0:  # one says it for all workers
        watch = DaneWatch(resolver, reactor, lambda: sessions.settings.dane)
        parts = (*parts, Part("DANE", watch.start, watch.stop))
    return WayOut(sessions, parts)


def read_authorities(settings: Settings) -> Any:
    """Give whom we trust to sign; None: the platform's authorities. Raises ConfigurationErrors."""
    try:
        return read_trust(settings.relay.ca_file)
    except TrustError as error:
        raise ConfigurationErrors([ConfigError(settings.relay.ca_file, "", str(error))]) from None


def _make_finder(
    settings: Settings, resolver: Resolver, reactor: Any, trust: Any, place: Place, observer: TlsObserver | None
) -> tuple[PolicyFinder, tuple[Part, ...]]:
    """All workers find policies; the first refreshes them."""
    database = Database(Path(settings.state_directory) / FILE, MIGRATIONS, reactor)
    store = StatePolicyStore(database)
    finder = PolicyFinder(resolver, PolicyFetcher(reactor, resolver, trust), store, reactor, _teller(observer))
    refresher = Refresher(finder, store, reactor)
    first = place.number == 0
    return finder, (
        Part("policies of MTA-STS", database.open, database.close),
        Part("fetching of policies", nothing, finder.stop),
        *((Part("refreshing of policies", refresher.start, refresher.stop),) if first else ()),
    )


def _teller(observer: TlsObserver | None) -> OnFailure:
    def tell(domain: str, kept: Kept | None, problem: Any) -> None:
        result = problem_result(domain, kept, problem)
        if observer is not None and result is not None:
            observer(result)

    return tell
