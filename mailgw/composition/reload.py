"""SIGHUP: the configuration is read whole and tried, and only then takes the place of the one that holds."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mailgw.composition.etc import Etc, load
from mailgw.composition.expectations import try_expectations
from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import Settings
from mailgw.config.text import quote_key
from mailgw.operation.threads import Pool

# Keys of mailgw.toml that a reload takes; filters.toml and rules.toml are taken as a whole, but for what is remembered
# of senders. Users, aliases and lists of recipients are read again by themselves.
WAYS_OUT = ("default", "rules", "source_addresses", "helo", "family")
TAKEN = (
    *("filters_file", "rules_file", "tests_directory", "trace.", "timeouts.check", "relay.rules.", "routes."),
    *("tls_policies.", "submission."),
    *(f"relay.{key}" for key in WAYS_OUT),
)


def with_ways(old: Settings, new: Settings) -> Settings:
    """Give the configuration that holds, with the ways out of another.

    Routes that are gone, but that domains go by until a restart, stay.
    """
    relay = attrs.evolve(old.relay, **{key: getattr(new.relay, key) for key in WAYS_OUT})
    names = {domain.deliver.removeprefix("route:") for domain in old.domains.values()}
    kept = {name: route for name, route in old.routes.items() if name in names}
    return attrs.evolve(old, relay=relay, routes={**kept, **new.routes}, tls_policies=new.tls_policies)


class Reload:
    """Waits for SIGHUP from `start` to `stop`."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, etc: Etc, take: Callable[[Etc], None], reopen_log: Callable[[], None], reactor: Any, threads: Pool
    ) -> None:
        """`take` puts a configuration in the place of the one that holds; it raises ConfigurationErrors, and then
        nothing has changed."""
        self._started_with = etc
        self._take = take
        self._reopen_log = reopen_log
        self._reactor = reactor
        self._threads = threads
        self._running: Deferred[None] | None = None
        self._again = False
        self._before: Any = None

    def start(self) -> None:
        self._before = signal.signal(signal.SIGHUP, self._signalled)

    def stop(self) -> None:
        # Not the default, which ends the process, while it stops.
        signal.signal(signal.SIGHUP, signal.SIG_IGN if self._before == signal.SIG_DFL else self._before)

    def _signalled(self, number: int, frame: object) -> None:
        # From a signal handler the log could be in the middle of a line.
        self._reactor.callFromThread(self.begin)

    def begin(self) -> None:
        """Reload, or once more when one is under way: it may have read the older file."""
        if self._running is not None:
            self._again = True
            return
        self._running = Deferred.fromCoroutine(self._reload())
        self._running.addBoth(self._ended)

    def _ended(self, _: object) -> None:
        self._running = None
        if self._again:
            self._again = False
            self.begin()

    async def _reload(self) -> None:
        try:
            self._reopen_log()  # logrotate moves the file away, then sends the signal
        except OSError as error:
            self.log.error("{reason}", event="log_not_reopened", reason=str(error))
        try:
            etc = await self._threads.run(self._read)
            self._take(etc)
        except ConfigurationErrors as errors:
            for problem in errors.errors:
                self.log.error("the configuration is refused: {problem}", event="reload_refused", problem=str(problem))
            return
        except Exception:
            self.log.failure("the configuration is refused: it cannot be read", event="reload_refused")
            return
        waiting = list(_left_out(self._started_with.settings, etc.settings))
        self.log.info("the configuration was read again", event="reloaded", waiting=waiting)
        for key in waiting:
            self.log.warn("{key} has changed, which only a restart takes", event="restart_needed", key=key)

    def _read(self) -> Etc:
        """In a thread. Raises ConfigurationErrors."""
        etc = load(self._started_with.path, self._reactor, self._threads)
        problems = try_expectations(etc)
        if problems:
            raise ConfigurationErrors(problems)
        return etc


def _left_out(old: Settings, new: Settings) -> Iterator[str]:
    """Give the keys that have changed and are not taken."""
    for key, value, other in _pairs(old, new, ""):
        if value != other and not any(key == taken or (taken[-1] == "." and key.startswith(taken)) for taken in TAKEN):
            yield key


def _pairs(old: Any, new: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Give each key below two sections of one class with both values; a section that only one has as a whole."""
    for field in attrs.fields(type(old)):
        key = f"{prefix}{field.name}"
        value, other = getattr(old, field.name), getattr(new, field.name)
        if attrs.has(type(value)):
            yield from _pairs(value, other, f"{key}.")
        elif isinstance(value, Mapping):
            for name in dict.fromkeys((*value, *other)):
                path = f"{key}.{quote_key(name)}"
                if name in value and name in other and attrs.has(type(value[name])):
                    yield from _pairs(value[name], other[name], f"{path}.")
                else:
                    yield path, value.get(name), other.get(name)
        else:
            yield key, value, other
