"""Makes everything that a gateway to try needs, in one folder. A second run keeps what is there."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from mailgw.develop.certificate import expires_soon, make_certificate
from mailgw.develop.messages import ALICE, BOB, OUR_DOMAIN, make_dkim_key, messages_to_try
from mailgw.mail.address import Mailbox
from mailgw.reception.credentials import hash_password
from mailgw.routing.users import set_user

HOSTNAME = f"mail.{OUR_DOMAIN}"


@frozen
class Ports:
    """The ports on 127.0.0.1."""

    mx: int = 2525
    implicit: int = 4465
    submission: int = 5587
    sink: int = 2526
    dns: int = 5300  # not 5353: multicast DNS holds it on many machines


@frozen
class Layout:
    """Where things stand below the folder."""

    root: Path

    @property
    def etc(self) -> Path:
        return self.root / "etc"

    @property
    def configuration(self) -> Path:
        return self.etc / "mailgw.toml"

    @property
    def users(self) -> Path:
        return self.etc / "users"

    @property
    def password(self) -> Path:
        return self.root / "password"

    @property
    def certificate(self) -> Path:
        return self.root / "tls" / "certificate.pem"

    @property
    def certificate_key(self) -> Path:
        return self.root / "tls" / "key.pem"

    @property
    def dkim_key(self) -> Path:
        return self.root / "dkim" / "sender.test.pem"

    @property
    def messages(self) -> Path:
        return self.root / "messages"

    @property
    def mail(self) -> Path:
        return self.root / "mail"

    @property
    def sink(self) -> Path:
        return self.root / "sink"

    @property
    def state(self) -> Path:
        return self.root / "state"


def prepare(layout: Layout, ports: Ports, shipped: Path, now: float) -> str:
    """Make what is missing; give the password of the users.

    `shipped` is the folder with filters.toml and rules.toml to copy; `now` is the wall clock. Queue, mail, password
    and keys are kept. Files of the configuration are written anew unless somebody has changed them since we did.
    The messages to try are made anew, so that their Date is of today. Raises OSError.
    """
    for folder in (layout.root, layout.etc, layout.messages, layout.mail, layout.sink, layout.state):
        folder.mkdir(parents=True, exist_ok=True)
    _prepare_certificate(layout, now)
    password = _kept(layout.password, lambda: f"{secrets.token_urlsafe(12)}\n".encode()).decode().strip()
    dkim_key = _kept(layout.dkim_key, make_dkim_key)
    aliases = f"# address: address, address\npostmaster@{OUR_DOMAIN}: {ALICE}\nteam@{OUR_DOMAIN}: {ALICE}, {BOB}\n"
    texts = {
        "mailgw.toml": _configuration(layout, ports),
        "filters.toml": _shipped(shipped / "filters.toml"),
        "rules.toml": _shipped(shipped / "rules.toml"),
        "aliases": aliases,
    }
    _prepare_configuration(layout, texts)
    _prepare_users(layout, password)
    for name, message in messages_to_try(dkim_key, now).items():
        _write(layout.messages / name, message)
    return password


def _prepare_certificate(layout: Layout, now: float) -> None:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    there = layout.certificate_key.exists() and layout.certificate.exists()
    if there and not expires_soon(layout.certificate.read_bytes(), moment):
        return
    certificate, key = make_certificate((HOSTNAME, "localhost", "127.0.0.1", "::1"), moment)
    _write(layout.certificate_key, key, private=True)
    _write(layout.certificate, certificate)


def _prepare_users(layout: Layout, password: str) -> None:
    """Give alice and bob the password, unless the file is there: `mailgw user` may have changed it."""
    if not layout.users.exists():
        for user in (ALICE, BOB):
            set_user(str(layout.users), Mailbox.parse(user), hash_password(password))


def _prepare_configuration(layout: Layout, texts: dict[str, str]) -> None:
    """Write the files that are not there, or are as we wrote them the last time."""
    notes = layout.root / "generated.json"
    written: dict[str, str] = json.loads(notes.read_text()) if notes.exists() else {}
    for name, text in texts.items():
        path = layout.etc / name
        if path.exists() and _digest(path.read_text()) != written.get(name):
            continue
        _write(path, text.encode())
        written[name] = _digest(text)
    _write(notes, json.dumps(written, indent=1).encode())


def _configuration(layout: Layout, ports: Ports) -> str:
    return f"""\
# A gateway to try on loopback, made by `make run`. Change it as you like: a changed file is not written again.

hostname = "{HOSTNAME}"
state_directory = {_quoted(layout.state)}
user = ""                       # stay who we are

[domains."{OUR_DOMAIN}"]
deliver = "maildir"

[listeners.mx]
addresses = ["127.0.0.1:{ports.mx}"]
kind = "mx"
tls = "starttls"

[listeners.submissions]
addresses = ["127.0.0.1:{ports.implicit}"]
kind = "submission"
tls = "implicit"

[listeners.submission]
addresses = ["127.0.0.1:{ports.submission}"]
kind = "submission"
tls = "starttls"

[tls]
certificate_file = {_quoted(layout.certificate)}
key_file = {_quoted(layout.certificate_key)}

[maildir]
root = {_quoted(layout.mail)}

[relay]
default = "route:sink"          # nothing reaches the Internet
dane = false                    # the DNS server here knows no DNSSEC

[routes.sink]
hosts = ["127.0.0.1:{ports.sink}"]

[queue]
retry = [10.0, 30.0, 60.0]      # a try is worth seeing soon

[dns]
servers = ["127.0.0.1:{ports.dns}"]
"""


def _quoted(path: Path) -> str:
    """A TOML string; JSON writes the same."""
    return json.dumps(str(path.resolve()), ensure_ascii=False)


def _shipped(path: Path) -> str:
    return path.read_text() if path.exists() else "# Nothing: the defaults hold.\n"


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    """Read a private file; make it when it is not there."""
    if not path.exists():
        _write(path, make(), private=True)
    return path.read_bytes()


def _write(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    partial.replace(path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
