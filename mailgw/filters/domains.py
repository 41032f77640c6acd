"""Hosts as links and addresses write them, in one form; and the domain that somebody registered of a host."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from functools import cache, lru_cache
from typing import Literal
from urllib.parse import unquote

import idna
from attrs import frozen
from publicsuffixlist import PublicSuffixList

MAX_HOST = 255

Trick = Literal["percent", "numeric", "invisible", "idn"]

_USUAL = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*(?![Xx][Nn]--)[A-Za-z_][A-Za-z0-9_-]{0,62}")
_IDN = re.compile(r"(?:^|\.)xn--")
# An encoded letter, digit, dot or hyphen: nobody has to encode these. A space comes in by mistake.
_NEEDLESS = re.compile(r"%(?:2[de]|3[0-9]|[46][1-9a-f]|[57][0-9a])", re.IGNORECASE)
_DOTTED = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


@frozen
class Host:
    """A host as it is looked up.

    `name` is in lower case and A-labels, without a dot at its end; an IPv4 address in dotted decimal; an IPv6 address
    in brackets. What is no host at all keeps its characters. `tricks` say what had to be undone: `percent` (characters
    encoded that need not be), `numeric` (an IPv4 address that is not written as one: 0x7f.1, 2130706433), `invisible`
    (characters that nobody sees); and `idn`: a label is internationalised.
    """

    name: str
    tricks: tuple[Trick, ...] = ()

    @property
    def is_address(self) -> bool:
        """Whether it is an IP address."""
        return _is_address(self.name)


def _is_address(name: str) -> bool:
    return name[-1:] == "]" or (name[-1:].isdigit() and bool(_DOTTED.fullmatch(name)))


def normalise_host(text: str) -> Host:
    """Read a host the way browsers do (URL Standard 3.5, UTS 46). Never raises."""
    if len(text) <= MAX_HOST and _USUAL.fullmatch(text):
        name = text.lower()
        return Host(name, ("idn",)) if _IDN.search(name) else Host(name)
    return _normalise(text[: 4 * MAX_HOST])


def _normalise(text: str) -> Host:
    tricks: list[Trick] = []
    if text[:1] == "[":
        return Host(_ipv6(text.partition("]")[0][1:]))
    if "%" in text:
        if _NEEDLESS.search(text):
            tricks.append("percent")
        text = unquote(text).strip()
    text = text[:MAX_HOST]
    if any(unicodedata.category(c) == "Cf" or c in "\u034f\u115f\u1160\u3164\uffa0\ufe0f" for c in text):
        tricks.append("invisible")
    name = _ascii(text).strip(".")
    address = _ipv4(name)
    if address and address != name:
        tricks.append("numeric")
    if _IDN.search(name):
        tricks.append("idn")
    return Host(address or name, tuple(tricks))


def _ascii(text: str) -> str:
    """Give A-labels, of what IDNA forbids too: whoever shows it may still look it up."""
    try:
        mapped = idna.uts46_remap(text, std3_rules=False)
    except (idna.IDNAError, UnicodeError):
        mapped = unicodedata.normalize("NFKC", text).lower()
    if mapped.isascii():
        return mapped.lower()
    return ".".join([_ascii_label(label) for label in re.split("[.\u3002\uff0e\uff61]", mapped)])


def _ascii_label(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode", "replace").decode("ascii")


def _ipv4(name: str) -> str:
    """Read an IPv4 address of one to four numbers, each decimal, octal or hexadecimal (URL Standard 3.5); or ""."""
    numbers = name.split(".")
    if len(numbers) > 4 or not all(_NUMBER.fullmatch(n) for n in numbers):
        return ""
    value = 0
    for n, number in enumerate(numbers, 1):
        if number.startswith("0x"):
            part = int(number[2:] or "0", 16)
        elif number.startswith("0") and number.strip("01234567") == "":
            part = int(number, 8)
        else:
            part = int(number)
        size = 8 if n < len(numbers) else 8 * (5 - n)
        if part >= 1 << size:
            return ""
        value = value << size | part
    return str(ipaddress.IPv4Address(value))


def _ipv6(text: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(text)}]"
    except ValueError:
        return f"[{text[:MAX_HOST].lower()}]"


def unicode_host(name: str) -> str:
    """Give the form that a reader sees: U-labels for A-labels, as far as they can be decoded. Never raises."""
    if "xn--" not in name:
        return name
    return ".".join(_unicode_label(label) for label in name.split("."))


def _unicode_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def is_public_suffix(name: str) -> bool:
    """Whether it is a suffix of the Public Suffix List, under which anybody may register."""
    return bool(name) and _suffixes().publicsuffix(name, accept_unknown=False) == name


@lru_cache(maxsize=8192)
def registered_domain(name: str) -> str:
    """Give what somebody registered of a host's name: `shop.example.co.uk` is of `example.co.uk`.

    `name` as in `Host.name`. By the Public Suffix List, its private part included (each customer of github.io by
    itself); what is under none of its suffixes has its last two labels; an IP address, and a public suffix itself, is
    given as it is.
    """
    if "." not in name or _is_address(name):
        return name
    found = _suffixes().privatesuffix(name)
    return found or name
