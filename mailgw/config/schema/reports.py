"""Reports to other organisations, and theirs to us."""

from __future__ import annotations

from attrs import frozen

from mailgw.config.schema.setting import setting


@frozen
class DmarcReports:
    """DMARC aggregate reports (RFC 9990): once a day, to each domain that asks for them, what came in its name."""

    sender: str = setting(
        "Address that they are sent from. They must pass DMARC themselves, so its domain names this host in SPF or is"
        " signed for. Empty: none are sent, and nothing is kept for them.",
        "",
    )
    organisation: str = setting("Our name in them. Empty: the domain of `sender`.", "")
    contact: str = setting("More of whom to ask about them, such as the address of a page.", "")
    skip: tuple[str, ...] = setting("Policy domains that get none, such as our own.", ())
    max_reports: int = setting("Reports a day.", 5000)
    max_records: int = setting("Records in a report: the most frequent. What is behind them is not kept.", 10000)
    inbox: str = setting(
        "Address that others send theirs to, as the rua= of our DMARC and TLS-RPT records has it. What arrives there,"
        " and passes DMARC, is read and added up for `mailgw reports`; it is delivered too. Empty: none is read.",
        "",
    )
    keep: float = setting("What was read is kept that long.", 34214400.0)


@frozen
class TlsReports:
    """Reports on TLS (RFC 8460): once a day, to each domain that we sent mail to and that asks for them (TLS-RPT), how
    often TLS with its MX hosts came about, and why it failed."""

    sender: str = setting(
        "Address that they are sent from. Nobody takes them without a DKIM signature of its domain. Empty: none are"
        " sent, and nothing is kept for them.",
        "",
    )
    organisation: str = setting("Our name in them. Empty: the domain of `sender`.", "")
    contact: str = setting("Address of whom to ask about them, in the domain of `sender`. Empty: `sender`.", "")
    skip: tuple[str, ...] = setting("Recipient domains that get none.", ())
    max_reports: int = setting("Reports a day.", 5000)
