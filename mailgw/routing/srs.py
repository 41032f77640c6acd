"""The Sender Rewriting Scheme (SRS): a forwarded message goes out under a return path of ours, which leads back.

Without it the next hop would check SPF of the sender's domain against our address, and fail. The form is that of the
SRS paper (Shevek, 2004), as libsrs2, PostSRSd and Exim write it:

    SRS0=HHHHHHHH=TT=example.net=bob@OURS           for bob@example.net
    SRS1=HHHHHHHH=first.example==REST@OURS          for SRS0=REST@first.example, which forwarded it before us
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.schema import Settings
from mailgw.config.text import read_text
from mailgw.mail.address import AddressError, Mailbox, ascii_domain, parse_domain

# 40 bits: who could guess one in 2^40 may send one message to one address, through us.
_HASH = 8
# Days in two characters of base32 come round after 1,024; reports of delivery take 5 days, and some weeks at most.
_MAX_AGE = 21
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SRS0 = re.compile(r"SRS0[=+-]([A-Z2-7]{8})=([A-Z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE | re.DOTALL)
_SRS1 = re.compile(r"SRS1[=+-]([A-Z2-7]{8})=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL)
_OTHERS_SRS0 = re.compile(r"SRS0([=+-].+)", re.IGNORECASE | re.DOTALL)
_OTHERS_SRS1 = re.compile(r"SRS1[=+-][^=]+=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL)
_MINIMUM_SECRET = 16


class SrsError(ValueError):
    """The address looks like one of ours and is not, or no longer; the text says why."""


class Srs:
    """Rewrites return paths, and reads them back."""

    def __init__(self, domain: str, seconds: Callable[[], float], keys: Sequence[bytes] = ()) -> None:
        """`domain` is ours: mail for it comes to us. The first of `keys` signs, all of them are believed; without any
        nothing can be done before `use`. `seconds` is the wall clock."""
        self.domain = domain
        self._seconds = seconds
        self._keys = tuple(keys)

    def use(self, keys: Sequence[bytes]) -> None:
        """Take these keys from now on."""
        self._keys = tuple(keys)

    def forward(self, sender: Mailbox) -> Mailbox:
        """Give the return path for what `sender` sent, at most one level deep however often it was forwarded.

        It may be longer than the 64 octets that RFC 5321 4.5.3.1.1 promises to be taken: few servers refuse it, and
        the sender's own address would be refused by all that check SPF.
        """
        again = _OTHERS_SRS1.fullmatch(sender.local_part)
        if again:
            return self._srs1(again[1], again[2])
        first = _OTHERS_SRS0.fullmatch(sender.local_part)
        if first:
            return self._srs1(sender.ascii_domain, first[1])
        stamp = self._stamp()
        facts = f"{stamp}={sender.ascii_domain}={sender.local_part}"
        return Mailbox(f"SRS0={_digest(self._keys[0], facts)}={facts}", self.domain)

    def is_ours(self, mailbox: Mailbox) -> bool:
        """Whether it looks like a return path that `forward` gave."""
        return mailbox.domain == self.domain and mailbox.local_part[:4].upper() in ("SRS0", "SRS1")

    def reverse(self, mailbox: Mailbox) -> Mailbox:
        """Give the address behind a return path of ours. Raises SrsError."""
        first = _SRS0.fullmatch(mailbox.local_part)
        if first:
            digest, stamp, domain, local_part = first.groups()
            self._check(digest, f"{stamp}={domain}={local_part}")
            self._check_age(stamp.upper())
        else:
            again = _SRS1.fullmatch(mailbox.local_part)
            if again is None:
                raise SrsError("it is no return path of ours")
            digest, domain, rest = again.groups()
            self._check(digest, f"{domain}={rest}")
            local_part = f"SRS0{rest}"
        try:
            return Mailbox(local_part, parse_domain(domain))
        except AddressError as error:  # only a key that leaked can sign it
            raise SrsError(str(error)) from None

    def _srs1(self, domain: str, rest: str) -> Mailbox:
        facts = f"{domain}={rest}"
        return Mailbox(f"SRS1={_digest(self._keys[0], facts)}={facts}", self.domain)

    def _check(self, digest: str, facts: str) -> None:
        # Some servers change the case of local parts, so it does not count.
        given = digest.upper().encode()
        if not any(hmac.compare_digest(given, _digest(key, facts).encode()) for key in self._keys):
            raise SrsError("its signature is not ours")

    def _stamp(self) -> str:
        day = int(self._seconds() // 86400)
        return _BASE32[(day >> 5) & 31] + _BASE32[day & 31]

    def _check_age(self, stamp: str) -> None:
        day = _BASE32.index(stamp[0]) << 5 | _BASE32.index(stamp[1])
        age = (int(self._seconds() // 86400) - day) % 1024
        if age > _MAX_AGE and age != 1023:  # a clock may be a day behind
            raise SrsError("it is too old")


def _digest(key: bytes, facts: str) -> str:
    found = hmac.new(key, facts.lower().encode(), hashlib.sha256).digest()
    return base64.b32encode(found)[:_HASH].decode()


def srs_domain(settings: Settings) -> str:
    """Give the domain of our return paths, in A-labels."""
    ours = next(iter(settings.domains), settings.hostname)
    return ascii_domain(settings.forwarding.srs_domain or ours)


def secrets_file(settings: Settings) -> Path:
    """Give the file of the keys: the configured one, or our own."""
    return Path(settings.forwarding.srs_secrets_file or os.path.join(settings.state_directory, "srs.secret"))


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """Read the keys, one a line, the one that signs first. Raises ConfigurationErrors."""
    keys = [line.strip() for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    if not keys:
        raise ConfigurationErrors(
            [ConfigError(str(path), "", "it holds no secret; write one, a line of 32 characters")]
        )
    for number, key in enumerate(keys, 1):
        if len(key) < _MINIMUM_SECRET:
            message = f"secret {number} is shorter than {_MINIMUM_SECRET} characters: it could be guessed"
            raise ConfigurationErrors([ConfigError(str(path), "", message)])
    return tuple(key.encode() for key in keys)


def make_secrets(path: Path) -> None:
    """Make a file with a key when there is none. Raises OSError."""
    if path.exists():
        return
    made = path.with_name(f"{path.name}.{os.getpid()}")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w") as stream:
        stream.write(secrets.token_urlsafe(32) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(made, path)  # whole, and only where another worker was not first
    except FileExistsError:
        pass
    finally:
        made.unlink()
