"""Phishing: links that lead elsewhere than they seem to."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from attrs import field, frozen

from mailgw.filters.anatomy import Anatomies, Anatomy
from mailgw.filters.base import FilterSettings
from mailgw.filters.domains import is_public_suffix, normalise_host, registered_domain, unicode_host
from mailgw.filters.file_names import is_file_ending
from mailgw.filters.identities import domain_of, find_author, proven_domains
from mailgw.filters.letters import mixed_words
from mailgw.filters.links import Link
from mailgw.filters.lookalikes import Lookalikes
from mailgw.filters.text import show
from mailgw.mail.evidence import Evidence
from mailgw.mail.transaction import Transaction

# A text that is a URL or the name of a host, and nothing else.
_SHOWN = re.compile(r"[<(\[]?((?:https?|ftp)://|www\.)?([^\s/:?#@\\<>()\[\]]+\.[^\s/:?#@\\<>()\[\]]{2,})(?:[/:?#]\S*)?")

REDIRECTORS = (
    "safelinks.protection.outlook.com urldefense.com urldefense.proofpoint.com linkprotect.cudasvc.com"
    " protect-us.mimecast.com protect-eu.mimecast.com secure-web.cisco.com www.google.com l.facebook.com lnkd.in"
)
BRANDS = (
    "paypal.com microsoft.com amazon.com google.com facebook.com instagram.com linkedin.com netflix.com docusign.com"
    " dropbox.com office365.com"
)


@frozen
class PhishingSettings(FilterSettings):
    redirectors: tuple[str, ...] = field(
        default=tuple(REDIRECTORS.split()),
        metadata={
            "doc": "Hosts that rewrite links: where one of these leads to the host that is shown, nothing is said."
            " Hosts below them count too."
        },
    )
    protected: tuple[str, ...] = field(
        default=tuple(BRANDS.split()),
        metadata={
            "doc": "Domains that are imitated: hosts that look like them are noted. Our own are always among them."
        },
    )
    trusted: tuple[str, ...] = field(
        default=(),
        metadata={"doc": "Domains whose links are not looked at, such as that of your newsletter's service."},
    )


class Phishing:
    """States links whose text shows another domain than they lead to, hosts that look like protected ones or hide what
    they are, and links to bare IP addresses. A sender that has proven its domain may lead through that domain."""

    name: ClassVar[str] = "phishing"
    symbols: ClassVar[Mapping[str, float]] = {
        "LINK_MISMATCH": 4.0,
        "LINK_LOOKALIKE": 5.0,
        "LINK_MIXED_SCRIPTS": 5.0,
        "LINK_INVISIBLE_CHARACTERS": 5.0,
        "LINK_OBFUSCATED": 3.0,
        "LINK_USER_INFO": 3.0,
        "LINK_IP_ADDRESS": 1.5,
    }

    def __init__(self, settings: PhishingSettings, anatomies: Anatomies, own_domains: Iterable[str]) -> None:
        self.settings = settings
        self._anatomies = anatomies
        self._redirectors = tuple(settings.redirectors)
        self._trusted = frozenset(map(registered_domain, settings.trusted))
        self._lookalikes = Lookalikes((*own_domains, *settings.protected))

    async def check(self, transaction: Transaction) -> list[Evidence]:
        message = transaction.message
        anatomy = await self._anatomies.of(transaction)
        if message is None or not anatomy.links:
            return []
        proven = proven_domains(transaction)
        known = frozenset(map(registered_domain, proven)) if proven else frozenset()
        author = registered_domain(domain_of(find_author(message).mailbox))
        # Who has proven nothing vouches for no host.
        vouched = known | {author} if author in known else known
        return await self._anatomies.run(transaction, self._check, vouched)

    def _check(self, anatomy: Anatomy, vouched: frozenset[str]) -> list[Evidence]:
        evidence: list[Evidence] = []
        seen: set[str] = set()
        # Once, and not for each link: all of them may lead through such a host.
        inner = frozenset(registered_domain(link.host.name) for link in anatomy.links if link.kind == "inner")
        for link in anatomy.links:
            name = link.host.name
            if not name or registered_domain(name) in self._trusted:
                continue
            if name not in seen:
                seen.add(name)
                evidence += self._check_host(link)
            if link.user_info and ("." in link.user_info or "%" in link.user_info):
                detail = f"{show(link.user_info)} stands in front of the host {name}"
                evidence.append(Evidence("LINK_USER_INFO", detail))
            if link.kind == "anchor" and link.shown and "." in link.shown:
                evidence += self._check_text(link, inner, vouched)
        return _first_of_each(evidence)

    def _check_host(self, link: Link) -> Iterator[Evidence]:
        host = link.host
        if "invisible" in host.tricks:
            yield Evidence("LINK_INVISIBLE_CHARACTERS", f"characters that nobody sees in the host {host.name}")
        if "numeric" in host.tricks:
            yield Evidence("LINK_OBFUSCATED", f"the address {host.name} written as another number")
        elif "percent" in host.tricks:
            yield Evidence("LINK_OBFUSCATED", f"the host {host.name} with encoded characters")
        if host.is_address:
            if _is_global(host.name):
                yield Evidence("LINK_IP_ADDRESS", f"a link to the bare address {host.name}")
            return
        shown = unicode_host(host.name)
        if "idn" in host.tricks and any(mixed_words(label) for label in shown.split(".")):
            yield Evidence("LINK_MIXED_SCRIPTS", f"letters of several scripts in the host {shown}")
        if imitated := self._lookalikes.find(host.name):
            yield Evidence("LINK_LOOKALIKE", f"the host {shown} looks like {imitated}")

    def _check_text(self, link: Link, inner: frozenset[str], vouched: frozenset[str]) -> Iterator[Evidence]:
        match = _SHOWN.fullmatch(link.shown)
        if match is None:
            return
        scheme, text = match.groups()
        shown = normalise_host(text).name
        if shown.count(".") < 1 or (not scheme and is_file_ending(shown.rpartition(".")[2])):
            return
        registered, target = registered_domain(shown), registered_domain(link.host.name)
        if registered == target or is_public_suffix(registered) or not is_public_suffix(shown.rpartition(".")[2]):
            return
        if target in vouched or self._leads_back(link, registered, inner):
            return
        yield Evidence("LINK_MISMATCH", f"the link shows {registered} and leads to {link.host.name}")

    def _leads_back(self, link: Link, registered: str, inner: frozenset[str]) -> bool:
        """Whether it leads through a host that rewrites links to what is shown."""
        name = link.host.name
        return registered in inner and any(name == r or name.endswith(f".{r}") for r in self._redirectors)


def _is_global(name: str) -> bool:
    """Whether it is an address of the Internet: devices of one's own mail links to themselves (RFC 1918)."""
    try:
        return ipaddress.ip_address(name.strip("[]")).is_global
    except ValueError:
        return False


def _first_of_each(evidence: list[Evidence]) -> list[Evidence]:
    """Give the first three of each symbol: a message with a thousand of them says no more."""
    counts: dict[str, int] = {}
    kept = []
    for e in evidence:
        counts[e.symbol] = counts.get(e.symbol, 0) + 1
        if counts[e.symbol] <= 3:
            kept.append(e)
    return kept
