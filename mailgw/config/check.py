"""What the types of the schema cannot say: bounds, and keys that depend on each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from mailgw.config import endpoints
from mailgw.config.check_clients import check_clients
from mailgw.config.check_relay import check_next_hop, check_relay, is_domain_name
from mailgw.config.check_sites import check_sites
from mailgw.config.check_submission import check_submission
from mailgw.config.schema import Domain, Settings
from mailgw.config.text import quote_key
from mailgw.mail.address import AddressError, Mailbox, ascii_domain

Finding = tuple[str, str]
"""The path of a key, and what is wrong with it."""

# RFC 8601 2.2: the authserv-id is a value of RFC 2045 5.1; a token is what every reader understands.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Give everything that is wrong in settings whose types are right. Opens no file and asks no DNS."""
    yield from check_bounds(settings)
    yield from _check_hostname(settings)
    yield from _check_listeners(settings)
    yield from _check_tls(settings)
    yield from _check_domains(settings)
    yield from check_relay(settings)
    yield from check_sites(settings)
    yield from check_submission(settings)
    yield from _check_tls_policies(settings)
    yield from _check_names(settings)
    yield from _check_limits(settings)
    yield from check_clients(settings)
    yield from _check_quarantine(settings)
    yield from _check_dns(settings)
    yield from _check_reports(settings)


def check_bounds(section: Any, prefix: str = "") -> Iterator[Finding]:
    """Check every number below an instance of a schema class against the bounds of its key."""
    for attribute in attrs.fields(type(section)):
        value = getattr(section, attribute.name)
        key = prefix + attribute.name
        if attrs.has(type(value)):
            yield from check_bounds(value, f"{key}.")
        elif isinstance(value, Mapping):
            for name, item in value.items():
                if attrs.has(type(item)):
                    yield from check_bounds(item, f"{key}.{quote_key(name)}.")
        else:
            yield from _check_number(key, value, attribute.metadata)


def _check_number(key: str, value: Any, metadata: Mapping[Any, Any]) -> Iterator[Finding]:
    if isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _check_number(f"{key}[{number}]", item, metadata)
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    minimum, maximum = metadata.get("minimum"), metadata.get("maximum")
    if minimum is None and value <= 0:
        yield key, f"{value} is not above 0"
    elif minimum is not None and value < minimum:
        yield key, f"{value} is below {minimum}, the least that is possible"
    elif maximum is not None and value > maximum:
        yield key, f"{value} is above {maximum}, the most that is possible"


def _check_hostname(settings: Settings) -> Iterator[Finding]:
    if not settings.hostname:
        yield "hostname", 'not set; write the name of this host, such as "mail.example.org"'
    elif not is_domain_name(settings.hostname):
        yield "hostname", f'"{settings.hostname}" is not a domain name'


def _check_listeners(settings: Settings) -> Iterator[Finding]:
    if not settings.listeners:
        yield "listeners", 'no port to listen on; write [listeners.mx] with addresses = ["0.0.0.0:25"]'
    taken: dict[tuple[str, int], str] = {}
    for name, listener in settings.listeners.items():
        section = f"listeners.{quote_key(name)}"
        if not listener.addresses:
            yield f"{section}.addresses", 'not set; write ADDRESS:PORT, such as ["0.0.0.0:25"]'
        for number, text in enumerate(listener.addresses):
            key = f"{section}.addresses[{number}]"
            try:
                address = endpoints.parse_address(text)
            except ValueError as error:
                yield key, str(error)
                continue
            # Port 0 is whatever the system gives, so it is never taken.
            if address[1] and address in taken:
                yield key, f'"{text}" is listed already, in {taken[address]}'
            taken.setdefault(address, key)
            if listener.kind == "lmtp" and address[1] == 25:
                yield key, "port 25 is for SMTP, where LMTP must not be spoken (RFC 2033 5); take another, such as 24"
        if listener.kind == "submission" and listener.tls == "none":
            # RFC 8314 3: passwords and submitted mail travel under TLS.
            yield f"{section}.tls", '"none" sends passwords in clear; a submission listener needs starttls or implicit'


def _check_tls(settings: Settings) -> Iterator[Finding]:
    wanted = [name for name, listener in settings.listeners.items() if listener.tls != "none"]
    for key, value in (("certificate_file", settings.tls.certificate_file), ("key_file", settings.tls.key_file)):
        if not value and wanted:
            yield f"tls.{key}", f'not set, and the listener "{wanted[0]}" offers TLS'


def _check_domains(settings: Settings) -> Iterator[Finding]:
    spellings: dict[str, str] = {}
    for name, domain in settings.domains.items():
        section = f"domains.{quote_key(name)}"
        if not is_domain_name(name):
            yield section, f'"{name}" is not a domain name; a domain stands in quotes: [domains."example.org"]'
            continue
        other = spellings.setdefault(ascii_domain(name), name)
        if other != name:
            yield section, f'the same domain as [domains."{other}"]'
        yield from check_next_hop(f"{section}.deliver", domain.deliver, "maildir", settings.routes)
        yield from _check_domain(section, domain)
    ours = set(spellings)
    for name, domain in settings.domains.items():
        if domain.catch_all:
            yield from _check_catch_all(f"domains.{quote_key(name)}.catch_all", domain.catch_all, ours)


def _check_domain(section: str, domain: Domain) -> Iterator[Finding]:
    routed = domain.deliver != "maildir"
    sources = [key for key in ("recipients_file", "recipients_command", "call_ahead") if getattr(domain, key)]
    if not routed:
        for key in sources:
            yield (
                f"{section}.{key}",
                'only for a domain with deliver = "route:NAME"; with "maildir" its recipients are the users and '
                "aliases",
            )
    elif len(sources) > 1:
        yield f"{section}.{sources[1]}", f"set beside {sources[0]}; the recipients of a domain come from one of them"
    if domain.catch_all and routed and not (domain.recipients_file or domain.recipients_command):
        yield (
            f"{section}.catch_all",
            "without recipients_file or recipients_command nothing here is known to be left for it",
        )


def _check_catch_all(key: str, text: str, ours: set[str]) -> Iterator[Finding]:
    try:
        mailbox = Mailbox.parse(text)
    except AddressError as error:
        yield key, f'"{text}" is not an address: {error}'
        return
    if mailbox.ascii_domain not in ours:
        yield key, f'"{text}" is in none of [domains]; for mail to the outside write an alias and name that here'


def _check_tls_policies(settings: Settings) -> Iterator[Finding]:
    for name, policy in settings.tls_policies.items():
        if not is_domain_name(name.removeprefix("*.")):
            yield f"tls_policies.{quote_key(name)}", f'"{name}" is neither a domain nor "*." and a domain'
        if policy.minimum_version != "1.2" and policy.tls in ("none", "opportunistic"):
            key = f"tls_policies.{quote_key(name)}.minimum_version"
            yield key, f'with tls = "{policy.tls}" what is older would go in clear text; choose required or verified'


def _check_names(settings: Settings) -> Iterator[Finding]:
    for key in ("inbox", "spam"):
        folder = getattr(settings.maildir, key)
        # Maildir++: a folder is a directory whose name starts with a dot; dots within are levels.
        levels = folder[1:].split(".")
        if folder != "INBOX" and not (
            folder.startswith(".") and all(levels) and "/" not in folder and folder.isprintable()
        ):
            yield f"maildir.{key}", f'"{folder}" is neither "INBOX" nor a dot and a name, such as ".Spam"'
    odd = [c for c in settings.routing.separators if c in '@."\\%!/ ' or c.isalnum() or not c.isprintable()]
    if odd:
        yield "routing.separators", f'"{odd[0]}" cannot be a separator'
    authserv_id = settings.trace.authserv_id
    if authserv_id and not _TOKEN.fullmatch(authserv_id):
        yield "trace.authserv_id", f'"{authserv_id}" is not a name of letters, digits, dots and hyphens'


def _check_quarantine(settings: Settings) -> Iterator[Finding]:
    for number, text in enumerate(settings.quarantine.notify):
        try:
            Mailbox.parse(text)
        except AddressError as error:
            yield f"quarantine.notify[{number}]", f'"{text}" is not an address: {error}'


def _check_limits(settings: Settings) -> Iterator[Finding]:
    limits = settings.limits
    if not settings.queue.retry:
        yield "queue.retry", "empty; write at least one time, in seconds"
    if limits.submission_reserve >= limits.connections:
        yield "limits.submission_reserve", f"leaves nothing of {limits.connections} connections for other listeners"
    if limits.soft_errors > limits.hard_errors:
        yield "limits.soft_errors", f"is above limits.hard_errors ({limits.hard_errors})"


def _check_dns(settings: Settings) -> Iterator[Finding]:
    for key in ("servers", "trust_authenticated"):
        for number, text in enumerate(getattr(settings.dns, key)):
            try:
                endpoints.parse_address(text, 53)
            except ValueError:
                yield f"dns.{key}[{number}]", f'"{text}" is not ADDRESS or ADDRESS:PORT'


def _check_reports(settings: Settings) -> Iterator[Finding]:
    dmarc, tls = settings.dmarc_reports, settings.tls_reports
    addresses = {
        "dmarc_reports.sender": dmarc.sender,
        "dmarc_reports.inbox": dmarc.inbox,
        "tls_reports.sender": tls.sender,
        "tls_reports.contact": tls.contact,
    }
    parsed: dict[str, Mailbox] = {}
    for key, text in addresses.items():
        if not text:
            continue
        try:
            parsed[key] = Mailbox.parse(text)
        except AddressError as error:
            yield key, f'"{text}" is not an address: {error}'
            continue
        if not parsed[key].is_ascii:
            yield key, f'"{text}" is not ASCII: many could not answer it'
    if tls.sender and not settings.signing.enabled:
        # RFC 8460 3: without a signature they must be ignored.
        yield "tls_reports.sender", "set, and nobody takes reports on TLS without a signature: signing.enabled is false"
    sender, contact = parsed.get("tls_reports.sender"), parsed.get("tls_reports.contact")
    if sender and contact and sender.ascii_domain != contact.ascii_domain:
        # RFC 8460 5.3: the submitter is the domain of the contact; 3: the signature is the submitter's.
        yield "tls_reports.contact", f'"{tls.contact}" is not in the domain of sender, {sender.domain}'
    for section, skip in (("dmarc_reports", dmarc.skip), ("tls_reports", tls.skip)):
        for number, name in enumerate(skip):
            if not is_domain_name(name):
                yield f"{section}.skip[{number}]", f'"{name}" is not a domain name'
