"""Content on its way into the queue: small in memory, large in a file of its own."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from mailgw.mail.message import BytesContent, Content, FileContent
from mailgw.mail.reply import TemporaryFailure
from mailgw.operation.threads import Threads
from mailgw.queue.disk import storage_failure, sync_directory

# What is gathered before a write in a thread: a hop between threads costs as much as writing some 100 KB.
_GATHER = 256 * 1024


class ContentFile:
    """One file being written. Every method blocks, and is for one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, FileExistsError too: an id is used once."""
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def append(self, pieces: list[bytes]) -> None:
        data = memoryview(b"".join(pieces))
        while data:
            data = data[os.write(self._descriptor, data) :]

    def sync(self) -> None:
        """Make it durable, its name too, and close it."""
        os.fsync(self._descriptor)
        self._close()
        sync_directory(self.path.parent)

    def remove(self) -> None:
        self._close()
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class ContentFiles:
    """The folder of content files. A file is named by its message's id, so that no row needs to hold its path."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.taken: set[str] = set()
        """Message ids whose file a `put` that is under way has taken: whoever wrote it may not remove it any more."""

    def path(self, message_id: str) -> Path:
        if not message_id.isalnum() or not message_id.isascii():
            raise ValueError(f"{message_id!r} is not a message id")
        return self.directory / message_id

    def create(self, message_id: str) -> ContentFile:
        """Blocks. Raises OSError."""
        return ContentFile(self.path(message_id))

    def link(self, path: str, message_id: str) -> str:
        """Give a finished content a second name, durably: the octets are there once, until both messages are gone.
        Blocks. Raises OSError."""
        copy = self.path(message_id)
        os.link(path, copy)
        sync_directory(self.directory)
        return str(copy)

    def remove(self, message_id: str) -> None:
        """Blocks. Raises OSError."""
        self.path(message_id).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Blocks. Raises OSError."""
        return os.listdir(self.directory)


class SpillingWriter:
    """The ContentWriter of a store with a disk: over `inline_size` octets it goes on in a file."""

    def __init__(self, files: ContentFiles, threads: Threads, message_id: str, inline_size: int) -> None:
        self._files = files
        self._threads = threads
        self._message_id = message_id
        self._inline_size = inline_size
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._size = 0
        self._ended = False
        self._spilled = False
        # Held by the thread that works on the file: a session that is cancelled while it waits for a write leaves
        # that write running, and its abort must come behind it.
        self._lock = threading.Lock()
        self._file: ContentFile | None = None
        self._aborted = False

    async def write(self, data: bytes) -> None:
        if self._ended:
            raise ValueError("the content has ended")
        self._pieces.append(data)
        self._gathered += len(data)
        self._size += len(data)
        if self._size > self._inline_size and self._gathered >= _GATHER:
            await self._flush()

    async def finish(self) -> Content:
        self._ended = True
        if self._size <= self._inline_size:
            return BytesContent(self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces))
        await self._flush(last=True)
        return FileContent(str(self._files.path(self._message_id)), self._size)

    async def abort(self) -> None:
        self._ended = True
        self._pieces.clear()
        if self._spilled and self._message_id not in self._files.taken:
            try:
                await self._threads.run(self._discard)
            except OSError as error:
                raise TemporaryFailure(f"queue: cannot remove the content of {self._message_id}: {error}") from error

    async def _flush(self, *, last: bool = False) -> None:
        pieces, self._pieces, self._gathered = self._pieces, [], 0
        self._spilled = True
        try:
            await self._threads.run(self._write_out, pieces, last)
        except OSError as error:
            raise storage_failure(f"queue: cannot write the content of {self._message_id}", error) from error

    def _write_out(self, pieces: list[bytes], last: bool) -> None:
        with self._lock:
            if self._aborted:
                return
            if self._file is None:
                self._file = self._files.create(self._message_id)
            self._file.append(pieces)
            if last:
                self._file.sync()

    def _discard(self) -> None:
        with self._lock:
            self._aborted = True
            if self._file is not None:
                self._file.remove()
