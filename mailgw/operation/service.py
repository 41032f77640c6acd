"""The service that twistd runs: ports are bound first, as root; the parts start in order and stop in reverse."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from attrs import frozen
from twisted.application.service import IProcess, IServiceCollection, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IReactorCore, IReactorSocket
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

from mailgw.operation.ports import Binding, StartError, listen

__all__ = ["Binding", "GatewayService", "Part", "RunAs", "StartError", "nothing", "run_as"]


@frozen
class Part:
    """Something that starts and stops. Both may be awaited; `stop` is called only when `start` has been."""

    name: str
    start: Callable[[], Awaitable[None] | None]
    stop: Callable[[], Awaitable[None] | None]


def nothing() -> None:
    """For a part that needs no start, or no stop."""


@frozen
class RunAs:
    """The user and group to run as once the ports are bound; None: stay what we are."""

    uid: int | None = None
    gid: int | None = None


class GatewayService(Service):
    """Binds, starts, stops. `sessions_stop` ends reception after the ports are closed and before the parts stop."""

    log: ClassVar[Logger] = Logger()
    name = "mailgw"

    def __init__(
        self,
        reactor: Any,
        bindings: Sequence[Binding],
        parts: Sequence[Part],
        sessions_stop: Callable[[], Awaitable[None]],
        run_as: RunAs,
        observer: ILogObserver,
        listen: Callable[[Binding], socket.socket] = listen,
        announce: Callable[[], None] | None = None,
    ) -> None:
        """`listen` gives the listening socket of a binding, or raises StartError. `announce` is called when all is
        started, in place of the log's lines that say where it listens."""
        self._reactor = reactor
        self._bindings = bindings
        self._parts = parts
        self._sessions_stop = sessions_stop
        self._run_as = run_as
        self._observer = observer
        self._listen = listen
        self._announce = announce or self._log_addresses
        self._sockets: list[socket.socket] = []
        self._ports: list[IListeningPort] = []
        self._started: list[Part] = []
        self._starting: Deferred[None] | None = None

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Tell twistd, through its Application, whom to run as and how to log: both stand in mailgw.toml."""
        process = IProcess(parent, None)
        if process is not None:
            process.uid, process.gid = self._run_as.uid, self._run_as.gid
            parent.setComponent(ILogObserver, self._observer)  # type: ignore[attr-defined]
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Bind every port while we may. When one is not free: SystemExit with one line, or in a daemon StartError."""
        super().privilegedStartService()
        try:
            for binding in self._bindings:
                self._bind(binding)
        except StartError as error:
            if _is_unheard():
                # Who started a daemon waits to hear from twistd how that went: only an Exception tells it.
                self.log.critical("cannot start: {line}", event="start_failed", line=str(error))
                raise
            # By now sys.stderr leads into the log; the postmaster who starts it looks at the terminal.
            print(f"mailgw: {error}", file=sys.__stderr__)
            sys.exit(1)

    def startService(self) -> None:
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        try:
            for part in self._parts:
                self._started.append(part)
                await _finished(part.start())
        except Exception as error:
            self._fail(f"{part.name}: {error}")
            return
        for port in self._ports:
            port.startReading()  # type: ignore[attr-defined]
        self._announce()

    def _log_addresses(self) -> None:
        for key, address, number in self.addresses:
            self.log.info(
                "listening on {address} port {port} ({listener})",
                event="listening",
                listener=key,
                address=address,
                port=number,
            )

    def _fail(self, line: str) -> None:
        """End the process: nothing was accepted yet."""
        self.log.critical("cannot start: {line}", event="start_failed", line=line)
        self.log.debug("where it failed", event="start_failed", log_failure=Failure())
        print(f"mailgw: {line}", file=sys.__stderr__)
        core: IReactorCore = self._reactor
        core.addSystemEventTrigger("after", "shutdown", _exit_with_error)
        core.callWhenRunning(self._reactor.stop)

    async def _stop(self) -> None:
        if self._starting is not None:
            try:
                await self._starting
            except Exception:  # what was started is to be stopped all the same: its threads would keep the process
                self.log.failure("the start failed inside", event="start_failed")
        self.log.info("stopping: no new sessions; those under way may end", event="stopping")
        for port in self._ports:
            await _finished(port.stopListening())
        for listening in self._sockets:
            listening.close()
        await self._sessions_stop()
        for part in reversed(self._started):
            try:
                await _finished(part.stop())
            except Exception:
                self.log.failure("stopping {part} failed", event="stop_failed", part=part.name)
        self.log.info("stopped", event="stopped")

    def stopService(self) -> Deferred[None]:
        """Close the ports, let the sessions end within their grace, then stop the parts in reverse order."""
        super().stopService()
        self._expect_signals()
        return Deferred.fromCoroutine(self._stop())

    def _expect_signals(self) -> None:
        """A second SIGTERM or SIGINT is no error: the reactor would stop once more, and log that it cannot."""
        for number in (signal.SIGTERM, signal.SIGINT):
            if getattr(signal.getsignal(number), "__self__", None) is self._reactor:
                signal.signal(number, self._signalled_again)

    def _signalled_again(self, number: int, frame: object) -> None:
        # From a signal handler the log could be in the middle of a line.
        self._reactor.callFromThread(
            self.log.info,
            "stopping already ({signal}); SIGKILL ends it at once, and loses nothing that was accepted",
            event="stopping",
            signal=signal.Signals(number).name,
        )

    @property
    def addresses(self) -> list[tuple[str, str, int]]:
        """What is bound: key, address, port (the real one, where 0 was asked for)."""
        names = [listening.getsockname() for listening in self._sockets]
        return [(binding.key, *name[:2]) for binding, name in zip(self._bindings, names, strict=True)]

    def _bind(self, binding: Binding) -> None:
        listening = self._listen(binding)
        self._sockets.append(listening)
        if binding.factory is None:
            return
        reactor: IReactorSocket = self._reactor
        port = reactor.adoptStreamPort(listening.fileno(), binding.family, binding.factory)
        # Bound, not yet accepting: the kernel queues clients until the queue's store is open.
        port.stopReading()  # type: ignore[attr-defined]
        self._ports.append(port)


def run_as(user: str, group: str) -> RunAs:
    """Look up whom to run as: only root can and must change. Raises StartError for a name that nobody has."""
    if not user or os.geteuid() != 0:
        return RunAs()
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise StartError(
            f"user: there is no user {user!r} here; make it (useradd --system {user}) or change the key"
        ) from None
    if not group:
        return RunAs(found.pw_uid, found.pw_gid)
    try:
        return RunAs(found.pw_uid, grp.getgrnam(group).gr_gid)
    except KeyError:
        raise StartError(f"group: there is no group {group!r} here") from None


def _is_unheard() -> bool:
    """Whether what is written to standard error is lost, as that of a daemon is."""
    try:
        return os.path.samestat(os.fstat(2), os.stat(os.devnull))
    except OSError:
        return True


async def _finished(result: Any) -> None:
    if result is not None:
        await result


def _exit_with_error() -> None:
    # twistd's own exit status is 0 after a reactor that ran; everything is stopped and flushed by now.
    os._exit(1)
