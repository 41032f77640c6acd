"""Who judges: the resolver, sender authentication, the filters, the policy."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.interfaces import IReactorTime

from mailgw.composition.etc import Etc
from mailgw.composition.senders import Senders
from mailgw.dns.interface import Resolver
from mailgw.dns.resolver import DnsResolver
from mailgw.filters.runner import FilterRunner
from mailgw.operation.threads import Threads
from mailgw.senderauth.authenticator import Authenticator
from mailgw.verdict.greylisting import NoGreylist
from mailgw.verdict.judge import Judge, NoAuthenticator
from mailgw.verdict.policies import Policies


def make_judge(
    etc: Etc,
    resolver: Resolver,
    clock: IReactorTime,
    threads: Threads,
    senders: Senders | None = None,
    *,
    offline: bool = False,
    authenticate: bool = True,
) -> Judge:
    """Make the judge: sender authentication, the filters, the policy. Without `senders` nobody is known, and nobody is
    told to come again. `offline` leaves out filters that ask other programs; without `authenticate` nothing is said
    about the sender."""
    known = senders.correspondence if senders is not None else None
    filters = etc.catalogue.make(etc.settings, clock, threads, resolver, known, offline=offline)
    authenticator = Authenticator(
        resolver,
        threads,
        etc.settings.hostname,
        clock,
        trusted_forwarders=etc.filter_file.dmarc.trusted_forwarders,
        trusted_sealers=etc.filter_file.dmarc.trusted_sealers,
    )
    return Judge(
        authenticator if authenticate else NoAuthenticator(),
        FilterRunner(filters, clock),
        Policies.of(etc.filter_file, etc.catalogue.weights, etc.catalogue.combinations),
        senders.greylist if senders is not None else NoGreylist(),
        clock,
        etc.settings.timeouts.check,
    )


def make_resolver(etc: Etc, reactor: Any, entropy: random.Random) -> DnsResolver:
    """Make the resolver that the configuration asks for."""
    return DnsResolver(reactor, etc.settings.dns, entropy)
