"""What commands look at next hops with: the relay's own choice of hosts and of TLS, without a gateway."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve, frozen

from mailgw.config.schema import Settings
from mailgw.mta_sts.store import FILE, MIGRATIONS, Kept, read
from mailgw.state.database import StateUnusable, connect

if TYPE_CHECKING:
    from mailgw.delivery.sessions import Sessions
    from mailgw.dns.resolver import DnsResolver
    from mailgw.mta_sts.finder import PolicyFinder


@frozen
class Look:
    """`sessions` are only asked where they would go: nobody logs in, and no password is read."""

    sessions: Sessions
    finder: PolicyFinder
    resolver: DnsResolver

    async def end(self) -> None:
        self.finder.stop()
        await self.resolver.stop()


def make_look(reactor: Any, settings: Settings) -> Look:
    """Make it. Raises ClickException for a file of certificates that is wrong."""
    # What needs the reactor is imported here: other commands need not wait for it.
    from mailgw.delivery.sessions import Sessions
    from mailgw.delivery.tls.choice import AccessChooser
    from mailgw.delivery.tls.client import TrustError, read_trust
    from mailgw.dns.resolver import DnsResolver
    from mailgw.mta_sts.fetching import PolicyFetcher
    from mailgw.mta_sts.finder import PolicyFinder
    from mailgw.operation.threads import ThreadsInline

    try:
        trust = read_trust(settings.relay.ca_file)
    except TrustError as error:
        raise click.ClickException(f"{settings.relay.ca_file}: {error}") from None
    entropy = random.SystemRandom()
    resolver = DnsResolver(reactor, settings.dns, entropy)
    store = _KeptPolicies(policies_file(settings))
    finder = PolicyFinder(resolver, PolicyFetcher(reactor, resolver, trust), store, reactor)
    chooser = AccessChooser(settings.tls_policies, finder if settings.relay.mta_sts else None)
    routes = {name: evolve(route, username="", password_file="") for name, route in settings.routes.items()}
    threads = ThreadsInline()
    sessions = Sessions(reactor, resolver, settings.relay, routes, settings.hostname, threads, entropy, chooser=chooser)
    return Look(sessions, finder, resolver)


def policies_file(settings: Settings) -> Path:
    """Where the gateway keeps MTA-STS policies."""
    return Path(settings.state_directory) / FILE


class _KeptPolicies:
    """A PolicyStore of what the gateway keeps. To look changes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def get(self, domain: str) -> Kept | None:
        try:
            if not self._path.exists():
                return None
            with closing(connect(self._path, MIGRATIONS, read_only=True)) as connection:
                return read(connection, domain)
        except (sqlite3.Error, StateUnusable, OSError) as error:
            click.echo(f"warning: {self._path} cannot be read: {error}", err=True)
            return None

    async def put(self, kept: Kept) -> None:
        """Not ours to keep."""

    def note_used(self, domain: str, now: float) -> None:
        """Not ours to note."""

    async def due(self, fetched_before: float, used_after: float, limit: int) -> list[Kept]:
        return []
