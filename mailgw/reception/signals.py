"""What only the session sees of a client's manners: who sends ahead of its turn wants to be done before we look."""

from __future__ import annotations

from mailgw.mail.transaction import Client, Signal
from mailgw.smtp import events
from mailgw.smtp.events import Event

EARLY_TALKER = Signal("early_talker", "spoke before our greeting (RFC 5321 3.1)")

# RFC 2920 3.1: these come last in a group of commands, since their reply changes what may follow. RFC 4954 4 says the
# same of AUTH; STARTTLS with something behind it ends the session.
_LAST = {
    events.Hello: "EHLO",
    events.Data: "DATA",
    events.Vrfy: "VRFY",
    events.Noop: "NOOP",
    events.Quit: "QUIT",
    events.Auth: "AUTH",
}


def sent_ahead(event: Event, client: Client, *, offered: bool) -> Signal | None:
    """Judge bytes that were there behind `event` before its reply. `offered`: the listener offers PIPELINING."""
    if isinstance(event, events.Bdat):
        return None  # its chunk belongs behind it (RFC 3030 4.2)
    last = _LAST.get(type(event))
    if last is not None:
        return Signal("pipelining", f"did not wait for the reply to {last} (RFC 2920 3.1)")
    if not offered:
        return Signal("pipelining", "did not wait for replies, and PIPELINING is not offered")
    if not client.esmtp:
        return Signal("pipelining", "did not wait for replies, and said no EHLO (RFC 2920 3.1)")
    return None
