"""Workers: several processes that are each a whole gateway with a queue of its own, and what they share."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from attrs import asdict, evolve, field, frozen

from mailgw.config.schema import DEFAULT_RATES, Settings
from mailgw.operation.ports import Binding, StartError, listen

_QUEUE = re.compile(r"queue(?:-([1-9][0-9]{0,3}))?")


@frozen
class Place:
    """Which of the workers a process is, and what it has from its supervisor. Alone it is the first of one."""

    number: int = 0
    workers: int = 1
    sockets: Mapping[str, int] = field(factory=dict)
    """The descriptors of the listening sockets, by the names of their bindings."""
    files: Mapping[str, int] = field(factory=dict)
    """Descriptors of files that only root may open, by path."""
    ready: int = -1
    """Where to write that everything is started."""

    @property
    def supervised(self) -> bool:
        return self.ready >= 0

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Everything that the process inherits."""
        return (*self.sockets.values(), *self.files.values())

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Place:
        return cls(**json.loads(text))

    def listen(self, binding: Binding) -> socket.socket:
        """Give the listening socket for a binding: the inherited one, or a new one. Raises StartError."""
        if not self.supervised:
            return listen(binding)
        if binding.name not in self.sockets:
            raise StartError(
                f"[listeners.{binding.key}] addresses: the supervisor has no socket for {binding.address} port"
                f" {binding.port}: restart the whole gateway after a change of its ports"
            )
        return socket.socket(fileno=self.sockets[binding.name])

    def read(self, path: str) -> bytes:
        """Read a file: the inherited one where it was opened for us. Raises OSError."""
        descriptor = self.files.get(path)
        if descriptor is None:
            return Path(path).read_bytes()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def announce(self) -> None:
        """Tell the supervisor that everything is started. When it is gone meanwhile the lifeline ends us."""
        with suppress(BrokenPipeError):
            os.write(self.ready, b"ready\n")


def count(setting: int | Literal["auto"]) -> int:
    """How many workers the key `workers` means; `auto`: one for each core that we may use."""
    return len(os.sched_getaffinity(0)) if setting == "auto" else setting


def share(settings: Settings, workers: int) -> Settings:
    """Give a worker its part of what holds for the machine, rounded up.

    Connections come to all workers alike, so the parts of one client are about equal: together they are never more
    than the limit (but for the rounding), and may be less.
    """
    if workers == 1:
        return settings

    def part(whole: int) -> int:
        return -(-whole // workers)

    limits, queue = settings.limits, settings.queue
    return evolve(
        settings,
        limits=evolve(
            limits,
            connections=part(limits.connections),
            connections_per_address=part(limits.connections_per_address),
            connections_per_network=part(limits.connections_per_network),
            submission_reserve=part(limits.submission_reserve),
        ),
        queue=evolve(
            queue,
            concurrency=part(queue.concurrency),
            site_concurrency=part(queue.site_concurrency),
            site_start=part(queue.site_start),
        ),
        sites={
            name: evolve(rule, concurrency=part(rule.concurrency), messages=part(rule.messages))
            for name, rule in settings.sites.items()
        },
        rates={
            name: evolve(rate, limit=part(rate.limit)) for name, rate in {**DEFAULT_RATES, **settings.rates}.items()
        },
    )


def queue_directory(state_directory: str, number: int) -> Path:
    """Where a worker's queue stands. That of the first is where it is without workers."""
    return Path(state_directory) / (f"queue-{number}" if number else "queue")


def queue_directories(state_directory: str) -> list[Path]:
    """The queues that are there, of workers that there are or were."""
    return [queue_directory(state_directory, number) for number in _numbers(state_directory)]


def left_over(state_directory: str, place: Place) -> Sequence[Path]:
    """The queues that this worker adopts: of workers that there are no longer, when there were more of them."""
    return [
        queue_directory(state_directory, number)
        for number in _numbers(state_directory)
        if number >= place.workers and number % place.workers == place.number
    ]


def _numbers(state_directory: str) -> Iterable[int]:
    try:
        names = os.listdir(state_directory)
    except FileNotFoundError:
        return []
    matches = [match for name in names if (match := _QUEUE.fullmatch(name))]
    return sorted(int(match[1] or 0) for match in matches)
