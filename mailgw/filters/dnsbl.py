"""A list in DNS (RFC 5782): what it is asked, what its codes mean, and whether it can be believed now."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import ClassVar, Literal

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.config.schema.setting import setting
from mailgw.dns.interface import DnsFailure, Resolver

Subject = Literal["client", "helo", "reverse_path", "from", "reply_to", "links", "mail_addresses"]

# A list that said an error, or failed its test, is asked again after this.
_REST = 3600.0
_OCTET = r"(?:\*|[0-9]{1,3}(?:-[0-9]{1,3})?)"
_CODE = re.compile(rf"({_OCTET}(?:\.{_OCTET}){{3}}|&[0-9]{{1,3}}) ([A-Z][A-Z0-9_]*) (-?[0-9]+(?:\.[0-9]+)?)")
_PATTERN = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")


@frozen
class DnsList:
    """A list. A section replaces the shipped list of its name; `enabled = false` takes that one away."""

    enabled: bool = setting("Whether it is asked.", True)
    zone: str = setting("The zone that it stands in, such as zen.spamhaus.org.", "")
    looks_up: tuple[Subject, ...] = setting(
        "What it is asked about: `client` is the address of who sends, the others are domains: of HELO, the reverse"
        " path, From, Reply-To, of links, and of mail addresses in the text.",
        ("client",),
    )
    codes: tuple[str, ...] = setting(
        'What its answers mean, each "CODE SYMBOL WEIGHT". A code is an address whose parts may be `*` or a range, or'
        " `&8`: that bit is set in the last part. The first that fits counts, but of those with `&` each.",
        (),
    )
    errors: tuple[str, ...] = setting(
        "Codes by which it says that it does not serve us. They are no listing: it is left alone for an hour.",
        ("127.255.255.*",),
    )
    listed: str = setting("What it lists for a test, such as 127.0.0.2 (RFC 5782 5). Empty: it is not tested.", "")
    unlisted: str = setting("What it never lists: when it does, it lists the world.", "")


@frozen
class Code:
    """What an answer means. `bits` is set for a mask of the last part, else `pattern` holds the range of each part."""

    symbol: str
    weight: float
    pattern: tuple[tuple[int, int], ...] = ()
    bits: int = 0

    def fits(self, address: tuple[int, ...]) -> bool:
        if self.bits:
            return bool(address[3] & self.bits)
        return _fits(self.pattern, address)


def read_codes(dns_list: DnsList) -> tuple[Code, ...]:
    """Read the table of codes. Raises ValueError; `find_faults` says which is wrong."""
    return tuple(_read_code(text) for text in dns_list.codes)


def find_faults(dns_list: DnsList) -> Iterator[tuple[str, str]]:
    """Give what is wrong in a list: key and text."""
    if not dns_list.enabled:
        return
    if not dns_list.zone:
        yield "zone", "not set; write the zone that is asked, such as zen.spamhaus.org"
    if not dns_list.codes:
        yield "codes", 'not set; write what answers mean, such as ["127.0.0.2 MY_LIST 3.0"]'
    for number, text in enumerate(dns_list.codes):
        try:
            _read_code(text)
        except ValueError:
            yield f"codes[{number}]", f'"{text}" is not "CODE SYMBOL WEIGHT", such as "127.0.0.2 MY_LIST 3.0"'
    for number, text in enumerate(dns_list.errors):
        if not _PATTERN.fullmatch(text):
            yield f"errors[{number}]", f'"{text}" is no code, such as 127.255.255.*'


def _read_code(text: str) -> Code:
    match = _CODE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    code, symbol, weight = match.groups()
    if code.startswith("&"):
        return Code(symbol, float(weight), bits=int(code[1:]))
    return Code(symbol, float(weight), _read_pattern(code))


def _read_pattern(text: str) -> tuple[tuple[int, int], ...]:
    ranges = []
    for part in text.split("."):
        low, _, high = ("0-255" if part == "*" else part).partition("-")
        ranges.append((int(low), int(high or low)))
    return tuple(ranges)


def _fits(pattern: tuple[tuple[int, int], ...], address: tuple[int, ...]) -> bool:
    return all(low <= part <= high for (low, high), part in zip(pattern, address, strict=True))


class ActiveList:
    """A list in use. It is tested before it is believed, and again every hour."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, name: str, dns_list: DnsList, resolver: Resolver, clock: IReactorTime, *, self_test: bool = True
    ) -> None:
        self.name = name
        self.settings = dns_list
        self._codes = read_codes(dns_list)
        self._errors = tuple(_read_pattern(text) for text in dns_list.errors)
        self._resolver = resolver
        self._clock = clock
        self._tested_until = 0.0 if self_test else float("inf")
        self._off_until = 0.0

    async def ask(self, subject: str) -> tuple[Code, ...]:
        """Give what the list says of an address or a domain; nothing while it cannot be believed, or does not answer.

        An IPv6 address stands without brackets.
        """
        if self._is_off():
            return ()
        now = self._clock.seconds()
        if now >= self._tested_until:
            self._tested_until = now + _REST  # whoever comes meanwhile is not kept waiting
            await self._test()
            if self._is_off():
                return ()
        try:
            answers = await self._look_up(subject)
        except DnsFailure:
            return ()
        if self._is_off():
            return ()
        return tuple(dict.fromkeys(code for answer in answers for code in self._meaning(answer)))

    async def _test(self) -> None:
        """RFC 5782 5: a list that lists nothing is gone or does not serve us, one that lists everything is over."""
        settings = self.settings
        try:
            if settings.listed and not await self._look_up(settings.listed):
                self._leave("it does not list its own test entry: it is gone, or does not serve our resolver")
            elif settings.unlisted and await self._look_up(settings.unlisted):
                self._leave(f"it lists {settings.unlisted}, which it never should: it is over, or lists the world")
        except DnsFailure:
            self._tested_until = 0.0

    async def _look_up(self, subject: str) -> list[tuple[int, ...]]:
        answer = await self._resolver.lookup(f"{_reversed(subject)}.{self.settings.zone}", "A")
        addresses = [tuple(int(part) for part in str(record).split(".")) for record in answer.records]
        for address in addresses:
            if any(_fits(error, address) for error in self._errors):
                self._leave(f"it answers {'.'.join(map(str, address))}: it does not serve our resolver")
                return []
        # RFC 5782 2.3: what is not in 127.0.0.0/8 is no answer of a list, but of whoever took over its domain.
        return [address for address in addresses if address[0] == 127]

    def _meaning(self, address: tuple[int, ...]) -> Iterator[Code]:
        yield from (code for code in self._codes if code.bits and code.fits(address))
        exact = next((code for code in self._codes if not code.bits and code.fits(address)), None)
        if exact is not None:
            yield exact

    def _is_off(self) -> bool:
        return self._clock.seconds() < self._off_until

    def _leave(self, reason: str) -> None:
        if not self._is_off():
            self.log.warn(
                "the list {list} ({zone}) is not asked for an hour: {reason}",
                event="dns_list_off",
                list=self.name,
                zone=self.settings.zone,
                reason=reason,
            )
        self._off_until = self._clock.seconds() + _REST


def _reversed(subject: str) -> str:
    """The name that stands for it below the zone (RFC 5782 2.1 and 2.4): the parts of an address backwards, a domain as
    it is."""
    try:
        address = ipaddress.ip_address(subject)
    except ValueError:
        return subject
    return address.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
