"""Idle connections, kept for the next message to the same site."""

from __future__ import annotations

from collections.abc import Hashable

from twisted.internet.defer import Deferred

from mailgw.config import schema
from mailgw.delivery.connection import SmtpConnection

# Each idle connection costs both sides a socket: beyond that the oldest one goes.
MAX_IDLE = 200


class ConnectionPool:
    """All connections of an agent: those under way, and the idle ones by site."""

    def __init__(self, settings: schema.Relay) -> None:
        self._settings = settings
        self._all: set[SmtpConnection] = set()
        self._idle: dict[Hashable, list[SmtpConnection]] = {}
        self._site: dict[SmtpConnection, Hashable] = {}
        self._closed: Deferred[None] | None = None

    def add(self, connection: SmtpConnection) -> None:
        """Know a new connection until it is lost. After `close` it is ended at once."""
        self._all.add(connection)
        connection.on_lost = self._lost
        if self._closed:
            connection.abort("we are shutting down")

    def take(self, site: Hashable) -> SmtpConnection | None:
        """Give the idle connection of that site that was used last, or None."""
        idle = self._idle.get(site)
        while idle:
            connection = idle.pop()
            del self._site[connection]
            if not connection.lost:
                return connection
        return None

    def give(self, site: Hashable, connection: SmtpConnection) -> None:
        """Take a connection back: keep it for the next message, or end it."""
        if connection.lost:
            return
        used_up = connection.transactions >= self._settings.max_messages or not connection.shareable
        if self._closed or used_up or self._settings.idle_timeout <= 0:
            connection.quit()
            return
        if len(self._site) >= MAX_IDLE:
            oldest, its_site = next(iter(self._site.items()))
            self._forget(oldest, its_site)
            oldest.quit()
        connection.idle(self._settings.idle_timeout)
        self._idle.setdefault(site, []).append(connection)
        self._site[connection] = site

    def renew(self, settings: schema.Relay) -> None:
        """Keep none of the connections of now any longer: what they were opened by has changed."""
        self._settings = settings
        for connection in list(self._all):
            connection.shareable = False
            if connection in self._site:
                connection.quit()

    async def close(self) -> None:
        """End them all: QUIT where nothing is under way. Returns when they are gone."""
        closed: Deferred[None] = Deferred()
        self._closed = closed
        for connection in list(self._all):
            if connection in self._site:
                connection.quit()
            elif not connection.lost:
                connection.abort("we are shutting down")
        if self._all:
            await closed

    def _lost(self, connection: SmtpConnection) -> None:
        self._all.discard(connection)
        if connection in self._site:
            self._forget(connection, self._site[connection])
        if self._closed and not self._all and not self._closed.called:
            self._closed.callback(None)

    def _forget(self, connection: SmtpConnection, site: Hashable) -> None:
        del self._site[connection]
        idle = self._idle[site]
        idle.remove(connection)
        if not idle:
            del self._idle[site]
