"""What etc/mailgw.toml and etc/filters.toml may say.

Each class is a section and documents itself: `doc` is the comment that the shipped file carries. Paths are
relative to the folder of mailgw.toml where they are not absolute. Times are seconds, sizes octets.
A module holds the sections of one step of the mail's way.
"""

from mailgw.config.schema.delivery import (
    Forwarding,
    Quarantine,
    Queue,
    Relay,
    RelayRule,
    Reports,
    Route,
    SiteRule,
    TlsPolicy,
)
from mailgw.config.schema.filtering import (
    DEFAULT_COMBINATIONS,
    Combination,
    Dmarc,
    FilterFile,
    Greylisting,
    Override,
    RuleAction,
    Thresholds,
)
from mailgw.config.schema.operation import Dns, History, Log
from mailgw.config.schema.reception import (
    DEFAULT_RATES,
    Extension,
    Limits,
    Listener,
    Rate,
    SendAs,
    Submission,
    Timeouts,
    Tls,
    Trace,
)
from mailgw.config.schema.reports import DmarcReports, TlsReports
from mailgw.config.schema.routing import Domain, Maildir, Routing
from mailgw.config.schema.settings import Settings
from mailgw.config.schema.signing import Signing

__all__ = [
    "DEFAULT_COMBINATIONS",
    "DEFAULT_RATES",
    "Combination",
    "Dmarc",
    "DmarcReports",
    "Dns",
    "Domain",
    "Extension",
    "FilterFile",
    "Forwarding",
    "Greylisting",
    "History",
    "Limits",
    "Listener",
    "Log",
    "Maildir",
    "Override",
    "Quarantine",
    "Queue",
    "Rate",
    "Relay",
    "RelayRule",
    "Reports",
    "Route",
    "Routing",
    "RuleAction",
    "SendAs",
    "Settings",
    "Signing",
    "SiteRule",
    "Submission",
    "Thresholds",
    "Timeouts",
    "Tls",
    "TlsPolicy",
    "TlsReports",
    "Trace",
]
