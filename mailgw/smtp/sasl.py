"""SASL PLAIN (RFC 4616) and LOGIN: what the client says becomes credentials. Whether they hold is for others.

    exchange = sasl.exchange(event.mechanism)
    step = exchange.step(event.initial)
    while isinstance(step, Challenge): reply step.reply, wait for the AuthResponse, step = exchange.step(its data)

The step after the last challenge is Credentials, or a Reply that refuses. For an AuthResponse with `data` None the
reply is `CANCELLED`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Protocol

from attrs import field, frozen

from mailgw.mail.reply import Reply

MECHANISMS = ("PLAIN", "LOGIN")

# RFC 4616 2 bounds each part of PLAIN to 255 octets; the same is enough for LOGIN.
MAX_PART = 255

CANCELLED = Reply(501, "5.7.0", ("Authentication cancelled",))  # RFC 4954 4
_MALFORMED = Reply(501, "5.5.2", ("The authentication response is malformed",))
_PROXY = Reply(535, "5.7.8", ("Acting for another user is not supported",))


@frozen
class Challenge:
    """What the client is to answer."""

    data: bytes

    @property
    def reply(self) -> Reply:
        """334 with the challenge in base64 (RFC 4954 4)."""
        return Reply(334, "", (base64.b64encode(self.data).decode("ascii"),))


@frozen
class Credentials:
    """A user's name and password as sent; the password is kept out of `repr`."""

    username: str
    password: str = field(repr=False)


Step = Challenge | Credentials | Reply


class Exchange(Protocol):
    """One run of a mechanism."""

    def step(self, response: bytes | None) -> Step:
        """Take the initial response (None when there was none), then each answer to a challenge."""
        ...


def exchange(mechanism: str) -> Exchange:
    """Start PLAIN or LOGIN. Raises KeyError for another name."""
    kinds: dict[str, Callable[[], Exchange]] = {"PLAIN": Plain, "LOGIN": Login}
    return kinds[mechanism]()


class Plain:
    """RFC 4616: `[authorization identity] NUL user NUL password` in UTF-8."""

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"")
        parts = response.split(b"\0", 3)
        if len(parts) != 3:
            return _MALFORMED
        authorization = _text(parts[0], least=0)
        username = _text(parts[1])
        password = _text(parts[2])
        if authorization is None or username is None or password is None:
            return _MALFORMED
        if authorization not in ("", username):
            return _PROXY
        return Credentials(username, password)


class Login:
    """draft-murchison-sasl-login: asks for the user, then for the password. Some clients send the user at once."""

    def __init__(self) -> None:
        self._username: str | None = None

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"Username:")
        text = _text(response)
        if text is None:
            return _MALFORMED
        if self._username is None:
            self._username = text
            return Challenge(b"Password:")
        return Credentials(self._username, text)


def _text(part: bytes, least: int = 1) -> str | None:
    """Decode one part, or give None for what is empty, too long, not UTF-8, or holds a NUL."""
    if not least <= len(part) <= MAX_PART or b"\0" in part:
        return None
    try:
        return part.decode()
    except UnicodeDecodeError:
        return None
