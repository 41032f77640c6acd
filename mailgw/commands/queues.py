"""The queues of a gateway, for commands: those of all workers, and those that former workers have left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import click

from mailgw.commands.configuration import read_settings
from mailgw.operation.workers import queue_directories, queue_directory
from mailgw.queue.store import QueueUnusable


class _Closable(Protocol):
    def close(self) -> None: ...


Q = TypeVar("Q", bound=_Closable)


@contextmanager
def open_queues(make: Callable[[Path], Q]) -> Iterator[list[Q]]:
    """Open each with `make`. What cannot be read or changed ends the command, in words."""
    state_directory = read_settings().state_directory
    directories = queue_directories(state_directory) or [queue_directory(state_directory, 0)]
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(closing(make(directory))) for directory in directories]
    except QueueUnusable as error:
        raise click.ClickException(str(error)) from None
