"""Sessions: ports, certificates, bounds, rates, timeouts, and what is written into messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

from mailgw.config.schema.setting import setting

Extension = Literal[
    "PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN", "LIMITS", "REQUIRETLS"
]


@frozen
class Listener:
    """A port. `mx` takes mail for our domains from anyone; `submission` takes mail for anywhere from
    authenticated users, under TLS only; `lmtp` takes mail for our domains, with a reply for each recipient."""

    addresses: tuple[str, ...] = setting("Where to listen: ADDRESS:PORT, IPv6 in brackets.", ())
    kind: Literal["mx", "submission", "lmtp"] = setting("`mx`, `submission` or `lmtp`.", "mx")
    tls: Literal["none", "starttls", "implicit"] = setting(
        "`none`, `starttls`, or `implicit` (TLS from the first byte).", "starttls"
    )
    without: tuple[Extension, ...] = setting("Extensions that are not offered, such as CHUNKING.", ())
    greeting_delay: float = setting(
        "Time before the greeting, for hosts that we do not know; who speaks before it is noted. At most 60.",
        0.0,
        minimum=0,
        maximum=60,
    )
    normalise_networks: tuple[str, ...] = setting(
        "Networks whose bare CR or LF is made CRLF; from all others it is refused.", ()
    )
    proxy_networks: tuple[str, ...] = setting(
        "Balancers: networks whose connections have to begin with a PROXY protocol header (version 1 or 2).", ()
    )
    xclient_networks: tuple[str, ...] = setting(
        "Proxies: networks that may say with XCLIENT which client they speak for. They name no user: AUTH does.", ()
    )


@frozen
class Tls:
    """The certificate that listeners show."""

    certificate_file: str = setting("PEM: the certificate and its chain. Empty: no listener offers TLS.", "", path=True)
    key_file: str = setting("PEM: the private key, readable by root only.", "", path=True)
    minimum_version: Literal["1.2", "1.3"] = setting("RFC 8996 retired what is older than 1.2.", "1.2")


@frozen
class Limits:
    """What one client or one message may cost. Beyond each stands a clear reply."""

    message_size: int = setting("Octets of a message, announced with SIZE.", 50 * 1024 * 1024)
    recipients: int = setting("Recipients a transaction, for clients that are not authenticated.", 100)
    recipients_authenticated: int = setting("Recipients a transaction, for authenticated users.", 1000)
    header_size: int = setting("Octets of the header section, at most 262144.", 256 * 1024, maximum=256 * 1024)
    header_fields: int = setting("Header fields.", 1000)
    hops: int = setting("Received fields: more are a mail loop (RFC 5321 6.3).", 50)
    command_line: int = setting(
        "Octets of a command line; RFC 5321 wants 512 and room for parameters.", 2048, minimum=512
    )
    auth_line: int = setting("Octets of a line within AUTH (RFC 4954 4.5).", 12288)
    data_line: int = setting(
        "Octets of a line of the message. RFC 5321 says 1000; many senders exceed it.", 4096, minimum=1000
    )
    soft_errors: int = setting("Errors in a session, after which each reply waits a second.", 5)
    hard_errors: int = setting("Errors in a session that end it with 421.", 15)
    unknown_recipients: int = setting("Unknown recipients in a session that end it with 421.", 5)
    auth_failures: int = setting("Failed AUTH commands in a session that end it with 421.", 3)
    transactions: int = setting("Transactions in a session.", 100)
    idle_commands: int = setting(
        "EHLO, RSET, NOOP and the like since the last message; more end a session with 421.", 100
    )
    connections: int = setting("Sessions at the same time, all listeners together.", 1000)
    connections_per_address: int = setting("The same, to listeners of one kind from one IPv4 address or IPv6 /64.", 20)
    connections_per_network: int = setting("The same, from one IPv4 /24 or IPv6 /56.", 60)
    good_history_factor: float = setting(
        "Hosts with good history may have so many times of both, and of [rates] by address or network.", 4.0, minimum=1
    )
    submission_reserve: int = setting("How many of them only submission listeners may use.", 100, minimum=0)


@frozen
class Rate:
    """How much of something is taken within a time: all of it may come at once, and comes back evenly over that time.
    What is over it gets a temporary refusal. A section replaces the default of its name. A rate with `only` takes the
    place of those without it that have the same `counts` and `key`."""

    counts: Literal["connections", "messages", "recipients", "auth_failures", "handshakes"] = setting(
        "What is counted.", "messages"
    )
    key: Literal["address", "network", "user", "sender", "sender_domain", "recipient", "recipient_domain", "all"] = (
        setting(
            "For each what it is counted: `address` is the client's (of IPv6 its /64), `network` its /24 or /56, "
            "`user` who is authenticated, `all` everyone together.",
            "address",
        )
    )
    limit: int = setting("How many. 0: no limit, for all or for those in `only`.", 0, minimum=0)
    period: float = setting("Within this time.", 60.0)
    only: tuple[str, ...] = setting(
        "Values of the key that it holds for, such as *@example.org, where `*` stands for anything, or 192.0.2.0/24 "
        "for `address` and `network`; empty: all.",
        (),
    )
    listeners: tuple[Literal["mx", "submission", "lmtp"], ...] = setting("Kinds of listeners; empty: all.", ())


# Strangers are counted by the minute, people by the day.
DEFAULT_RATES: Mapping[str, Rate] = {
    "connections": Rate("connections", "address", 60),
    "handshakes": Rate("handshakes", "address", 60),
    "messages": Rate("messages", "address", 300, listeners=("mx",)),
    "recipients": Rate("recipients", "address", 1000, listeners=("mx",)),
    "auth_failures": Rate("auth_failures", "address", 10, 600.0),
    "user_recipients": Rate("recipients", "user", 2000, 86400.0, listeners=("submission",)),
}


@frozen
class Timeouts:
    """How long to wait for a client (RFC 5321 4.5.3.2), and for ourselves."""

    command: float = setting("For the next command.", 300.0)
    command_under_load: float = setting("For the next command, when most of [limits] connections is taken.", 30.0)
    data: float = setting("For the next bytes of a message.", 180.0)
    handshake: float = setting("For a TLS handshake.", 30.0)
    session: float = setting("For a whole session.", 3600.0)
    check: float = setting("For all checks of one message; when they take longer, the client gets 451.", 60.0)
    call_ahead: float = setting(
        "For a next hop to say whether it takes a recipient; when it takes longer, the client gets 451.", 30.0
    )
    shutdown: float = setting("For transactions to end after SIGTERM.", 10.0)


@frozen
class Trace:
    """What we write into messages."""

    authserv_id: str = setting("Name in Authentication-Results (RFC 8601 2.5). Empty: the hostname.", "")
    hide_client_address: bool = setting(
        "Leave the address and EHLO name of our own users' clients out of Received.", False
    )
    received_spf: bool = setting(
        "Add Received-SPF (RFC 7208 9.1), for programs that do not read Authentication-Results.", False
    )
    spam_fields: bool = setting("Add X-Spam-Flag, X-Spam-Score and X-Spam-Symbols.", True)


@frozen
class SendAs:
    """What a user, or each user for `*`, may send as beside the addresses that lead to the user."""

    addresses: tuple[str, ...] = setting("Each an address, a domain, `*.DOMAIN` for all below it, or `*`.", ())


@frozen
class Submission:
    """Mail of our users."""

    check_senders: bool = setting(
        "Refuse it under reverse-paths and From addresses that are not the user's: the own one, with or without a "
        "detail, aliases that lead to the user, and what `send_as` allows.",
        True,
    )
    send_as: Mapping[str, SendAs] = setting("Leave to send as others, by user.", {})
