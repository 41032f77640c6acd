"""The queue, and what empties it: the scheduler, the agents, the reports."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from mailgw.composition.etc import Etc
from mailgw.composition.nexthops import make_next_hops
from mailgw.config.schema import Settings
from mailgw.delivery.alias import AliasAgent
from mailgw.delivery.callahead import CallAhead
from mailgw.delivery.dkim.signing import CurrentKeys, Signer
from mailgw.delivery.dsn import ReportWriter
from mailgw.delivery.forward import ForwardAgent, UnforwardableAgent
from mailgw.delivery.holdnotice import HoldNotices
from mailgw.delivery.maildir import MaildirAgent
from mailgw.delivery.relay import RelayAgent
from mailgw.delivery.sessions import Sessions
from mailgw.delivery.tls.results import TlsObserver
from mailgw.dns.interface import Resolver
from mailgw.mail.address import Mailbox
from mailgw.operation import workers
from mailgw.operation.service import Part, nothing
from mailgw.operation.threads import Pool
from mailgw.operation.workers import Place
from mailgw.queue import quarantine, withdrawal
from mailgw.queue.agent import DeliveryAgent, FateObserver
from mailgw.queue.nudge import NudgeWatch
from mailgw.queue.scheduler import Scheduler
from mailgw.queue.sqlite import SqliteStore
from mailgw.routing.interface import RecipientVerifier
from mailgw.routing.srs import Srs, make_secrets, read_secrets, secrets_file, srs_domain


@frozen
class Outbound:
    """What reception sees of it, and the parts to start."""

    store: SqliteStore
    scheduler: Scheduler
    verifier: RecipientVerifier
    srs: Srs
    """The return paths that forwarded mail goes under: reception takes mail for them."""
    notices: HoldNotices
    is_signed: Callable[[str], bool]
    """Whether mail of an author in a domain, in A-labels, goes out under a signature of ours now."""
    sessions: Sessions
    parts: tuple[Part, ...]


def make_outbound(
    etc: Etc,
    resolver: Resolver,
    reactor: Any,
    cpu: Pool,
    disk: Pool,
    entropy: random.Random,
    place: Place,
    observer: FateObserver | None = None,
    tls_observer: TlsObserver | None = None,
) -> Outbound:
    """Put it together. `disk` are threads that may wait for files; `observer` is told what becomes of mail, and
    `tls_observer` what comes of TLS with MX hosts. Raises ConfigurationErrors for keys that are wrong.

    The queues that workers have left which are no more are emptied too, by a scheduler of their own each.
    """
    settings = etc.settings
    ours = next(iter(settings.domains), settings.hostname)
    srs = Srs(srs_domain(settings), reactor.seconds)
    maildir = MaildirAgent(settings.maildir, disk, settings.hostname, reactor)
    way = make_next_hops(settings, resolver, reactor, disk, entropy, place, tls_observer)
    hops = way.sessions
    keys = CurrentKeys(settings, reactor, cpu)
    relay = RelayAgent(hops, disk, Signer(keys, settings.signing.expiry, reactor, cpu))
    verifier = CallAhead(hops, reactor, settings.timeouts.call_ahead)
    postmaster = Mailbox("postmaster", ours)
    reporter = _make_reporter(etc, postmaster, reactor, entropy)
    agents: dict[str, DeliveryAgent] = {
        "maildir": maildir,
        "relay": relay,
        "forward": ForwardAgent(relay, srs, etc.router.is_ours),
        "unforwardable": UnforwardableAgent(),
        "alias": AliasAgent(),
        quarantine.AGENT: quarantine.QuarantineAgent(),
        withdrawal.AGENT: withdrawal.WithdrawnAgent(),
    }
    directory = workers.queue_directory(settings.state_directory, place.number)
    queues = [
        _make_queue(path, settings, agents, reporter, reactor, entropy, observer)
        for path in (directory, *workers.left_over(settings.state_directory, place))
    ]
    parts = (
        Part("return paths", lambda: _load_srs(srs, settings), nothing),
        *(queue.opened for queue in queues),
        Part("folders", nothing, maildir.close),
        *way.parts,
        Part("DKIM keys", keys.start, keys.stop),
        Part("relay", nothing, relay.close),
        Part("call-ahead", nothing, verifier.stop),
        *(part for queue in queues for part in queue.running),
    )
    notices = _notices(etc, postmaster, reactor, entropy)
    return Outbound(queues[0].store, queues[0].scheduler, verifier, srs, notices, keys.sign_for, hops, parts)


@frozen
class _Queue:
    """One queue with what empties it: the part that opens it, and those that run once all is open."""

    store: SqliteStore
    scheduler: Scheduler
    opened: Part
    running: tuple[Part, ...]


def _make_queue(
    directory: Path,
    settings: Settings,
    agents: Mapping[str, DeliveryAgent],
    reporter: ReportWriter,
    reactor: Any,
    entropy: random.Random,
    observer: FateObserver | None,
) -> _Queue:
    store = SqliteStore(
        directory,
        reactor,
        inline_size=settings.queue.inline_size,
        minimum_free=settings.queue.minimum_free,
        clock=reactor,
    )
    scheduler = Scheduler(
        store, agents, reporter, reactor, entropy, settings.queue, settings.reports.delay, observer, settings.sites
    )
    watch = NudgeWatch(store.changed, scheduler.look_again, reactor)
    return _Queue(
        store,
        scheduler,
        Part("queue", store.open, store.close),
        (
            Part("quarantine", watch.start, watch.stop),
            Part("scheduler", scheduler.start, lambda: scheduler.stop(settings.timeouts.shutdown)),
        ),
    )


def _make_reporter(etc: Etc, postmaster: Mailbox, reactor: Any, entropy: random.Random) -> ReportWriter:
    settings = etc.settings
    return ReportWriter(
        settings.hostname,
        postmaster,
        etc.router,
        etc.wording,
        settings.queue.report_lifetime,
        reactor,
        entropy,
        tell_postmaster=settings.reports.unverified == "postmaster",
    )


def _notices(etc: Etc, postmaster: Mailbox, reactor: Any, entropy: random.Random) -> HoldNotices:
    settings = etc.settings
    lifetime = settings.queue.report_lifetime
    return HoldNotices(settings.hostname, postmaster, etc.router, settings.quarantine, lifetime, reactor, entropy)


def _load_srs(srs: Srs, settings: Settings) -> None:
    """Runs when the gateway is the user that it stays: the secret that it makes is to be its own."""
    file = secrets_file(settings)
    if not settings.forwarding.srs_secrets_file:
        make_secrets(file)
    srs.use(read_secrets(file))
