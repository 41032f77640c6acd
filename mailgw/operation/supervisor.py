"""The supervisor of the workers: binds for them, starts them, restarts those that die, ends them."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailgw.operation.ports import Binding, StartError, listen_for
from mailgw.operation.workers import Place

# A worker that dies starts again after a second, then twice that and so on; who has lived for some time begins anew.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_LONG_LIFE = 60.0


@frozen
class Inherited:
    """What a file that only root may open is opened for, before the process is root no more."""

    path: str
    append: bool = False

    def open(self) -> int:
        """Raises OSError."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT if self.append else os.O_RDONLY
        return os.open(self.path, flags | os.O_CLOEXEC, 0o640)


class Supervisor:
    """Workers are whole gateways. `command` gives the command line of one; each inherits its sockets and files."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        reactor: Any,
        workers: int,
        files: Sequence[Inherited],
        command: Callable[[Place], Sequence[str]],
        grace: float,
        reopen_log: Callable[[], None] = lambda: None,
    ) -> None:
        """`grace` is what a worker may take to end, in seconds. Opens the files: raises OSError."""
        self._reactor = reactor
        self._count = workers
        self._command = command
        self._grace = grace
        self._reopen_log = reopen_log
        self._inherited = files
        self._files = {file.path: file.open() for file in files}
        self._sockets: dict[str, list[socket.socket]] = {}
        self._workers: list[_Worker] = []
        self.stopping = False

    def listen(self, binding: Binding) -> socket.socket:
        """Bind a port for all workers; give one of the sockets. Raises StartError."""
        self._sockets[binding.name] = listen_for(binding, self._count)
        return self._sockets[binding.name][0]

    async def start(self) -> None:
        """Start all, and wait until they listen. Raises StartError when one does not come so far."""
        signal.signal(signal.SIGHUP, lambda number, frame: self._reactor.callFromThread(self.reload))
        self._workers = [_Worker(self, self._reactor, number) for number in range(self._count)]
        try:
            for worker in self._workers:
                worker.spawn()
        except OSError as error:  # this Python, or a folder above it, is not for the user that we run as now
            raise StartError(f"cannot start a worker: {error}") from None
        failed = [await worker.ready for worker in self._workers]
        if any(failed):
            raise StartError(next(line for line in failed if line))

    def reload(self) -> None:
        """SIGHUP: the log may have been moved away; the workers do the same, and read their configuration again."""
        try:
            self._reopen_log()
            for file in self._inherited:
                if file.append:
                    descriptor, self._files[file.path] = self._files[file.path], file.open()
                    os.close(descriptor)
        except OSError as error:
            self.log.error("{reason}", event="log_not_reopened", reason=str(error))
        for worker in self._workers:
            if worker.listening:  # who is about to start would die of it, and reads what is new anyway
                worker.signal(signal.SIGHUP)

    async def stop(self) -> None:
        """End all: SIGTERM, and SIGKILL for who takes too long."""
        self.stopping = True
        ended = [worker.stop() for worker in self._workers]
        timer = self._reactor.callLater(self._grace, self._kill)
        await gatherResults(ended)
        if timer.active():
            timer.cancel()

    def _kill(self) -> None:
        for worker in self._workers:
            worker.signal(signal.SIGKILL)

    def spawn(self, worker: _Worker) -> None:
        """Start the process of a worker."""
        sockets = {name: sockets[worker.number].fileno() for name, sockets in self._sockets.items()}
        inherited = (*sockets.values(), *self._files.values())
        place = Place(worker.number, self._count, sockets, self._files, max(inherited, default=2) + 1)
        command = self._command(place)
        descriptors: dict[int, int | str] = {descriptor: descriptor for descriptor in (1, 2, *inherited)}
        # Standard input is its lifeline.
        self._reactor.spawnProcess(
            worker, command[0], command, os.environ, childFDs={**descriptors, 0: "w", place.ready: "r"}
        )


class _Worker(ProcessProtocol):
    """One worker, through all its processes."""

    def __init__(self, supervisor: Supervisor, reactor: Any, number: int) -> None:
        self.number = number
        self.ready: Deferred[str] = Deferred()
        """Fires once: with nothing when it listens, else with why it does not."""
        self._supervisor = supervisor
        self._reactor = reactor
        self._ended: Deferred[None] | None = None
        self._spawned = 0.0
        self._pause = _FIRST_PAUSE
        self._restart: IDelayedCall | None = None
        self._alive = False
        self.listening = False

    def spawn(self) -> None:
        self._restart = None
        self.listening = False
        self._spawned = self._reactor.seconds()
        self._supervisor.spawn(self)
        self._alive = True

    def signal(self, number: signal.Signals) -> None:
        if self._alive and self.transport is not None:
            try:
                self.transport.signalProcess(number.name.removeprefix("SIG"))
            except ProcessExitedAlready:
                pass

    def stop(self) -> Deferred[None]:
        """Fires when its process is gone."""
        self._ended = Deferred()
        if self._restart is not None:
            self._restart.cancel()
        if self._alive:
            self.signal(signal.SIGTERM)
        else:
            self._ended.callback(None)
        return self._ended

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        assert self.transport is not None
        self.listening = True
        self._supervisor.log.info(
            "started, process {pid}", event="worker_started", worker=self.number, pid=self.transport.pid
        )
        if not self.ready.called:
            self.ready.callback("")

    def processEnded(self, reason: Failure) -> None:
        self._alive = False
        how: Any = reason.value
        status = f"signal {how.signal}" if how.signal else f"exit status {how.exitCode}"
        if self._ended is not None:
            if not self.ready.called:
                self.ready.callback("it was stopped")
            self._ended.callback(None)
        elif not self.ready.called:
            self.ready.callback(f"worker {self.number} did not start ({status}); it says why in the line before")
        else:
            self._start_again(status)

    def _start_again(self, status: str) -> None:
        lived = self._reactor.seconds() - self._spawned
        pause = self._pause = _FIRST_PAUSE if lived >= _LONG_LIFE else self._pause
        self._pause = min(pause * 2, _LONGEST_PAUSE)
        self._supervisor.log.error(
            "ended by itself ({status}); it starts again in {pause:.0f} s and takes its queue up again",
            event="worker_ended",
            worker=self.number,
            status=status,
            pause=pause,
        )
        self._restart = self._reactor.callLater(pause, self.spawn)
