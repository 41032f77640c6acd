"""The gateway: all its parts, in the order in which they start."""

from __future__ import annotations

import os
import random
from typing import Any, TextIO

from mailgw.composition import judging
from mailgw.composition.etc import Etc, load
from mailgw.composition.history import make_history
from mailgw.composition.inbound import make_inbound, trace_settings
from mailgw.composition.outbound import make_outbound
from mailgw.composition.reload import Reload
from mailgw.composition.reporting import make_reporting
from mailgw.composition.senders import make_senders
from mailgw.operation import garbage, log
from mailgw.operation.descriptors import Descriptors
from mailgw.operation.service import GatewayService, Part, nothing, run_as
from mailgw.operation.threads import Pool

# Python work off the reactor: parsing of large messages, signatures, password hashes. More threads than cores would
# only wait for each other.
_CPU_THREADS = 2
# Deliveries to folders wait for the disk, not for the processor.
_DISK_THREADS = 8


def build(path: str | os.PathLike[str], reactor: Any, entropy: random.Random, stream: TextIO | None) -> GatewayService:
    """Read the configuration and put the gateway together; nothing runs and nothing is bound yet.

    The log goes to `stream` where the configuration names no file; a daemon has no stream. Raises
    ConfigurationErrors, TlsError, StartError for a user that is not there, and OSError for a log that cannot be
    written.
    """
    cpu = Pool(reactor, "cpu", _CPU_THREADS)
    disk = Pool(reactor, "disk", _DISK_THREADS)
    etc = load(path, reactor, cpu)
    settings = etc.settings
    resolver = judging.make_resolver(etc, reactor, entropy)
    senders = make_senders(etc, reactor)
    judge = judging.make_judge(etc, resolver, reactor, cpu, senders)
    history = make_history(settings, reactor)
    outbound = make_outbound(etc, resolver, reactor, disk, entropy, history.recorder)
    reporting = make_reporting(etc, resolver, outbound, reactor, cpu, entropy)
    observers = (*reporting.observers, senders.observe)
    inbound = make_inbound(etc, judge, outbound, reactor, cpu, entropy, observers, history.recorder)
    observer = log.observer(settings.log, stream)

    def take(new: Etc) -> None:
        judge.become(judging.make_judge(new, resolver, reactor, cpu, senders))
        inbound.copies.trace = trace_settings(new.settings)

    reload = Reload(etc, take, observer.reopen, reactor, cpu)
    parts = (
        Part("descriptors", Descriptors.of(settings).start, nothing),
        Part("threads", cpu.start, cpu.stop),
        Part("disk threads", disk.start, disk.stop),
        Part("resolver", nothing, resolver.stop),
        *history.parts,
        senders.part,
        *reporting.first,
        *inbound.parts,
        *outbound.parts,
        *reporting.last,
        Part("reload", reload.start, reload.stop),
        Part("garbage collector", garbage.settle, nothing),
    )
    return GatewayService(
        reactor,
        inbound.bindings,
        parts,
        lambda: inbound.sessions.stop(settings.timeouts.shutdown),
        run_as(settings.user, settings.group),
        observer,
    )
