"""A worker does not outlive its supervisor: nobody would restart it, and it would keep the ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_STANDARD_INPUT = 0


@implementer(IReadDescriptor)
class Lifeline:
    """Standard input, whose other end the supervisor holds and never writes to."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, reactor: Any, lost: Callable[[], None]) -> None:
        """`lost` is called when the supervisor is gone."""
        self._reactor = reactor
        self._lost = lost

    def start(self) -> None:
        self._reactor.addReader(self)

    def stop(self) -> None:
        self._reactor.removeReader(self)

    def fileno(self) -> int:
        return _STANDARD_INPUT

    def logPrefix(self) -> str:
        return "lifeline"

    def doRead(self) -> None:
        """Nothing is ever written."""

    def connectionLost(self, reason: Failure) -> None:
        """The other end is closed."""
        self.stop()
        self.log.error("the supervisor is gone: stopping", event="supervisor_gone")
        self._lost()
