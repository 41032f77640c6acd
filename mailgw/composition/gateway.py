"""The gateway: all its parts, in the order in which they start."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from attrs import evolve

from mailgw.composition import judging
from mailgw.composition.etc import Etc, load
from mailgw.composition.history import make_history
from mailgw.composition.inbound import make_inbound
from mailgw.composition.learning import make_learning
from mailgw.composition.nexthops import read_authorities
from mailgw.composition.outbound import make_outbound
from mailgw.composition.reload import Reload, with_ways
from mailgw.composition.reporting import make_report_state, make_reporting
from mailgw.composition.senders import make_senders
from mailgw.config.endpoints import parse_address
from mailgw.operation import garbage, log, tls, workers
from mailgw.operation.descriptors import Descriptors
from mailgw.operation.lifeline import Lifeline
from mailgw.operation.ports import Binding
from mailgw.operation.service import GatewayService, Part, nothing, run_as
from mailgw.operation.supervisor import Inherited, Supervisor
from mailgw.operation.threads import Pool
from mailgw.operation.workers import Place

# Python work off the reactor: parsing of large messages, signatures, password hashes. More threads than cores would
# only wait for each other.
_CPU_THREADS = 2
# Deliveries to folders wait for the disk, not for the processor.
_DISK_THREADS = 8


# How a worker is started; behind it stand its options.
TWISTD: Sequence[str] = ("-c", "from twisted.scripts.twistd import run; run()")
# Beside the two graces that a worker has (for sessions, then for deliveries).
_MARGIN = 10.0


def build(
    path: str | os.PathLike[str],
    reactor: Any,
    entropy: random.Random,
    stream: TextIO | None,
    place: Place | None = None,
) -> GatewayService:
    """Read the configuration and put the gateway together; nothing runs and nothing is bound yet.

    The log goes to `stream` where the configuration names no file; a daemon has no stream. `place` is that of a
    worker; without it, where the configuration wants several workers, it is their supervisor. Raises
    ConfigurationErrors, TlsError, StartError for a user that is not there, and OSError for a log that cannot be
    written.
    """
    cpu = Pool(reactor, "cpu", _CPU_THREADS)
    etc = load(path, reactor, cpu)
    wanted = workers.count(etc.settings.workers)
    if place is None and wanted > 1:
        return _supervised(etc, wanted, reactor, stream)
    return _gateway(etc, cpu, reactor, entropy, stream, place or Place())


def _gateway(
    whole: Etc, cpu: Pool, reactor: Any, entropy: random.Random, stream: TextIO | None, place: Place
) -> GatewayService:
    """The whole gateway: the only one, or one of the workers."""
    etc = evolve(whole, settings=workers.share(whole.settings, place.workers))
    settings = etc.settings
    disk = Pool(reactor, "disk", _DISK_THREADS)
    resolver = judging.make_resolver(etc, reactor, entropy)
    senders = make_senders(etc, reactor)
    judge = judging.make_judge(etc, resolver, reactor, cpu, senders)
    history = make_history(settings, reactor)
    reports = make_report_state(settings, reactor)
    outbound = make_outbound(etc, resolver, reactor, cpu, disk, entropy, place, history.recorder, reports.tls)
    reporting = make_reporting(etc, reports, resolver, outbound, reactor, cpu, entropy, place)
    learning = make_learning(etc, reactor)
    observers = (*reporting.observers, senders.observe, *learning.observers)
    inbound = make_inbound(etc, judge, outbound, reactor, cpu, entropy, place, observers, history.recorder)
    observer = log.observer(
        settings.log,
        stream,
        worker=place.number if place.supervised else None,
        descriptor=place.files.get(settings.log.file),
    )

    def take(new: Etc) -> None:
        judge.become(judging.make_judge(new, resolver, reactor, cpu, senders))
        changed = with_ways(settings, new.settings)
        etc.ways.become(changed)
        outbound.sessions.become(changed.relay, changed.routes, changed.tls_policies)
        inbound.become(new.settings, etc.router)

    reload = Reload(whole, take, observer.reopen, reactor, cpu)
    parts = (
        Part("descriptors", Descriptors.of(settings).start, nothing),
        Part("threads", cpu.start, cpu.stop),
        Part("disk threads", disk.start, disk.stop),
        Part("resolver", nothing, resolver.stop),
        *history.parts,
        senders.part,
        *reports.parts,
        *inbound.parts,
        *outbound.parts,
        *reporting.parts,
        *learning.parts,
        Part("reload", reload.start, reload.stop),
        Part("garbage collector", garbage.settle, nothing),
    )
    if place.supervised:
        lifeline = Lifeline(reactor, reactor.stop)
        parts = (*parts, Part("lifeline", lifeline.start, lifeline.stop))
    return GatewayService(
        reactor,
        inbound.bindings,
        parts,
        lambda: inbound.sessions.stop(settings.timeouts.shutdown),
        run_as(settings.user, settings.group),
        observer,
        place.listen,
        place.announce if place.supervised else None,
    )


def _supervised(etc: Etc, wanted: int, reactor: Any, stream: TextIO | None) -> GatewayService:
    """The supervisor: the ports, what only root may open, and the workers."""
    settings = etc.settings
    tls.server_options(settings.tls)  # what is wrong with it is said before anything starts
    read_authorities(settings)
    files = [Inherited(path) for path in (settings.tls.certificate_file, settings.tls.key_file) if path]
    if settings.log.file:
        files.append(Inherited(settings.log.file, append=True))

    def command(place: Place) -> list[str]:
        options = ["--config", str(etc.path), "--worker", place.to_text()]
        return [sys.executable, *TWISTD, "--nodaemon", "--pidfile=", "mailgw", *options]

    observer = log.observer(settings.log, stream)
    grace = 2 * settings.timeouts.shutdown + _MARGIN
    supervisor = Supervisor(reactor, wanted, files, command, grace, observer.reopen)
    bindings = [
        Binding(name, *parse_address(text), None)
        for name, listener in settings.listeners.items()
        for text in listener.addresses
    ]
    return GatewayService(
        reactor,
        bindings,
        (Part("workers", supervisor.start, supervisor.stop),),
        _no_sessions,
        run_as(settings.user, settings.group),
        observer,
        supervisor.listen,
    )


async def _no_sessions() -> None:
    """The supervisor has none."""
