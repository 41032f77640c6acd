"""The users file: who has a mailbox here, and the hash of the password. `address:hash` a line.

Reading and writing of the format only; what a hash is worth is `reception.credentials`' matter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager

from attrs import frozen

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.text import read_text
from mailgw.mail.address import AddressError, Mailbox
from mailgw.operation.files import locked, replace_file
from mailgw.routing.recipients import Key, mailbox_key

NO_PASSWORD = "!"
"""In place of a hash: the mailbox is there, and nobody logs in as it."""

# The PHC string format as argon2 writes it.
_HASH = re.compile(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")


@frozen
class User:
    """A line of the users file."""

    mailbox: Mailbox
    password_hash: str
    line: int

    @property
    def key(self) -> Key:
        return mailbox_key(self.mailbox)


def read_users(path: str) -> tuple[User, ...]:
    """Read the users file, in its order. Raises ConfigurationErrors with every line that is wrong."""
    users: dict[Key, User] = {}
    errors = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            user = _parse_line(text, number)
        except ValueError as error:
            errors.append(ConfigError(path, "", str(error), number))
            continue
        first = users.setdefault(user.key, user)
        if first is not user:
            errors.append(ConfigError(path, str(user.mailbox), f"is in line {first.line} already", number))
    if errors:
        raise ConfigurationErrors(errors)
    return tuple(users.values())


def set_user(path: str, mailbox: Mailbox, password_hash: str, group: int | None = None) -> None:
    """Add a user, or give one that is there a new hash; the other lines stay as they are.

    The file comes to be when it is not there. Raises OSError.
    """
    with _locked(path):
        lines = list(_lines(path))
        new = f"{mailbox}:{password_hash}\n"
        position = _find(lines, mailbox)
        if position is None:
            if lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
            lines.append(new)
        else:
            lines[position] = new
        _write(path, "".join(lines), group)


def remove_user(path: str, mailbox: Mailbox) -> bool:
    """Remove a user; the other lines stay as they are. Say whether it was there. Raises OSError."""
    with _locked(path):
        lines = list(_lines(path))
        position = _find(lines, mailbox)
        if position is None:
            return False
        del lines[position]
        _write(path, "".join(lines), None)
        return True


def _parse_line(text: str, number: int) -> User:
    # A quoted local part may hold a colon, a hash never does.
    address, colon, password_hash = text.rpartition(":")
    if not colon:
        raise ValueError(f'"{text}" is not ADDRESS:HASH; add users with `mailgw user add`')
    try:
        mailbox = Mailbox.parse(address.strip())
    except AddressError as error:
        raise ValueError(f'"{address}" is not an address: {error}') from None
    password_hash = password_hash.strip()
    # The text is not shown: it may be a password that was written here by mistake.
    if password_hash != NO_PASSWORD and not _HASH.fullmatch(password_hash):
        raise ValueError(f"what stands behind {mailbox} is no argon2id hash; write it with `mailgw user password`")
    return User(mailbox, password_hash, number)


def _locked(path: str) -> AbstractContextManager[None]:
    """The lock is the folder's: the file itself is replaced."""
    return locked(os.path.dirname(os.path.abspath(path)))


def _lines(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            yield from file
    except FileNotFoundError:
        return


def _find(lines: list[str], mailbox: Mailbox) -> int | None:
    for position, line in enumerate(lines):
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                if mailbox_key(Mailbox.parse(text.rpartition(":")[0].strip())) == mailbox_key(mailbox):
                    return position
            except AddressError:
                continue  # a line that is wrong stays, for `mailgw check` to name
    return None


def _write(path: str, text: str, group: int | None) -> None:
    """Mode 0640, so that the gateway reads it by its group once its privileges are dropped; owner and group stay."""
    replace_file(path, text.encode(), 0o640, _ownership(path, group))


def _ownership(path: str, group: int | None) -> tuple[int, int]:
    """Give the owner and group to set; -1 leaves one as it comes. Only root may give a file away."""
    if os.geteuid() != 0:
        return -1, -1
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return -1, -1 if group is None else group
    return status.st_uid, status.st_gid
