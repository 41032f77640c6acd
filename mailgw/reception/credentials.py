"""Who may submit mail: users and passwords, checked against the users file."""

from __future__ import annotations

import hmac
import os
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Protocol

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from attrs import frozen
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.config.errors import ConfigurationErrors
from mailgw.mail.address import AddressError, Mailbox
from mailgw.mail.reply import TemporaryFailure
from mailgw.operation.threads import Threads
from mailgw.routing.recipients import Key, canonical, mailbox_key
from mailgw.routing.users import NO_PASSWORD, User, read_users

# The least that OWASP asks of argon2id: 19 MiB, 2 passes, 1 lane; about 27 ms.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16)
# Verified in place of a user's hash while there is no user; made with the same cost, its password is unknown.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$zbUa5vLwXmvcCbQ5bG1mhA$6dB4VYNmpMKYfWQ3rVZ3ksCNyNUq8HBL1nNGqDxnLBM"
# An argon2 over more would only serve to keep the processor busy.
MAX_PASSWORD = 1024


class Authenticator(Protocol):
    """Checks a user name and a password."""

    async def verify(self, username: str, password: str) -> str | None:
        """Give the identity (the user's address, in its one spelling), or None. Raises TemporaryFailure."""
        ...


def hash_password(password: str) -> str:
    """Make the hash that stands in the users file. Takes about 27 ms and 19 MiB; run it in a thread."""
    return _HASHER.hash(_prepare(password))


def _prepare(password: str) -> bytes:
    """RFC 8265 4.2.2: the same characters, however the client composed them, are the same password."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


@frozen
class _Version:
    """What tells one version of a file from the next."""

    changed: int
    size: int
    inode: int


@frozen
class _Users:
    """The users who have a password, and all their hashes."""

    by_key: Mapping[Key, User]
    hashes: tuple[str, ...]

    @classmethod
    def of(cls, users: Iterable[User]) -> _Users:
        by_key = {user.key: user for user in users if user.password_hash != NO_PASSWORD}
        return cls(by_key, tuple(user.password_hash for user in by_key.values()))


class UserFile:
    """Authenticates against the users file, and reads it again when it has changed.

    At most `concurrency` passwords are checked at once, for the memory of it, and at most `waiting` wait;
    beyond that the check fails for the moment. A success is kept for `cache_time` seconds, by a keyed hash of user,
    password and what the file says. `secret` is the key; without it random bytes, so made anew by each process.
    """

    log = Logger()

    def __init__(
        self,
        path: str,
        threads: Threads,
        clock: IReactorTime,
        *,
        secret: bytes | None = None,
        concurrency: int = 4,
        waiting: int = 200,
        cache_time: float = 300.0,
        cache_size: int = 10000,
        recheck: float = 1.0,
    ) -> None:
        self._path = path
        self._threads = threads
        self._clock = clock
        self._secret = os.urandom(32) if secret is None else secret
        self._slots = DeferredSemaphore(concurrency)
        self._waiting = waiting
        self._cache_time = cache_time
        self._cache_size = cache_size
        self._recheck = recheck
        self._users: _Users | None = None
        self._version: _Version | None = None
        self._problems: tuple[str, ...] = ()
        self._checked = float("-inf")
        self._successes: dict[bytes, float] = {}
        self._noted: set[Key] = set()

    async def verify(self, username: str, password: str) -> str | None:
        """Give the user's identity when the password is right. See Authenticator.

        An unknown user, a malformed one and one without a password cost the same time as a wrong password.
        """
        users = await self._current_users()
        user = _find(users.by_key, username)
        tag = self._tag(username, password, user)
        if user is not None and self._remembered(tag):
            return str(canonical(user.mailbox))
        # Some user's real hash stands in for that of an unknown one, so that the cost is the same even where
        # hashes of different cost stand in the file. Its result is not used.
        encoded = user.password_hash if user is not None else self._stand_in(users, username)
        right = await self._check(encoded, password)
        if user is None or not right:
            return None
        self._remember(tag)
        self._note_rehash(user)
        return str(canonical(user.mailbox))

    async def _check(self, encoded: str, password: str) -> bool:
        if len(self._slots.waiting) >= self._waiting:
            raise TemporaryFailure("too many passwords wait to be checked")
        await self._slots.acquire()
        try:
            return await self._threads.run(_matches, encoded, password)
        finally:
            self._slots.release()

    async def _current_users(self) -> _Users:
        now = self._clock.seconds()
        # Sessions that come before the first reading is done read too.
        if self._users is None or not self._checked <= now < self._checked + self._recheck:
            self._checked = now
            version, users, problems = await self._threads.run(_read_changed, self._path, self._version)
            self._version = version
            if users is not None:
                self._users = users
                self.log.info("{path}: {count} users", event="users_read", path=self._path, count=len(users.by_key))
            if problems != self._problems:
                self._problems = problems
                for problem in problems:
                    self.log.error("{problem}", event="users_refused", path=self._path, problem=problem)
        if self._users is None:
            raise TemporaryFailure(f"{self._path} cannot be read")
        return self._users

    def _tag(self, username: str, password: str, user: User | None) -> bytes:
        # The hash is in it, so that a success is forgotten with the password that it belongs to.
        parts = [username.encode("utf-8", "surrogatepass"), _prepare(password)]
        parts.append(user.password_hash.encode() if user is not None else b"")
        text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._secret, text, "sha256")

    def _stand_in(self, users: _Users, username: str) -> str:
        if not users.hashes:
            return _NOBODY
        # The same user name has the same stand-in, so that the time it takes says nothing either.
        digest = hmac.digest(self._secret, username.lower().encode("utf-8", "surrogatepass"), "sha256")
        return users.hashes[int.from_bytes(digest[:8], "big") % len(users.hashes)]

    def _remembered(self, tag: bytes) -> bool:
        until = self._successes.get(tag)
        if until is None:
            return False
        if until > self._clock.seconds():
            return True
        del self._successes[tag]
        return False

    def _remember(self, tag: bytes) -> None:
        if len(self._successes) >= self._cache_size:
            del self._successes[next(iter(self._successes))]
        self._successes[tag] = self._clock.seconds() + self._cache_time

    def _note_rehash(self, user: User) -> None:
        if user.key not in self._noted and _HASHER.check_needs_rehash(user.password_hash):
            self._noted.add(user.key)
            self.log.warn(
                "the password hash of {identity} has other costs than new ones; set the password again",
                event="password_needs_rehash",
                identity=str(canonical(user.mailbox)),
            )


def _read_changed(path: str, known: _Version | None) -> tuple[_Version | None, _Users | None, tuple[str, ...]]:
    """Read the users file when it is not the known version: its version, users if it has new ones, problems. Blocks."""
    try:
        status = os.stat(path)
        version = _Version(status.st_ctime_ns, status.st_size, status.st_ino)
        if version == known:
            return known, None, ()
        return version, _Users.of(read_users(path)), ()
    except OSError as error:
        return None, None, (f"{path}: {error.strerror}",)
    except ConfigurationErrors as errors:
        return version, None, tuple(str(error) for error in errors.errors)


def _find(users: Mapping[Key, User], username: str) -> User | None:
    try:
        return users.get(mailbox_key(Mailbox.parse(username)))
    except (AddressError, UnicodeEncodeError):
        return None


def _matches(encoded: str, password: str) -> bool:
    """Whether the password is the hash's. Blocks for the hash's cost."""
    prepared = _prepare(password)
    try:
        # A password that is too long costs the same and is wrong.
        return _HASHER.verify(encoded, prepared[:MAX_PASSWORD]) and len(prepared) <= MAX_PASSWORD
    except (Argon2Error, InvalidHashError):
        return False
