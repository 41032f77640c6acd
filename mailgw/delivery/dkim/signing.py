"""Our signatures, made when an attempt sends a message: what is signed, and the keys of now.

Mail is signed that is ours: what a user submitted with a From address of his own, and our reports. What came from
outside and goes on, to a routed domain or behind an alias, is not: its author is somebody else.
"""

from __future__ import annotations

from typing import ClassVar

from attrs import evolve, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.config.schema import Settings
from mailgw.delivery.dkim.domains import KeyRing, key_ring, remarks
from mailgw.delivery.dkim.keys import StoredKey, key_files, read_keys
from mailgw.operation.current import Current
from mailgw.operation.threads import Threads
from mailgw.queue.item import QueuedMessage
from mailgw.senderauth.hashes import is_large
from mailgw.senderauth.signing import sign


@frozen
class _Read:
    ring: KeyRing
    remarks: tuple[str, ...]


class CurrentKeys:
    """The keys that sign, read again when their files change. The constructor raises ConfigurationErrors."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, settings: Settings, clock: IReactorTime, threads: Threads) -> None:
        self._settings = settings
        self._current = Current("the DKIM keys", "signing_keys", self._files, self._read, clock, threads)
        self.stop = self._current.stop
        self.refresh = self._current.refresh

    @property
    def ring(self) -> KeyRing:
        return self._current.value.ring

    def sign_for(self, author_domain: str) -> bool:
        """Whether mail of an author in that domain, in A-labels, is signed now."""
        return bool(self.ring.for_author(author_domain))

    def start(self) -> None:
        """Say what the postmaster should know, and look at the files from now on."""
        for remark in self._current.value.remarks:
            self.log.warn("{remark}", event="signing_keys", remark=remark)
        if self._settings.signing.enabled:
            self._current.start()

    def _files(self) -> tuple[str, ...]:
        return key_files(self._settings.signing.keys_directory) if self._settings.signing.enabled else ()

    def _read(self) -> _Read:
        keys: tuple[StoredKey, ...] = ()
        if self._settings.signing.enabled:
            keys = read_keys(self._settings.signing.keys_directory)
        return _Read(key_ring(self._settings, keys), tuple(remarks(self._settings, keys)))


class Signer:
    """Signs what is ours. A message in memory is signed at once: with both keys that takes a third of a millisecond,
    about what a hop to a thread and back costs. What is large is hashed in `threads`, in pieces."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, keys: CurrentKeys, expiry: float, clock: IReactorTime, threads: Threads) -> None:
        """`expiry` is in seconds; 0: never."""
        self._keys = keys
        self._expiry = expiry
        self._clock = clock
        self._threads = threads

    async def sign(self, queued: QueuedMessage) -> QueuedMessage:
        """Put the signatures in front, or give the message as it is. Raises OSError when its file cannot be read."""
        keys = self._keys.ring.for_author(queued.author_domain) if queued.author_domain else ()
        if not keys:
            return queued
        message = queued.message
        now = int(self._clock.seconds())
        expires = now + int(self._expiry) if self._expiry else None
        if is_large(message):
            fields = await self._threads.run(sign, message, keys, now, expires)
        else:
            fields = sign(message, keys, now, expires)
        self.log.debug(
            "signed {transaction} for {domain} ({selectors})",
            event="signed",
            transaction=queued.id,
            session=queued.session_id,
            domain=keys[0].domain,
            selectors=[key.selector for key in keys],
        )
        return evolve(queued, message=evolve(message, prefix=fields + message.prefix))
