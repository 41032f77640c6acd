"""mailgw.toml as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import field, frozen

from mailgw.config.schema.delivery import Forwarding, Quarantine, Queue, Relay, Reports, Route, SiteRule, TlsPolicy
from mailgw.config.schema.operation import Dns, History, Log
from mailgw.config.schema.reception import Limits, Listener, Rate, Submission, Timeouts, Tls, Trace
from mailgw.config.schema.reports import DmarcReports, TlsReports
from mailgw.config.schema.routing import Domain, Maildir, Routing
from mailgw.config.schema.setting import setting
from mailgw.config.schema.signing import Signing


@frozen
class Settings:
    """mailgw.toml"""

    hostname: str = setting("Our name in greeting, EHLO, Received and reports. It must resolve to our address.", "")
    state_directory: str = setting("Where the queue stands.", "/var/lib/mailgw", path=True)
    user: str = setting("User to run as, once the ports are bound as root.", "mailgw")
    group: str = setting("Group to run as. Empty: that of the user.", "")
    workers: int | Literal["auto"] = setting(
        "Processes that share the work, each with a queue of its own; `auto`: one for each core. Limits of [limits]"
        " connections, of [rates], of [queue] concurrency and of [sites] are parted among them.",
        1,
        maximum=64,
    )
    own_networks: tuple[str, ...] = setting(
        "Our own networks: no greeting delay, and no limit or rate for an address or network.",
        ("127.0.0.0/8", "::1/128"),
    )
    filters_file: str = setting("Filters, weights and thresholds.", "filters.toml", path=True)
    rules_file: str = setting("Rules of this site.", "rules.toml", path=True)
    tests_directory: str = setting(
        "Messages with the verdicts that they must get (*.eml), tried by `mailgw check` and before a reload.",
        "tests",
        path=True,
    )
    domains: Mapping[str, Domain] = setting("Our domains: mail for them is taken on the mx listener.", {})
    listeners: Mapping[str, Listener] = setting("The ports.", {})
    tls: Tls = field(factory=Tls)
    submission: Submission = field(factory=Submission)
    routing: Routing = field(factory=Routing)
    maildir: Maildir = field(factory=Maildir)
    relay: Relay = field(factory=Relay)
    routes: Mapping[str, Route] = setting("Next hops by name.", {})
    tls_policies: Mapping[str, TlsPolicy] = setting(
        'TLS towards the MX hosts of a recipient domain: of "example.com", or of all below it, "*.example.com".', {}
    )
    signing: Signing = field(factory=Signing)
    queue: Queue = field(factory=Queue)
    sites: Mapping[str, SiteRule] = setting("Rates, concurrency and tries by site.", {})
    reports: Reports = field(factory=Reports)
    forwarding: Forwarding = field(factory=Forwarding)
    quarantine: Quarantine = field(factory=Quarantine)
    limits: Limits = field(factory=Limits)
    rates: Mapping[str, Rate] = setting("Rates by name; a section replaces the default of its name.", {})
    timeouts: Timeouts = field(factory=Timeouts)
    dns: Dns = field(factory=Dns)
    trace: Trace = field(factory=Trace)
    dmarc_reports: DmarcReports = field(factory=DmarcReports)
    tls_reports: TlsReports = field(factory=TlsReports)
    history: History = field(factory=History)
    log: Log = field(factory=Log)
