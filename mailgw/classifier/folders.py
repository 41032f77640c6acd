"""What users moved between INBOX and their spam folder: messages that lie elsewhere than we put them.

Where we put a copy stands in it: our Received field on top, and X-Spam-Flag, which is nobody's but ours. Only these two
folders are looked at, so a message moved to the trash, deleted or filed says nothing; and only `cur`, where mail
programs put what users move. A folder that has not changed since costs one stat, a message one read of its header.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

_HEAD = 16 * 1024
_LARGEST = 16 * 1024 * 1024
_FLAG = re.compile(rb"^X-Spam-Flag:[ \t]*YES", re.IGNORECASE | re.MULTILINE)
# The times of two machines that share the folders may differ.
_OVERLAP = 120.0
# https://cr.yp.to/proto/maildir.html: the user has thrown it away.
_TRASHED = re.compile(r":2,[A-Z]*T")


@frozen
class Folders:
    """Where they are: below ROOT/DOMAIN/USER, an empty name for that Maildir itself."""

    root: str
    inbox: str
    spam: str
    hostname: str
    """As our Received field has it."""

    @classmethod
    def of(cls, root: str, inbox: str, spam: str, hostname: str) -> Folders:
        """Make it of names as etc has them."""
        return cls(root, _directory(inbox), _directory(spam), hostname)


def _directory(name: str) -> str:
    return "" if name.upper() == "INBOX" else f".{name.lstrip('.')}"


@frozen
class Filed:
    """A message that lies in one of the two folders. `reference` names the copy: transaction, domain and user."""

    path: Path
    reference: str
    now_spam: bool
    was_spam: bool

    def read(self) -> bytes:
        """Give its octets. Raises OSError."""
        with open(self.path, "rb") as file:
            return file.read(_LARGEST)


def find_filed(folders: Folders, since: float) -> Iterator[Filed]:
    """Give the messages that came into one of the folders, or were touched there, since then. What vanishes meanwhile
    is passed over. Blocks."""
    received = re.compile(
        rb"\AReceived: [^\n]*(?:\n[ \t][^\n]*)*?\bby %b \(mailgw\) with \S+\s+id ([0-9A-Z]{16})\b"
        % re.escape(folders.hostname.encode())
    )
    for domain in _directories(folders.root):
        for user in _directories(domain.path):
            for name, is_spam in ((folders.inbox, False), (folders.spam, True)):
                for path in _changed(os.path.join(user.path, name, "cur"), since - _OVERLAP):
                    filed = _look(path, f"{domain.name}/{user.name}", received, is_spam)
                    if filed:
                        yield filed


def _directories(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted((e for e in entries if e.is_dir(follow_symlinks=False)), key=lambda entry: entry.name)
    except OSError:
        return []


def _changed(directory: str, since: float) -> Iterator[str]:
    """Give the files whose name or place changed since then."""
    try:
        if os.stat(directory).st_mtime < since:
            return
        with os.scandir(directory) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_ctime >= since and not _TRASHED.search(entry.name):
                    yield entry.path
    except OSError:
        return


def _look(path: str, mailbox: str, received: re.Pattern[bytes], is_spam: bool) -> Filed | None:
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD).replace(b"\r\n", b"\n")
    except OSError:
        return None
    head = head.partition(b"\n\n")[0]
    # Return-Path and Delivered-To stand before it. It is the first of its kind, or the message came another way.
    start = head.find(b"\nReceived:") + 1 if not head.startswith(b"Received:") else 0
    ours = received.match(head[start:])
    if not ours:
        return None
    reference = f"{ours.group(1).decode()}/{mailbox}"
    return Filed(Path(path), reference, is_spam, bool(_FLAG.search(head)))
