"""The recipients of routed domains, as programs of the site print them (recipients_command)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from mailgw.config.errors import ConfigError
from mailgw.config.schema import Domain, Settings
from mailgw.config.text import number_lines, quote_key
from mailgw.mail.address import ascii_domain
from mailgw.operation.process import ProgramError, Reactor, run_program
from mailgw.operation.threads import Threads
from mailgw.routing.recipients import RecipientList, parse_recipients

# A program that takes longer or prints more is killed.
TIME_LIMIT = 60.0
MAX_OUTPUT = 32 * 1024 * 1024
MAX_LINES = 500_000
# While there is no list yet, every recipient is deferred: so that long is the wait for the next try at most.
FIRST_RETRY = 30.0


def make_lists(settings: Settings) -> dict[str, RecipientList]:
    """Give an empty list for each domain with a recipients_command, by its name in mailgw.toml."""
    return {name: RecipientList() for name, domain in settings.domains.items() if domain.recipients_command}


def check_programs(settings: Settings, file: str) -> list[ConfigError]:
    """Say which programs are not there or cannot be run. Runs none. `file` is the path of mailgw.toml."""
    errors = []
    for name, domain in settings.domains.items():
        problem = _problem(domain.recipients_command[0]) if domain.recipients_command else ""
        if problem:
            errors.append(ConfigError(file, f"domains.{quote_key(name)}.recipients_command", problem))
    return number_lines(errors)


def _problem(program: str) -> str:
    if os.path.basename(program) != program and not os.path.isabs(program):
        return f'"{program}" is neither the absolute path of a program nor a name to be found in PATH'
    if shutil.which(program) is not None:
        return ""
    if os.path.isfile(program) and os.path.isabs(program):
        return f'"{program}" is not executable; chmod it, or name its interpreter first'
    return f'there is no program "{program}"'


class RecipientCommands:
    """Keeps lists fresh between `start` and `stop`: runs each command at once and again after its interval.

    A list changes only when all of a run is good: it ended with 0, every line is an address of the domain, and
    there is one. `lists` are by the domain's name in mailgw.toml.
    """

    log = Logger()

    def __init__(
        self, settings: Settings, lists: Mapping[str, RecipientList], reactor: Reactor, threads: Threads
    ) -> None:
        self._domains = {name: settings.domains[name] for name in lists}
        self._lists = lists
        self._reactor = reactor
        self._threads = threads
        self._running: dict[str, Deferred[None]] = {}
        self._calls: dict[str, IDelayedCall] = {}
        self._stopped = False

    def start(self) -> None:
        """Run every command for the first time; does not wait for them."""
        for name in self._domains:
            self._run(name)

    async def stop(self) -> None:
        """Kill what runs."""
        self._stopped = True
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        for running in list(self._running.values()):
            running.cancel()

    def _run(self, name: str) -> None:
        self._calls.pop(name, None)
        run = Deferred.fromCoroutine(self._refresh(name, self._domains[name]))
        if not run.called:
            self._running[name] = run
        run.addBoth(self._ended, name)

    def _ended(self, result: object, name: str) -> None:
        self._running.pop(name, None)
        if self._stopped:
            return
        interval = self._domains[name].recipients_interval
        if self._lists[name].names is None:
            interval = min(interval, FIRST_RETRY)
        self._calls[name] = self._reactor.callLater(interval, self._run, name)

    async def _refresh(self, name: str, domain: Domain) -> None:
        known = self._lists[name]
        try:
            names = await self._read(domain, ascii_domain(name), known.names)
        except ProgramError as error:
            if not self._stopped:
                self._log_failed(name, known, str(error))
            return
        except Exception:
            self.log.failure("the recipients of {domain} could not be read", event="recipients_failed", domain=name)
            return
        if names is not known.names:
            known.names = names
            self.log.info(
                "{domain} has {count} recipients now", event="recipients_changed", domain=name, count=len(names)
            )

    async def _read(self, domain: Domain, name: str, before: frozenset[str] | None) -> frozenset[str]:
        program = await self._threads.run(shutil.which, domain.recipients_command[0])
        if program is None:
            raise ProgramError("it is not there, or not executable")
        command = (program, *domain.recipients_command[1:])
        output = await run_program(self._reactor, command, limit=TIME_LIMIT, max_output=MAX_OUTPUT)
        return await self._threads.run(_parse, output, name, before)

    def _log_failed(self, name: str, known: RecipientList, problem: str) -> None:
        self.log.error(
            "recipients_command of {domain}: {problem}; {consequence}",
            event="recipients_failed",
            domain=name,
            problem=problem,
            consequence="its recipients are deferred until it works" if known.names is None else "its last list stays",
        )


def _parse(output: bytes, domain: str, before: frozenset[str] | None) -> frozenset[str]:
    """Runs in a thread; gives `before` when it is the same.

    What is odd makes the whole output doubtful: a list cut short would refuse people's mail.
    """
    lines = output.count(b"\n")
    if lines > MAX_LINES:
        raise ProgramError(f"it printed {lines} lines, more than {MAX_LINES}")
    try:
        text = output.decode()
    except UnicodeDecodeError as error:
        raise ProgramError(f"what it printed is not UTF-8: {error}") from error
    names, errors = parse_recipients(text, "its output", domain)
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise ProgramError(f"line {errors[0].line} of its output: {errors[0].message}{more}")
    if not names:
        raise ProgramError("it printed no recipient")
    return before if before == names else names
