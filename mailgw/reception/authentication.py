"""The AUTH exchange (RFC 4954): challenges and answers until there are credentials, then their check."""

from __future__ import annotations

from mailgw.mail.reply import Reply, TemporaryFailure
from mailgw.reception.credentials import Authenticator
from mailgw.reception.link import Link, LinkEnded
from mailgw.smtp import events, sasl

_BAD_CREDENTIALS = Reply(535, "5.7.8", ("Authentication credentials invalid",))
_TEMPORARY = Reply(454, "4.7.0", ("Temporary authentication failure, please try again later",))


async def authenticate(event: events.Auth, link: Link, authenticator: Authenticator, limit: float) -> str | Reply:
    """Go through the exchange that an AUTH command began.

    `limit` is in seconds, for each answer. Gives the identity, or the reply that refuses. Raises LinkEnded.
    """
    exchange = sasl.exchange(event.mechanism)
    step = exchange.step(event.initial)
    while isinstance(step, sasl.Challenge):
        link.send(step.reply)
        answer = await link.next_event(limit)
        if isinstance(answer, events.Invalid):
            return answer.reply
        if not isinstance(answer, events.AuthResponse):
            raise LinkEnded(f"unexpected {type(answer).__name__} in AUTH")
        if answer.data is None:
            return sasl.CANCELLED
        step = exchange.step(answer.data)
    if isinstance(step, Reply):
        return step
    try:
        identity = await authenticator.verify(step.username, step.password)
    except TemporaryFailure:
        return _TEMPORARY
    return _BAD_CREDENTIALS if identity is None else identity
