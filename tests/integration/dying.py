"""A gateway that kills itself at a step of a message's way, when it is told to: for test_kill_steps.

Run instead of twistd. The file that MAILGW_STEP names holds the step at which to die, as the name in STEPS; while it is
empty or not there, the gateway lives. Nothing of this is in the gateway itself: its methods are replaced here.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Literal

from attrs import frozen
from twisted.internet import reactor as installed_reactor

from mailgw.delivery import maildir
from mailgw.delivery.connection import SmtpConnection
from mailgw.delivery.relay import RelayAgent
from mailgw.mail.reply import Reply
from mailgw.queue import writer
from mailgw.queue.content import ContentFile, ContentFiles
from mailgw.queue.sqlite import SqliteStore
from mailgw.reception.link import Link

reactor: Any = installed_reactor

VARIABLE = "MAILGW_STEP"
_ERASE_AFTER = 0.2


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_when_sent() -> None:
    """What is written to a transport is sent in the reactor's next turn."""
    reactor.callLater(0.0, reactor.callLater, 0.0, die)


def accepts(changes: list[writer.Change]) -> bool:
    return any(change.messages and not (change.gone or change.given_up) for change in changes)


def settles(changes: list[writer.Change]) -> bool:
    return any((change.gone or change.given_up) and not change.messages for change in changes)


def reports(changes: list[writer.Change]) -> bool:
    return any(change.given_up and change.messages for change in changes)


def retries(changes: list[writer.Change]) -> bool:
    return any(change.retries for change in changes)


def in_apply(condition: Callable[[list[writer.Change]], bool]) -> Callable[..., bool]:
    return lambda connection, changes: condition(changes)


def in_commit(condition: Callable[[list[writer.Change]], bool]) -> Callable[..., bool]:
    return lambda self, changes: condition(changes)


def always(*args: Any) -> bool:
    return True


def is_acceptance(self: Link, reply: Reply) -> bool:
    return reply.code == 250 and "queued" in str(reply)


@frozen
class Point:
    """Where a method is left or entered, with which arguments, and how to die there."""

    owner: Any
    name: str
    when: Literal["before", "after"]
    condition: Callable[..., bool] = always
    end: Callable[[], None] = die


POINTS: dict[str, Point] = {
    # Accept.
    "a part of the content is in its file": Point(ContentFile, "append", "after"),
    "the content file is synced, nothing is committed": Point(ContentFile, "sync", "after"),
    "the content is linked for a second message": Point(ContentFiles, "link", "after"),
    "the rows are written, the commit is to come": Point(writer, "apply", "after", in_apply(accepts)),
    "the message is committed, the 250 is to come": Point(writer.Writer, "_commit", "after", in_commit(accepts)),
    "the 250 is sent": Point(Link, "send", "after", is_acceptance, die_when_sent),
    # Attempt.
    "the attempt is begun": Point(RelayAgent, "deliver", "before", always, die_when_sent),
    "the content is sent, the reply is to come": Point(SmtpConnection, "_content_sent", "after", always, die_when_sent),
    "the reply is received": Point(RelayAgent, "deliver", "after"),
    "the copy is in tmp/ of the folder": Point(maildir, "_write", "after"),
    "the copy is in new/ of the folder": Point(maildir, "store", "after"),
    # Settle.
    "the settlement is written, its commit is to come": Point(writer, "apply", "after", in_apply(settles)),
    "the settlement is committed, the content file is there": Point(
        writer.Writer, "_commit", "after", in_commit(settles)
    ),
    "the content file is removed": Point(writer.Writer, "_remove", "after", lambda self, ids: bool(ids)),
    "the next attempt is written, its commit is to come": Point(writer, "apply", "after", in_apply(retries)),
    "the next attempt is committed": Point(writer.Writer, "_commit", "after", in_commit(retries)),
    "the report is written, its commit is to come": Point(writer, "apply", "after", in_apply(reports)),
    "the report is committed": Point(writer.Writer, "_commit", "after", in_commit(reports)),
    # The log, and the start behind a crash.
    "the log is to be erased": Point(writer, "erase", "before"),
    "the log is erased": Point(writer, "erase", "after"),
    "the queue is opened, its orphans are there": Point(SqliteStore, "_tidy", "before"),
    "the orphans are removed": Point(SqliteStore, "_tidy", "after"),
}


def arm(name: str, point: Point, file: Path) -> None:
    method = getattr(point.owner, point.name)

    def due(when: str, args: tuple[Any, ...]) -> None:
        if point.when == when and point.condition(*args) and file.exists() and file.read_text() == name:
            point.end()

    @wraps(method)
    def call(*args: Any) -> Any:
        due("before", args)
        result = method(*args)
        due("after", args)
        return result

    @wraps(method)
    async def call_async(*args: Any) -> Any:
        due("before", args)
        result = await method(*args)
        due("after", args)
        return result

    setattr(point.owner, point.name, call_async if iscoroutinefunction(method) else call)


def run() -> None:
    file = Path(os.environ[VARIABLE])
    for name, point in POINTS.items():
        arm(name, point, file)
    SqliteStore.__init__.__kwdefaults__["erase_after"] = _ERASE_AFTER
    from twisted.scripts import twistd

    twistd.run()
