"""An engine at one address or several: the first that answers is taken, and each has its breaker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError

from mailgw.engines.address import Address
from mailgw.engines.breaker import Breaker
from mailgw.engines.connection import Connection, connect
from mailgw.engines.errors import Broken, Declined, NotAsked
from mailgw.mail.reply import TemporaryFailure

T = TypeVar("T")
Dialogue = Callable[[Connection], Awaitable[T]]

# The reactor calls a timer a little late, never early; sums of floats may be off in the last digit.
_CLOSE = 0.001


class Engine:
    """Outlives messages, and keeps nothing about them."""

    def __init__(
        self,
        name: str,
        addresses: Sequence[Address],
        reactor: Any,
        *,
        time_limit: float,
        connect_timeout: float,
        failures: int,
        pause: float,
    ) -> None:
        """`time_limit` is the time after which whoever asks cancels: an engine that has not answered by then has
        failed. A connection may take `connect_timeout` seconds. `failures` and `pause` are the Breaker's.
        """
        self._servers = [(a, Breaker(f"{name} at {a}", failures, pause, reactor)) for a in addresses]
        self._reactor = reactor
        self._time_limit = time_limit
        self._connect_timeout = connect_timeout

    async def ask(self, dialogue: Dialogue[T]) -> T:
        """Have the dialogue with the first address where it comes to an end, and give what it gave.

        Raises TemporaryFailure when there is none; NotAsked at once when all breakers are open. Whatever else the
        dialogue raises is raised.
        """
        begun = self._reactor.seconds()
        causes = []
        asked = False
        for address, breaker in self._servers:
            attempt = breaker.attempt()
            if attempt is None:
                causes.append(f"{address} is not asked for now ({breaker.cause})")
                continue
            asked = True
            try:
                result = await self._converse(address, dialogue)
            except Broken as error:
                attempt.failed(error.cause)
                causes.append(f"{address}: {error.cause}")
            except Declined as error:
                attempt.succeeded()
                causes.append(f"{address}: {error.cause}")
            except CancelledError:
                waited = self._reactor.seconds() - begun
                if waited >= self._time_limit - _CLOSE:
                    attempt.failed(f"no answer within {self._time_limit:g} s")
                raise
            else:
                attempt.succeeded()
                return result
            finally:
                attempt.abandoned()  # no word when it has had another
        raise (TemporaryFailure if asked else NotAsked)("; ".join(causes))

    async def _converse(self, address: Address, dialogue: Dialogue[T]) -> T:
        connection = await connect(address, self._reactor, self._connect_timeout)
        try:
            result = await dialogue(connection)
        except BaseException:
            connection.abort()
            raise
        connection.close()
        return result
