"""Programs of others: run without a shell, for a bounded time, with a bounded output."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.python.failure import Failure

# What of its standard error is told.
_SAID = 500


class Reactor(IReactorProcess, IReactorTime):
    """What a program needs of the reactor."""


class ProgramError(Exception):
    """The program could not be run, or failed, took too long, or wrote too much. The text says which."""


async def run_program(reactor: Reactor, command: Sequence[str], *, limit: float, max_output: int) -> bytes:
    """Run a program with its arguments; give what it wrote to standard output.

    `command[0]` is the path of the program. Its standard input is empty. It is killed after `limit` seconds, behind
    `max_output` octets, and when the caller is cancelled. Raises ProgramError.
    """
    program = _Program(reactor, limit, max_output)
    try:
        reactor.spawnProcess(program, command[0], list(command), env=None)
    except OSError as error:
        program.forget()
        raise ProgramError(f"it cannot be run: {error}") from error
    return await program.done


class _Program(ProcessProtocol):
    def __init__(self, reactor: IReactorTime, limit: float, max_output: int) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._kill("it was given up"))
        self._limit = limit
        self._max_output = max_output
        self._output: list[bytes] = []
        self._size = 0
        self._said = b""
        self._killed = ""
        self._timer: IDelayedCall = reactor.callLater(limit, self._expired)

    def forget(self) -> None:
        """Wait for it no longer."""
        if self._timer.active():
            self._timer.cancel()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._max_output:
            self._kill(f"it wrote more than {self._max_output} octets")
        elif not self._killed:
            self._output.append(data)

    def errReceived(self, data: bytes) -> None:
        self._said = (self._said + data)[-_SAID:]

    def processEnded(self, reason: Failure = connectionDone) -> None:
        self.forget()
        if self._killed:
            self._fail(self._killed)
        elif isinstance(reason.value, ProcessDone):
            self.done.callback(b"".join(self._output))
        else:
            said = self._said.decode(errors="replace").strip()
            self._fail(f"it failed: {reason.value}" + (f" It said: {said}" if said else ""))

    def _expired(self) -> None:
        self._kill(f"it took longer than {self._limit:g} s")

    def _kill(self, why: str) -> None:
        if self._killed:
            return
        self._killed = why
        self.forget()
        self._output.clear()
        assert self.transport is not None
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass
        # A child of its own may hold the pipes open: what it still writes is of no interest.
        self.transport.loseConnection()

    def _fail(self, why: str) -> None:
        if not self.done.called:
            self.done.errback(ProgramError(why))
