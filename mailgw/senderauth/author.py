"""The author, and the Author Domain (RFC 9989 5.3.1): whose name stands in From.

What programs show as the author must not be something else than what is checked. So where programs could differ
about the domain, nothing is guessed: the field is invalid, which is said as evidence. How a display name or a local
part is written does not matter here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailgw.mail.address import AddressError, Mailbox, ascii_domain
from mailgw.mail.message import Message

MAX_FIELD = 8192
# RFC 9989 11.5: several authors are all looked at, and a bound guards against a field with hundreds.
MAX_DOMAINS = 4

# The usual forms: `Name <local@domain>`, `"Name" <local@domain>`, `local@domain`.
_NAME = r'(?:"(?:[^"\\]|\\.)*+"|[^<>"(),:;@\\]*+)'
_USUAL = re.compile(
    rf'\s*(?:{_NAME}\s*<([^<>\s"(),:;@\\]+)@([^<>\s"(),:;@\\]+)>|([^<>\s"(),:;@]+)@([^<>\s"(),:;@\\]+))\s*'
)
# RFC 5322 3.2: quoted string, domain literal, special, space, or anything else up to one of these.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|\[[^\[\]\\\s]*\]|["()<>,:;@\\\[\]]|\s+|[^"()<>,:;@\\\[\]\s]+', re.S)
_COMMENT_PART = re.compile(r"[()]|\\.", re.S)
_DOT = re.compile(r" *\. *")
# Underscores are in no host name, but in names that have a DMARC record.
_DOMAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


class AuthorError(ValueError):
    """The message has no author that DMARC could look at; the text says why."""


def author_domains(message: Message) -> tuple[str, ...]:
    """Give the domains of From, in lower-case A-labels, each once: at least one, at most 4. Raises AuthorError."""
    domains = tuple(dict.fromkeys(_checked(domain) for _, domain in _addresses(message)))
    if len(domains) > MAX_DOMAINS:
        raise AuthorError(f"{len(domains)} domains in From")
    return domains


def authors(message: Message) -> tuple[Mailbox, ...]:
    """Give the addresses of From, at least one. Raises AuthorError."""
    try:
        return tuple(Mailbox.parse(f"{local}@{_checked(domain)}") for local, domain in _addresses(message))
    except AddressError as error:
        raise AuthorError(f"From holds no valid address: {error}") from None


def _addresses(message: Message) -> list[tuple[str, str]]:
    """Give the local parts, as they are written, and the domains of From: at least one. Raises AuthorError."""
    fields = message.get_all("from")
    if len(fields) != 1:
        # RFC 9989 4.4: with a repeated field there is no telling whose policy applies.
        raise AuthorError(f"{len(fields)} From fields" if fields else "no From field")
    value = fields[0].value
    if len(value) > MAX_FIELD:
        raise AuthorError(f"From is longer than {MAX_FIELD} octets")
    # RFC 6532 3.2: what is not ASCII is UTF-8. In a domain, what is not becomes a character that no domain has.
    text = value.decode("utf-8", "replace")
    usual = _USUAL.fullmatch(text)
    if usual:
        local, domain, bare_local, bare_domain = usual.groups()
        return [(local or bare_local, domain or bare_domain)]
    found = _parse(text)
    if not found:
        raise AuthorError("no address in From")
    return found


def _checked(domain: str) -> str:
    """Give the domain as DNS has it. Raises AuthorError when it is none."""
    if domain.startswith("["):
        raise AuthorError("the address in From has no domain, but an address literal")
    try:
        name = ascii_domain(domain) if len(domain) <= 255 else ""
    except AddressError:
        name = ""
    name = name.removesuffix(".")
    if len(name) > 253 or not _DOMAIN.fullmatch(name):
        raise AuthorError(f"From has no valid domain: {domain[:80]!a}")
    return name


def _parse(text: str) -> list[tuple[str, str]]:
    """Take a mailbox-list or address-list (RFC 5322 3.4, RFC 6854) apart. Raises AuthorError."""
    found: list[tuple[str, str]] = []
    words: list[str] = []
    address: list[str] | None = None  # what stands in <>
    inside = False
    for token in (*_tokens(text), ","):
        if inside:
            if token in ("<", ",", ":", ";"):  # also the route of RFC 5322 4.4, which nobody writes any more
                raise AuthorError("From cannot be read: the angle brackets are not around one address")
            inside = token != ">"
            if inside and address is not None:
                address.append(token)
        elif token == "<":
            if address is not None:
                raise AuthorError("From cannot be read: two addresses without a comma")
            address, inside, words = [], True, []
        elif token in (",", ";"):
            found += _address_of(address, words)
            address, words = None, []
        elif token == ":":  # the end of a group's name
            if address is not None or "@" in words:
                raise AuthorError("From cannot be read: a colon behind an address")
            words = []
        elif token == ">":
            raise AuthorError("From cannot be read: > without <")
        else:
            words.append(token)
    if inside:
        raise AuthorError("From cannot be read: < without >")
    return found


def _address_of(address: list[str] | None, words: list[str]) -> list[tuple[str, str]]:
    """Give local part and domain of one element of the list; nothing when it is only words, such as a name with a
    comma in it."""
    if address is None:
        spec = words
        if "@" not in spec:
            return []
    else:
        spec = address
        if any(word != " " for word in words):
            raise AuthorError("From cannot be read: something stands behind an address")
    if spec.count("@") != 1:
        raise AuthorError("From cannot be read: an address has not exactly one @")
    at = spec.index("@")
    local = _DOT.sub(".", "".join(spec[:at]).strip())
    if not local:
        raise AuthorError("From cannot be read: an address has nothing before its @")
    return [(local, _DOT.sub(".", "".join(spec[at + 1 :]).strip()))]


def _tokens(text: str) -> Iterator[str]:
    """Give the tokens; space and comments are one space. Raises AuthorError where one does not end."""
    position = 0
    while token := _TOKEN.match(text, position):
        word = token.group()
        position = token.end()
        if word == "(":
            position = _behind_comment(text, position)
            yield " "
        elif word == '"':
            raise AuthorError("From cannot be read: a quoted string does not end")
        else:
            yield " " if word.isspace() else word


def _behind_comment(text: str, start: int) -> int:
    depth = 1
    for part in _COMMENT_PART.finditer(text, start):
        if part.group() in "()":
            depth += 1 if part.group() == "(" else -1
            if not depth:
                return part.end()
    raise AuthorError("From cannot be read: a comment does not end")
