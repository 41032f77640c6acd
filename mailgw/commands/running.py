"""Commands that wait for something: they run under the reactor."""

from __future__ import annotations

from typing import Any

from mailgw.commands.configuration import ConfigurationRefused


def run_in_reactor(main: Any) -> None:
    """Run a coroutine function under the reactor; its failure ends the command."""
    # The reactor is installed by its import: the other commands do without one.
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from mailgw.config.errors import ConfigurationErrors

    twisted_reactor: Any = reactor
    failures: list[Failure] = []

    def begin() -> None:
        done = Deferred.fromCoroutine(main(twisted_reactor))
        done.addErrback(failures.append)
        done.addBoth(lambda _: twisted_reactor.stop())

    twisted_reactor.callWhenRunning(begin)
    twisted_reactor.run()
    for failure in failures:
        if isinstance(failure.value, ConfigurationErrors):
            raise ConfigurationRefused(failure.value.errors)
        failure.raiseException()
