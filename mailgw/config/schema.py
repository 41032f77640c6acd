"""What etc/mailgw.toml and etc/filters.toml may say.

Each class is a section and documents itself: `doc` is the comment that the shipped file carries. Paths are
relative to the folder of mailgw.toml where they are not absolute. Times are seconds, sizes octets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import Factory, field, frozen


def _key(
    doc: str, default: Any, *, minimum: float | None = None, maximum: float | None = None, path: bool = False
) -> Any:
    """A key with its comment and its bounds; a number without a minimum must be above 0.

    `path` marks a path, which is taken relative to the folder of the file. A mutable default is given as a factory.
    """
    metadata = {"doc": doc, "minimum": minimum, "maximum": maximum, "path": path}
    if isinstance(default, (dict, list)):
        value = default
        return field(default=Factory(lambda: type(value)(value)), metadata=metadata)
    return field(default=default, metadata=metadata)


Extension = Literal[
    "PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN", "LIMITS", "REQUIRETLS"
]


@frozen
class Listener:
    """A port. `mx` takes mail for our domains from anyone; `submission` takes mail for anywhere from
    authenticated users, under TLS only; `lmtp` takes mail for our domains, with a reply for each recipient."""

    addresses: tuple[str, ...] = _key("Where to listen: ADDRESS:PORT, IPv6 in brackets.", ())
    kind: Literal["mx", "submission", "lmtp"] = _key("`mx`, `submission` or `lmtp`.", "mx")
    tls: Literal["none", "starttls", "implicit"] = _key(
        "`none`, `starttls`, or `implicit` (TLS from the first byte).", "starttls"
    )
    without: tuple[Extension, ...] = _key("Extensions that are not offered, such as CHUNKING.", ())
    greeting_delay: float = _key(
        "Time before the greeting, for hosts that we do not know; who speaks before it is noted. At most 60.",
        0.0,
        minimum=0,
        maximum=60,
    )
    normalise_networks: tuple[str, ...] = _key(
        "Networks whose bare CR or LF is made CRLF; from all others it is refused.", ()
    )
    proxy_networks: tuple[str, ...] = _key(
        "Balancers: networks whose connections have to begin with a PROXY protocol header (version 1 or 2).", ()
    )
    xclient_networks: tuple[str, ...] = _key(
        "Proxies: networks that may say with XCLIENT which client they speak for. They name no user: AUTH does.", ()
    )


@frozen
class Tls:
    """The certificate that listeners show."""

    certificate_file: str = _key("PEM: the certificate and its chain. Empty: no listener offers TLS.", "", path=True)
    key_file: str = _key("PEM: the private key, readable by root only.", "", path=True)
    minimum_version: Literal["1.2", "1.3"] = _key("RFC 8996 retired what is older than 1.2.", "1.2")


@frozen
class Limits:
    """What one client or one message may cost. Beyond each stands a clear reply."""

    message_size: int = _key("Octets of a message, announced with SIZE.", 50 * 1024 * 1024)
    recipients: int = _key("Recipients a transaction, for clients that are not authenticated.", 100)
    recipients_authenticated: int = _key("Recipients a transaction, for authenticated users.", 1000)
    header_size: int = _key("Octets of the header section, at most 262144.", 256 * 1024, maximum=256 * 1024)
    header_fields: int = _key("Header fields.", 1000)
    hops: int = _key("Received fields: more are a mail loop (RFC 5321 6.3).", 50)
    command_line: int = _key("Octets of a command line; RFC 5321 wants 512 and room for parameters.", 2048, minimum=512)
    auth_line: int = _key("Octets of a line within AUTH (RFC 4954 4.5).", 12288)
    data_line: int = _key(
        "Octets of a line of the message. RFC 5321 says 1000; many senders exceed it.", 4096, minimum=1000
    )
    soft_errors: int = _key("Errors in a session, after which each reply waits a second.", 5)
    hard_errors: int = _key("Errors in a session that end it with 421.", 15)
    unknown_recipients: int = _key("Unknown recipients in a session that end it with 421.", 5)
    auth_failures: int = _key("Failed AUTH commands in a session that end it with 421.", 3)
    transactions: int = _key("Transactions in a session.", 100)
    idle_commands: int = _key("EHLO, RSET, NOOP and the like since the last message; more end a session with 421.", 100)
    connections: int = _key("Sessions at the same time, all listeners together.", 1000)
    connections_per_address: int = _key("The same, to listeners of one kind from one IPv4 address or IPv6 /64.", 20)
    connections_per_network: int = _key("The same, from one IPv4 /24 or IPv6 /56.", 60)
    good_history_factor: float = _key(
        "Hosts with good history may have so many times of both, and of [rates] by address or network.", 4.0, minimum=1
    )
    submission_reserve: int = _key("How many of them only submission listeners may use.", 100, minimum=0)


@frozen
class Rate:
    """How much of something is taken within a time: all of it may come at once, and comes back evenly over that time.
    What is over it gets a temporary refusal. A section replaces the default of its name. A rate with `only` takes the
    place of those without it that have the same `counts` and `key`."""

    counts: Literal["connections", "messages", "recipients", "auth_failures", "handshakes"] = _key(
        "What is counted.", "messages"
    )
    key: Literal["address", "network", "user", "sender", "sender_domain", "recipient", "recipient_domain", "all"] = (
        _key(
            "For each what it is counted: `address` is the client's (of IPv6 its /64), `network` its /24 or /56, "
            "`user` who is authenticated, `all` everyone together.",
            "address",
        )
    )
    limit: int = _key("How many. 0: no limit, for all or for those in `only`.", 0, minimum=0)
    period: float = _key("Within this time.", 60.0)
    only: tuple[str, ...] = _key(
        "Values of the key that it holds for, such as *@example.org, where `*` stands for anything, or 192.0.2.0/24 "
        "for `address` and `network`; empty: all.",
        (),
    )
    listeners: tuple[Literal["mx", "submission", "lmtp"], ...] = _key("Kinds of listeners; empty: all.", ())


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

    command: float = _key("For the next command.", 300.0)
    command_under_load: float = _key("For the next command, when most of [limits] connections is taken.", 30.0)
    data: float = _key("For the next bytes of a message.", 180.0)
    handshake: float = _key("For a TLS handshake.", 30.0)
    session: float = _key("For a whole session.", 3600.0)
    check: float = _key("For all checks of one message; when they take longer, the client gets 451.", 60.0)
    call_ahead: float = _key(
        "For a next hop to say whether it takes a recipient; when it takes longer, the client gets 451.", 30.0
    )
    shutdown: float = _key("For transactions to end after SIGTERM.", 10.0)


@frozen
class Dns:
    """The resolver."""

    servers: tuple[str, ...] = _key("ADDRESS or ADDRESS:PORT, IPv6 in brackets. Empty: those of /etc/resolv.conf.", ())
    timeout: float = _key("For one question, all tries and servers together.", 10.0)
    cache_size: int = _key("Answers kept.", 10000, minimum=0)
    trust_authenticated: tuple[str, ...] = _key(
        "Servers whose AD bit is believed (RFC 6840 5.8), beside those on loopback.", ()
    )


@frozen
class Domain:
    """One of our domains."""

    deliver: str = _key(
        "`maildir`: to folders of the users here; or `route:NAME`: to the next hop of [routes.NAME].",
        "maildir",
    )
    catch_all: str = _key("Address that gets what is for nobody else in the domain. Empty: it is refused.", "")
    recipients_file: str = _key(
        "For a domain with a route: a file of its known recipients, one address a line. Without this and the next two "
        "keys any is taken.",
        "",
        path=True,
    )
    recipients_command: tuple[str, ...] = _key(
        "Or a program and its arguments that prints them, run without a shell at the start and then every "
        "`recipients_interval`. When it fails its last list stays.",
        (),
    )
    recipients_interval: float = _key("Time between two runs of recipients_command.", 300.0)
    call_ahead: bool = _key(
        "Or ask the next hop at RCPT whether it takes a recipient. A yes is kept for hours, a no for minutes.", False
    )


@frozen
class Routing:
    """Who is who."""

    users_file: str = _key("Users with their password hashes; written by `mailgw user`.", "users", path=True)
    aliases_file: str = _key("Aliases: `address: address, address` a line.", "aliases", path=True)
    separators: str = _key("Characters that end the mailbox name in user+detail@domain. Empty: none do.", "+")


@frozen
class Maildir:
    """Folders of users, as Maildir++."""

    root: str = _key("Mailboxes stand in ROOT/DOMAIN/USER.", "/var/mail/mailgw", path=True)
    inbox: str = _key("`INBOX` is the Maildir itself; another name is a folder below it, such as `.Incoming`.", "INBOX")
    spam: str = _key("Where mail with the verdict spam goes.", ".Spam")


@frozen
class Route:
    """A next hop."""

    hosts: tuple[str, ...] = _key("HOST or HOST:PORT (when left out: port 25, for LMTP 24), tried in this order.", ())
    protocol: Literal["smtp", "lmtp"] = _key("`smtp`, or `lmtp` (RFC 2033): to a mail store such as Dovecot.", "smtp")
    tls: Literal["none", "opportunistic", "required", "verified", "implicit"] = _key(
        "`opportunistic` takes TLS where it is offered, `required` fails without, `verified` also wants a valid "
        "certificate for the host name, `implicit` is verified TLS from the first byte.",
        "opportunistic",
    )
    username: str = _key("User for AUTH. Empty: no AUTH.", "")
    password_file: str = _key("File that holds its password. AUTH is used under TLS only.", "", path=True)


@frozen
class Relay:
    """Mail to the outside."""

    default: str = _key("`mx`: to the recipient domain's MX; or `route:NAME`: by the smarthost of [routes.NAME].", "mx")
    port: int = _key("The port of MX hosts.", 25, maximum=65535)
    max_recipients: int = _key("Recipients in one transaction.", 50)
    max_addresses: int = _key("Addresses that one attempt tries at most.", 5)
    connect_timeout: float = _key("For a TCP connection.", 30.0)
    greeting_timeout: float = _key("For the greeting.", 60.0)
    command_timeout: float = _key("For the reply to EHLO, MAIL, RCPT (RFC 5321 4.5.3.2).", 300.0)
    data_timeout: float = _key("For the reply to DATA, and for each write of the message to go out.", 180.0)
    final_timeout: float = _key("For the reply to the final dot.", 600.0)
    idle_timeout: float = _key("A connection is kept that long for the next message.", 15.0, minimum=0)
    max_messages: int = _key("Messages over one connection.", 100)


@frozen
class Queue:
    """What was accepted and is not yet delivered."""

    retry: tuple[float, ...] = _key(
        "Time before each next try; the last one repeats.",
        (300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0),
    )
    jitter: float = _key(
        "Each of them is moved by up to this share, so that tries spread out.", 0.1, minimum=0, maximum=1
    )
    attempts: int = _key("Tries after which a delivery fails. 0: only its lifetime ends it.", 0, minimum=0)
    lifetime: float = _key("Time after which a delivery fails.", 432000.0)
    report_lifetime: float = _key("The same for mail from the null reverse-path: reports.", 172800.0)
    inline_size: int = _key("Content up to this size stands in the database, larger in a file.", 128 * 1024, minimum=0)
    window: int = _key("Due deliveries held in memory.", 2000)
    concurrency: int = _key("Deliveries at the same time.", 100)
    site_concurrency: int = _key("The same to one site.", 10)
    minimum_free: int = _key("Free disk below which no message is accepted.", 64 * 1024 * 1024, minimum=0)


@frozen
class Log:
    """One line an event."""

    format: Literal["text", "json"] = _key("`text` or `json`.", "text")
    level: Literal["debug", "info", "warn", "error"] = _key("The least severe that is written.", "info")
    file: str = _key("Empty: standard output (systemd's journal).", "", path=True)


@frozen
class Trace:
    """What we write into messages."""

    authserv_id: str = _key("Name in Authentication-Results (RFC 8601 2.5). Empty: the hostname.", "")
    hide_client_address: bool = _key(
        "Leave the address and EHLO name of our own users' clients out of Received.", False
    )
    spam_fields: bool = _key("Add X-Spam-Flag, X-Spam-Score and X-Spam-Symbols.", True)


@frozen
class Settings:
    """mailgw.toml"""

    hostname: str = _key("Our name in greeting, EHLO, Received and reports. It must resolve to our address.", "")
    state_directory: str = _key("Where the queue stands.", "/var/lib/mailgw", path=True)
    user: str = _key("User to run as, once the ports are bound as root.", "mailgw")
    group: str = _key("Group to run as. Empty: that of the user.", "")
    own_networks: tuple[str, ...] = _key(
        "Our own networks: no greeting delay, and no limit or rate for an address or network.",
        ("127.0.0.0/8", "::1/128"),
    )
    filters_file: str = _key("Filters, weights and thresholds.", "filters.toml", path=True)
    rules_file: str = _key("Rules of this site.", "rules.toml", path=True)
    domains: Mapping[str, Domain] = _key("Our domains: mail for them is taken on the mx listener.", {})
    listeners: Mapping[str, Listener] = _key("The ports.", {})
    tls: Tls = field(factory=Tls)
    routing: Routing = field(factory=Routing)
    maildir: Maildir = field(factory=Maildir)
    relay: Relay = field(factory=Relay)
    routes: Mapping[str, Route] = _key("Next hops by name.", {})
    queue: Queue = field(factory=Queue)
    limits: Limits = field(factory=Limits)
    rates: Mapping[str, Rate] = _key("Rates by name; a section replaces the default of its name.", {})
    timeouts: Timeouts = field(factory=Timeouts)
    dns: Dns = field(factory=Dns)
    trace: Trace = field(factory=Trace)
    log: Log = field(factory=Log)


@frozen
class Thresholds:
    """Scores from which a verdict holds."""

    spam: float = _key("To the spam folder.", 6.0)
    reject: float = _key("Refused with 554 in the session.", 15.0)
    outbound_reject: float = _key("The same for mail of our own users.", 12.0)


@frozen
class Dmarc:
    """What DMARC must not be applied to: mail of lists and forwarders that change it, and sign it."""

    trusted_forwarders: tuple[str, ...] = _key(
        "DKIM domains (d=), each exactly. A message with a good signature of one of them that fails DMARC states"
        " DMARC_EXCEPTION instead of DMARC_FAIL_REJECT, DMARC_FAIL_QUARANTINE or DMARC_FAIL_NONE.",
        (),
    )
    trusted_sealers: tuple[str, ...] = _key(
        "Domains that seal with ARC (d= of ARC-Seal), each exactly. The same holds for a message with a valid chain"
        " whose newest seal is of one of them, unless that sealer says itself that DMARC fails and the seal before it"
        " is of none of them.",
        (),
    )


@frozen
class FilterFile:
    """filters.toml: thresholds, hard rules, weights, exceptions to DMARC, and a section for each filter."""

    thresholds: Thresholds = field(factory=Thresholds)
    rules: Mapping[str, Literal["reject", "defer", "discard", "spam", "inbox"]] = _key(
        "Symbols that decide by themselves, whatever the score.", {}
    )
    scores: Mapping[str, float] = _key("Weights of symbols, where they differ from the defaults.", {})
    dmarc: Dmarc = field(factory=Dmarc)
    filters: Mapping[str, Mapping[str, Any]] = _key("A section [filters.NAME] for each filter.", {})
