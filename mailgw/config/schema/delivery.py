"""The queue and the way out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

from mailgw.config.schema.setting import setting

Family = Literal["ipv4_first", "ipv6_first", "ipv4", "ipv6"]


@frozen
class Route:
    """A next hop."""

    hosts: tuple[str, ...] = setting(
        "HOST or HOST:PORT (when left out: port 25, for LMTP 24), or for LMTP the socket of a store on this host, "
        "`unix:/run/dovecot/lmtp`; tried in this order.",
        (),
    )
    protocol: Literal["smtp", "lmtp"] = setting(
        "`smtp`, or `lmtp` (RFC 2033): to a mail store such as Dovecot.", "smtp"
    )
    tls: Literal["none", "opportunistic", "required", "verified", "implicit"] = setting(
        "`opportunistic` takes TLS where it is offered, `required` fails without, `verified` also wants a valid "
        "certificate for the host name, `implicit` is verified TLS from the first byte.",
        "opportunistic",
    )
    username: str = setting("User for AUTH (PLAIN, or LOGIN where that is not offered). Empty: no AUTH.", "")
    password_file: str = setting("File that holds its password. AUTH is used under TLS only.", "", path=True)
    source_addresses: tuple[str, ...] = setting(
        "Addresses of ours that connections come from: one of IPv4, one of IPv6, or both. Empty: as in [relay].", ()
    )
    spam_suffix: str = setting(
        "What is spam goes to USER+Spam at this next hop for `+Spam`; a detail of the address gives way to it. Empty: "
        "to the same address, told apart by its X-Spam fields.",
        "",
    )
    helo: str = setting("Our name in EHLO. Empty: as in [relay].", "")
    family: Literal["", "ipv4_first", "ipv6_first", "ipv4", "ipv6"] = setting(
        "Which addresses of its hosts are tried. Empty: as in [relay].", ""
    )


@frozen
class TlsPolicy:
    """TLS towards the MX hosts of a domain."""

    tls: Literal["none", "opportunistic", "required", "verified"] = setting(
        "As in a route: `required` lets mail wait rather than go in clear text, `verified` also wants a valid "
        "certificate for the name of the MX host. It is the least: what the domain itself demands by DANE or MTA-STS "
        "counts more, but with `none`, which is clear text whatever it says.",
        "verified",
    )
    ignore: tuple[Literal["dane", "mta-sts"], ...] = setting(
        "What of that does not count: `dane` and `mta-sts`. For a domain that holds up its own mail by mistakes in "
        "its TLSA records or its policy.",
        (),
    )
    minimum_version: Literal["1.2", "1.3"] = setting(
        "The oldest TLS, for `required` and `verified`; MTA-STS does not lower it.", "1.2"
    )


@frozen
class RelayRule:
    """A way of its own for some of the mail to the outside. Of these sections the first that fits decides, in the order
    of this file; where none does, `default` of [relay]. All that a section names has to fit."""

    recipients: tuple[str, ...] = setting(
        "To whom: a domain, `*.DOMAIN` for all below it, an address, or `*`. Empty: to all.", ()
    )
    senders: tuple[str, ...] = setting(
        "From which reverse-paths, written in the same way; `<>` is the null one, that of reports. What an alias "
        "forwards has a return path of ours then. Empty: from all.",
        (),
    )
    users: tuple[str, ...] = setting(
        "Which users submitted it, in the same way. Empty: any, or nobody.",
        (),
    )
    via: str = setting("`mx` or `route:NAME`.", "")


@frozen
class Relay:
    """Mail to the outside."""

    default: str = setting(
        "`mx`: to the recipient domain's MX; or `route:NAME`: by the smarthost of [routes.NAME].", "mx"
    )
    rules: Mapping[str, RelayRule] = setting("Exceptions from `default`, by name.", {})
    port: int = setting("The port of MX hosts.", 25, maximum=65535)
    mta_sts: bool = setting(
        "Go by what recipient domains publish about TLS with their MX hosts (MTA-STS, RFC 8461).", True
    )
    ca_file: str = setting(
        "Certificates (PEM) of the authorities that are trusted, for `verified` TLS and MTA-STS. Empty: those of the "
        "system. Otherwise nobody else is: put the system's into the file too, or public policies and hosts fail.",
        "",
        path=True,
    )
    source_addresses: tuple[str, ...] = setting(
        "Addresses of ours that connections come from: one of IPv4, one of IPv6, or both. Where there is none of a "
        "family, the system chooses. SPF has to allow them, and their PTR should be `helo`.",
        (),
    )
    helo: str = setting("Our name in EHLO. Empty: the hostname.", "")
    family: Literal["ipv4_first", "ipv6_first", "ipv4", "ipv6"] = setting(
        "Which addresses of a host are tried: those of IPv4 and IPv6 in turn, beginning with the one or the other "
        "(`ipv4_first`, `ipv6_first`), or those of one alone (`ipv4`, `ipv6`).",
        "ipv4_first",
    )
    dane: bool = setting(
        "Hold hosts to their TLSA records (DANE, RFC 7672): TLS always, and proof of who they are. It takes a resolver "
        "that validates DNSSEC, on this host or named in [dns] trust_authenticated.",
        True,
    )
    max_recipients: int = setting("Recipients in one transaction.", 50)
    max_addresses: int = setting(
        "Addresses that one attempt tries at most. Those to which no way leads from here (no IPv6, say) do not count.",
        5,
    )
    connect_timeout: float = setting("For a TCP connection.", 30.0)
    greeting_timeout: float = setting("For the greeting.", 60.0)
    command_timeout: float = setting("For the reply to EHLO, MAIL, RCPT (RFC 5321 4.5.3.2).", 300.0)
    data_timeout: float = setting("For the reply to DATA, and for each write of the message to go out.", 180.0)
    final_timeout: float = setting("For the reply to the final dot.", 600.0)
    idle_timeout: float = setting("A connection is kept that long for the next message.", 15.0, minimum=0)
    max_messages: int = setting("Messages over one connection.", 100)


@frozen
class Quarantine:
    """Mail that is held (`hold` in filters.toml, and `outbound_hold`)."""

    lifetime: float = setting("Time after which it is thrown away.", 2592000.0)
    notify_sender: bool = setting("Tell our own users when their mail is held, once an hour at most.", True)
    notify: tuple[str, ...] = setting(
        "Addresses that are told of it too, as often for each user. Empty: the postmaster of the first domain.", ()
    )


@frozen
class Queue:
    """What was accepted and is not yet delivered."""

    retry: tuple[float, ...] = setting(
        "Time before each next try; the last one repeats.",
        (300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0),
    )
    jitter: float = setting(
        "Each of them is moved by up to this share, so that tries spread out.", 0.1, minimum=0, maximum=1
    )
    bulk_retry: tuple[float, ...] = setting("The same for bulk and reports. Empty: as `retry`.", ())
    attempts: int = setting("Tries after which a delivery fails. 0: only its lifetime ends it.", 0, minimum=0)
    lifetime: float = setting("Time after which a delivery fails.", 432000.0)
    report_lifetime: float = setting("The same for mail from the null reverse-path: reports.", 172800.0)
    inline_size: int = setting(
        "Content up to this size stands in the database, larger in a file.", 128 * 1024, minimum=0
    )
    window: int = setting("Due deliveries held in memory.", 2000)
    concurrency: int = setting("Deliveries at the same time.", 100)
    site_concurrency: int = setting("The same to one site.", 10)
    site_start: int = setting(
        "The same to a site of the world (the MX hosts of a domain) at first: each delivery that reaches it allows one "
        "more, each that does not takes one away. Routes and folders begin with site_concurrency.",
        2,
    )
    bulk_recipients: int = setting(
        "Mail with so many recipients is bulk, as is what lists send, by its List-Id, List-Unsubscribe or Precedence. "
        "Bulk and reports go behind people's mail.",
        50,
    )
    minimum_free: int = setting("Free disk below which no message is accepted.", 64 * 1024 * 1024, minimum=0)


@frozen
class SiteRule:
    """What holds towards one site: the MX hosts of a domain (by one of them, or `*.DOMAIN` for all below it), or the
    hosts of a route (`route:NAME`). `*` is for all. The first section that fits counts, in the order of this file."""

    concurrency: int = setting("Deliveries at the same time. 0: `site_concurrency` of [queue].", 0, minimum=0)
    messages: int = setting("Messages in a `period`, spread over it. 0: as many as come.", 0, minimum=0)
    period: float = setting("See `messages`.", 60.0)
    retry: tuple[float, ...] = setting("Time before each next try. Empty: as in [queue].", ())
    lifetime: float = setting(
        "Time after which a delivery fails, when it is less than that of [queue]. 0: as in [queue].", 0.0, minimum=0
    )


@frozen
class Reports:
    """Reports to senders: what could not be delivered, waits, or was delivered as they asked to know."""

    language: Literal["de", "en"] = setting("The language of their words.", "en")
    wording_file: str = setting(
        "A file with words of your own: any key of the shipped ones, which `mailgw config show-wording` prints.",
        "",
        path=True,
    )
    delay: tuple[float, ...] = setting(
        "Times after which the sender hears that a message still waits. Empty: it hears nothing before the end.",
        (14400.0, 172800.0),
    )
    unverified: Literal["postmaster", "nobody"] = setting(
        "Who is told what could not be delivered when nothing proves that its sender's address is not forged: it was "
        "not submitted by a user, SPF does not pass, nor DMARC for that domain. `postmaster` is ours. Spam is never "
        "reported.",
        "postmaster",
    )


@frozen
class Forwarding:
    """Mail for an alias that leads outside. It goes on under a return path of ours (SRS), so that SPF passes there."""

    srs_domain: str = setting("The domain of those return paths: mail for it must come to us. Empty: our first.", "")
    srs_secrets_file: str = setting(
        "Secrets that sign them, one a line; the first signs, all are believed, so that they can be changed. Empty: "
        "one is made in state_directory. Several gateways of a domain share a file.",
        "",
        path=True,
    )
