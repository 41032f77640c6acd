"""The log: one line an event, as text for people or as JSON for machines."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TextIO

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

from mailgw.config.schema import Log

_OWN = frozenset({"event", "format", "message", "time", "system", "isError", "failure", "why"})

# Of ports and protocols: two lines for each connection to a next hop.
_TWISTEDS_TALK = ("log_legacy", "twisted.internet.protocol.")


@implementer(ILogObserver)
class LineObserver:
    """Writes each event of at least the configured level as one line.

    `write` takes a line with its line end. With `worker` each line carries its number. A value that JSON does not know
    is written as its text.
    """

    def __init__(
        self,
        settings: Log,
        write: Callable[[str], Any],
        reopen: Callable[[], None] = lambda: None,
        worker: int | None = None,
    ) -> None:
        self._worker = worker
        lowest = LogLevel.levelWithName(settings.level)
        self._names = {level: level.name for level in LogLevel.iterconstants() if level >= lowest}
        self._line = _json_line if settings.format == "json" else _text_line
        self._write = write
        self.reopen = reopen
        """Open the file anew, when there is one: it may have been moved away. Raises OSError, and goes on as before."""

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level", LogLevel.info)
        if level == LogLevel.info and event.get("log_namespace", "").startswith(_TWISTEDS_TALK):
            level = LogLevel.debug
        name = self._names.get(level)
        if name is not None:
            if self._worker is not None:
                event = {"worker": self._worker, **event}
            self._write(self._line(event, name))


def observer(
    settings: Log, stream: TextIO | None, *, worker: int | None = None, descriptor: int | None = None
) -> LineObserver:
    """Make the observer that writes to the configured file, or to `stream`.

    `descriptor` is that of the file where it is open already. With `worker` each line carries its number.

    Raises OSError when the file cannot be opened, and where there is neither. Each line is flushed, so that nothing
    of the log is lost with the process.
    """
    if settings.file:
        file = _LogFile(settings.file, descriptor)
        return LineObserver(settings, file.write, file.reopen, worker)
    if stream is None:
        raise OSError("log.file: a daemon needs a file for its log; name one, or start twistd with --nodaemon")
    target = stream
    if isinstance(stream, io.TextIOWrapper):
        # In a locale that cannot write a character an event with it would be lost.
        stream.reconfigure(errors="backslashreplace")

    def write(line: str) -> None:
        target.write(line)
        target.flush()

    return LineObserver(settings, write, worker=worker)


class _LogFile:
    """Raises OSError when it cannot be opened."""

    def __init__(self, path: str, descriptor: int | None) -> None:
        self._path = path
        self._file = _open(path, descriptor)

    def write(self, line: str) -> None:
        self._file.write(line)
        self._file.flush()

    def reopen(self) -> None:
        old, self._file = self._file, _open(self._path)
        old.close()


def _open(path: str, descriptor: int | None = None) -> TextIO:
    try:
        return open(path if descriptor is None else descriptor, "a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OSError(f"log.file: cannot write {path}: {error.strerror}") from None


def _timestamp(event: LogEvent) -> str:
    seconds = float(event.get("log_time", 0.0))
    return f"{_second(int(seconds))}.{int(seconds * 1000) % 1000:03d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _message(event: LogEvent) -> str:
    try:
        # Twisted's formatEvent takes five times as long. It is needed for what only it knows, such as `{name()}`.
        text: str = event["log_format"].format_map(event)
    except Exception:
        text = formatEvent(event)
    failure = event.get("log_failure")
    if failure is not None:
        text = f"{text}: {failure.getTraceback()}" if text else failure.getTraceback()
    return text


def _text_line(event: LogEvent, level: str) -> str:
    worker = f"worker {event['worker']}: " if "worker" in event else ""
    return f"{_timestamp(event)} {level} {worker}{_one_line(_message(event))}\n"


def _one_line(text: str) -> str:
    """Escape what is not printable: a newline in a value must not make a line that looks like an event of its own,
    and no peer writes to the terminal that shows the log."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _json_line(event: LogEvent, level: str) -> str:
    record = {
        "time": _timestamp(event),
        "level": level,
        "event": event.get("event", event.get("log_namespace", "")),
        **{key: value for key, value in event.items() if not key.startswith("log_") and key not in _OWN},
        "message": _message(event),
    }
    text = json.dumps(record, ensure_ascii=False, default=str)
    if not text.isprintable():
        # What JSON lets stand may be a line end to who reads it (U+2028, U+0085), or a command to a terminal (U+009B).
        text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    return text + "\n"
