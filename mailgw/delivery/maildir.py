"""Delivery to folders: Maildir++, durable before it is settled."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from email.header import Header
from typing import Protocol

from attrs import evolve, frozen
from twisted.logger import Logger

from mailgw.config import schema
from mailgw.mail.address import AddressError, Mailbox
from mailgw.mail.message import FileContent, Message
from mailgw.operation.threads import Threads
from mailgw.queue.item import Delayed, Delivered, Delivery, Destination, Outcome, QueuedMessage

# What stands in a path as it is; every other octet is percent-encoded, a leading dot too.
_UNSAFE = re.compile(rb"^\.|[^A-Za-z0-9._+=@~-]")
_CONVERT_SIZE = 256 * 1024


class Clock(Protocol):
    def seconds(self) -> float: ...


class MaildirAgent:
    """Puts messages into ROOT/DOMAIN/LOCAL_PART, a Maildir++.

    Lines end with LF there, as every delivery agent of Unix writes them and every reader expects.
    """

    log = Logger()
    max_recipients = 100

    def __init__(self, settings: schema.Maildir, threads: Threads, hostname: str, clock: Clock) -> None:
        """`hostname` makes file names unique among machines that share the folders. Raises ValueError for a folder
        name that is none."""
        self._root = settings.root
        self._folders = {"inbox": _folder(settings.inbox), "": _folder(settings.inbox), "spam": _folder(settings.spam)}
        self._spam_subject = settings.spam_subject
        self._threads = threads
        # https://cr.yp.to/proto/maildir.html: `/` and `:` of the host name are written so.
        self._hostname = hostname.replace("/", "\\057").replace(":", "\\072")
        self._clock = clock
        self._started = clock.seconds()

    async def site(self, destination: Destination) -> str:
        """All folders are one site: they share the disk."""
        return "maildir"

    async def close(self) -> None:
        """Nothing is kept open."""

    def path(self, destination: Destination) -> str:
        """Give the Maildir of a destination. Raises AddressError."""
        mailbox = Mailbox.parse(destination.target)
        path = os.path.join(self._root, encode_name(mailbox.ascii_domain), encode_name(mailbox.local_part))
        return os.path.join(path, self._folders[destination.folder])

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """Write one copy for each delivery."""
        destination = deliveries[0].destination
        try:
            path = self.path(destination)
        except AddressError as error:
            return [Delayed("4.3.5", f"{destination} names no mailbox: {error}") for _ in deliveries]
        copies = [
            Copy(
                name=f"{int(message.received)}.{message.id}_{delivery.number}.{self._hostname}",
                # A crash between rename and settle, or a settle that failed, may have left the copy there.
                maybe_there=message.received < self._started or delivery.attempts > 0,
            )
            for delivery in deliveries
        ]
        trace = _trace(message, destination.target)
        if self._spam_subject and destination.folder == "spam":
            message = evolve(message, message=tagged(message.message, self._spam_subject))
        try:
            await self._threads.run(store, path, self._root, message, trace, copies)
        except OSError as error:
            outcome = _trouble(error)
            self.log.warn(
                "cannot write {transaction} to {path}: {reason}",
                event="maildir_trouble",
                transaction=message.id,
                path=path,
                reason=outcome.reason,
            )
            return [outcome for _ in deliveries]
        return [Delivered(f"in folder {path}", action="delivered") for _ in deliveries]


@frozen
class Copy:
    """One file to write. The name comes from the message and the delivery, so that a second attempt finds it."""

    name: str
    maybe_there: bool


def encode_name(text: str) -> str:
    """Make one path component of any text: never empty, `.`, `..`, hidden, or with a `/`."""
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], text.encode()).decode("ascii") or "%"


def store(path: str, root: str, message: QueuedMessage, trace: bytes, copies: Sequence[Copy]) -> None:
    """Write the copies durably (blocks). Raises OSError; then no copy is lost, and a part of them may be there."""
    new = os.path.join(path, "new")
    there = _names_there(path) if any(copy.maybe_there for copy in copies) else frozenset()
    for copy in copies:
        if copy.name in there:
            continue
        temporary = os.path.join(path, "tmp", copy.name)
        try:
            try:
                size = _write(temporary, message, trace)
            except FileNotFoundError:
                _make_maildir(path, root)
                size = _write(temporary, message, trace)
            os.rename(temporary, os.path.join(new, f"{copy.name},S={size}"))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    _sync_directory(new)


def _write(temporary: str, message: QueuedMessage, trace: bytes) -> int:
    """Write one file with its fsync; give its size."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, 0o600)
    except FileExistsError:  # what a crash left of an earlier attempt
        os.unlink(temporary)
        descriptor = os.open(temporary, flags, 0o600)
    with open(descriptor, "wb", buffering=0) as file:
        size = 0
        for data in _local_lines(trace, message):
            size += len(data)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        os.fsync(descriptor)
    return size


def _local_lines(trace: bytes, message: QueuedMessage) -> Iterator[bytes]:
    """Give what the file holds, with LF line ends, in pieces."""
    chunks = message.message.output(_CONVERT_SIZE)
    if not isinstance(message.message.content, FileContent):
        yield (trace + b"".join(chunks)).replace(b"\r\n", b"\n")
        return
    held = trace
    for chunk in chunks:
        data = held + chunk
        held = data[-1:] if data.endswith(b"\r") else b""
        yield data[: len(data) - len(held)].replace(b"\r\n", b"\n")
    yield held


def _names_there(path: str) -> frozenset[str]:
    """Give the names of the copies in new and cur, without what follows `,` (size) and `:` (flags)."""
    names: set[str] = set()
    for directory in ("new", "cur"):
        with contextlib.suppress(FileNotFoundError):
            names.update(re.split("[,:]", name, maxsplit=1)[0] for name in os.listdir(os.path.join(path, directory)))
    return frozenset(names)


def _make_maildir(path: str, root: str) -> None:
    """Create the Maildir and what is missing above it (0700), durably."""
    os.makedirs(root, 0o700, exist_ok=True)
    parent, name = os.path.split(path)
    if name.startswith("."):
        _make_maildir(parent, root)
    missing = []
    above = path
    while above != root and not os.path.isdir(above):
        missing.append(above)
        above = os.path.dirname(above)
    # `tmp` comes last: where it is, the others are.
    for directory in (*reversed(missing), *(os.path.join(path, part) for part in ("new", "cur", "tmp"))):
        with contextlib.suppress(FileExistsError):  # another delivery made it at the same time
            os.mkdir(directory, 0o700)
    if name.startswith("."):  # Maildir++: this marks a folder of the Maildir above it
        with open(os.path.join(path, "maildirfolder"), "ab"):
            pass
    for directory in (path, *(os.path.dirname(d) for d in missing)):
        _sync_directory(directory)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _trace(message: QueuedMessage, target: str) -> bytes:
    """Return-Path (RFC 5321 4.4) and Delivered-To (RFC 9228), in front of everything."""
    return f"Return-Path: <{message.envelope.reverse_path or ''}>\r\nDelivered-To: {target}\r\n".encode()


def _trouble(error: OSError) -> Delayed:
    """Say what the file system's error means. Nothing of it is for good: a postmaster can mend it."""
    reason = f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)
    if error.errno == errno.EDQUOT:
        return Delayed("4.2.2", f"the mailbox is over its quota: {reason}")
    if error.errno in (errno.ENOSPC, errno.EIO, errno.EROFS):
        return Delayed("4.3.1", f"the disk of the mailboxes takes no more: {reason}", site_wide=True)
    return Delayed("4.3.0", f"the folder cannot be written: {reason}")


def tagged(message: Message, tag: str) -> Message:
    """Give the message as it reads with the tag in front of its Subject. The received bytes stay what they are: the
    field is left out, and stands in front of the others, changed."""
    text = tag if tag.isascii() else Header(tag, "utf-8").encode()
    subject = message.get("subject")
    if subject is None:
        return evolve(message, prefix=message.prefix + f"Subject: {text}\r\n".encode())
    start = message.head.index(subject.raw)
    end = start + len(subject.raw)
    if any(cut_start < end and start < cut_end for cut_start, cut_end in message.cuts):
        return message
    field = f"Subject: {text} ".encode() + subject.raw.partition(b":")[2].lstrip(b" \t")
    return evolve(message, prefix=message.prefix + field, cuts=tuple(sorted((*message.cuts, (start, end)))))


def _folder(name: str) -> str:
    """Give the directory of a folder below the Maildir; empty for the Maildir itself."""
    if name.upper() == "INBOX":
        return ""
    if not name.strip(".") or "/" in name or "\0" in name or ".." in name:
        raise ValueError(f"{name!r} is no Maildir++ folder: write INBOX, or a name such as .Spam without slash")
    return name if name.startswith(".") else f".{name}"
