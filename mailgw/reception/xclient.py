"""XCLIENT in a session: the client that a trusted proxy speaks for takes the place of the proxy."""

from __future__ import annotations

from attrs import evolve

from mailgw.mail.transaction import Client
from mailgw.smtp.events import Xclient


def proxied(client: Client, event: Xclient) -> Client:
    """Give the client as the proxy describes it. What it does not say stays; what the session learned is forgotten.

    NAME is not taken over: the name of an address is looked up here, as for every client. HELO and PROTO hold until
    the EHLO that has to follow.
    """
    address, _, port = client.local.rpartition(":")
    return evolve(
        client,
        address=event.address or client.address,
        port=client.port if event.port is None else event.port,
        local=f"{event.local_address or address}:{port if event.local_port is None else event.local_port}",
        helo=event.helo or "",
        esmtp=(event.protocol or "").upper() == "ESMTP",
        identity="",
        signals=(),
    )
