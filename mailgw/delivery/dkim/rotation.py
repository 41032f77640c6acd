"""DKIM keys made and changed: the only place that writes them.

A rotation is a step at a time: the next keys are made (`pending`), published by the postmaster, taken into use
(`active`; the old ones are `retiring`), and the old ones are removed when nobody verifies with them any more.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Literal

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mailgw.delivery.dkim.keys import SUFFIX, StoredKey
from mailgw.delivery.dkim.states import Standing, State, read_standings, write_standings
from mailgw.operation.files import create_file, locked
from mailgw.senderauth.signing_key import SigningKey

Kind = Literal["rsa", "ed25519"]
KINDS: Sequence[Kind] = ("rsa", "ed25519")
RSA_BITS = 2048  # RFC 8301 3.2; longer keys do not fit everywhere
# The record of an old key stays for those who verify late, after its last use (features: at least 7 days).
RETIREMENT = 7 * 86400.0

Owner = tuple[int, int]


@frozen
class Step:
    """What a rotation does next. `begin`: make the next keys. `finish`: take the pending ones into use. `wait`: the
    old records have to stay until `until`. `clean`: remove the old keys. `keys` are those that it is about."""

    action: Literal["begin", "finish", "wait", "clean"]
    keys: tuple[StoredKey, ...] = ()
    until: float = 0.0


def next_step(keys: Sequence[StoredKey], now: float) -> Step:
    """Say what comes next for a domain with these keys."""
    pending = tuple(stored for stored in keys if stored.state == "pending")
    if pending:
        return Step("finish", pending)
    retiring = tuple(stored for stored in keys if stored.state == "retiring")
    if retiring:
        until = max((stored.since or 0.0) for stored in retiring) + RETIREMENT
        return Step("wait" if now < until else "clean", retiring, until)
    return Step("begin", tuple(keys))


class KeyFolder:
    """The folder of one domain's keys. Every method raises OSError, and ConfigurationErrors for its `selectors`.

    What is made is of mode 0600 and belongs to `owner` (uid and gid; -1 leaves one as it comes).
    """

    def __init__(self, directory: str, domain: str, owner: Owner = (-1, -1)) -> None:
        self.path = os.path.join(directory, domain)
        self._directory = directory
        self._domain = domain
        self._owner = owner

    def make(self, kinds: Sequence[Kind], state: State, now: float) -> tuple[StoredKey, ...]:
        """Make a key of each kind, under a selector that was never used."""
        for folder in (self._directory, self.path):
            self._make_folder(folder)
        private = [_generate(kind) for kind in kinds]
        with locked(self.path):
            standings = dict(read_standings(self.path))
            base = _free_base({*standings, *_selectors(self.path)}, now)
            made = []
            for kind, key in zip(kinds, private, strict=True):
                selector = f"{base}-{kind}"
                standings[selector] = Standing(state, now)
                path = os.path.join(self.path, selector + SUFFIX)
                made.append(StoredKey(SigningKey(self._domain, selector, key), state, now, path))
            # First the states: a key without one would sign.
            write_standings(self.path, standings, self._owner)
            for stored in made:
                create_file(stored.path, _pem(stored.key), 0o600, self._owner)
        return tuple(made)

    def finish(self, keys: Sequence[StoredKey], now: float) -> None:
        """Take the pending keys into use; those that signed retire, all in one write."""
        changes: dict[str, Standing] = {}
        for stored in keys:
            if stored.state == "pending":
                changes[stored.selector] = Standing("active", now)
            elif stored.state == "active":
                changes[stored.selector] = Standing("retiring", now)
        self._change(changes)

    def remove(self, keys: Sequence[StoredKey], now: float) -> None:
        """Remove keys for good; their names are remembered."""
        self._change({stored.selector: Standing("removed", now) for stored in keys})
        for stored in keys:
            os.unlink(stored.path)

    def _change(self, changes: Mapping[str, Standing]) -> None:
        with locked(self.path):
            write_standings(self.path, {**read_standings(self.path), **changes}, self._owner)

    def _make_folder(self, path: str) -> None:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            return
        if self._owner != (-1, -1):
            os.chown(path, *self._owner)


def _selectors(folder: str) -> Iterator[str]:
    return (name.removesuffix(SUFFIX).lower() for name in os.listdir(folder) if name.endswith(SUFFIX))


def _free_base(taken: Collection[str], now: float) -> str:
    """The quarter, such as `2026q4`; when that was used, `2026q4b` and so on."""
    moment = datetime.fromtimestamp(now, UTC)
    quarter = f"{moment.year}q{(moment.month + 2) // 3}"
    for number in count():
        base = quarter if not number else f"{quarter}{chr(ord('a') + number)}" if number < 26 else f"{quarter}-{number}"
        if not any(f"{base}-{kind}" in taken for kind in KINDS):
            return base
    raise AssertionError  # count() does not end


def _generate(kind: Kind) -> RSAPrivateKey | Ed25519PrivateKey:
    return generate_private_key(65537, RSA_BITS) if kind == "rsa" else Ed25519PrivateKey.generate()


def _pem(key: SigningKey) -> bytes:
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
