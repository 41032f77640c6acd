"""Why a delivery failed or waits: from what a remote said, or we found out, to one of some sixty classes.

A class is a name; what it means for the sender of the message stands in the wordings, in each language.
"""

from __future__ import annotations

import re

from mailgw.queue.item import Delayed, Failed

OTHER = "other"
_MAX_TEXT = 1024

# RFC 3463, RFC 7372, RFC 7505, RFC 8689 and the IANA registry of enhanced status codes: subject and detail. The class
# (4 or 5) makes no difference here. What means as much as nothing (X.0.0, X.7.1) is left to the text.
_BY_STATUS = {
    "1.1": "unknown_user",
    "1.2": "no_domain",
    "1.3": "bad_address",
    "1.4": "ambiguous_address",
    "1.5": "bad_address",
    "1.6": "moved",
    "1.7": "sender_address",
    "1.8": "sender_domain",
    "1.10": "null_mx",
    "2.1": "mailbox_disabled",
    "2.2": "mailbox_full",
    "2.3": "message_too_large",
    "2.4": "list_expansion",
    "3.1": "system_full",
    "3.2": "system_closed",
    "3.3": "feature_missing",
    "3.4": "message_too_large",
    "3.5": "misconfigured",
    "4.1": "unreachable",
    "4.2": "connection_broken",
    "4.3": "dns_failure",
    "4.4": "no_route",
    "4.5": "congestion",
    "4.6": "loop",
    "4.7": "expired",
    "5.3": "too_many_recipients",
    "5.6": "credentials",
    "6.1": "media_unsupported",
    "6.2": "conversion_forbidden",
    "6.3": "characters",
    "6.4": "conversion_forbidden",
    "6.5": "conversion_forbidden",
    "6.6": "content_missing",
    "6.7": "characters",
    "6.8": "characters",
    "6.9": "characters",
    "7.2": "list_members_only",
    "7.3": "encryption",
    "7.4": "tls",
    "7.5": "encryption",
    "7.8": "credentials",
    "7.9": "credentials",
    "7.10": "tls",
    "7.11": "tls",
    "7.12": "credentials",
    "7.13": "account_disabled",
    "7.14": "trust",
    "7.17": "owner_changed",
    "7.18": "owner_changed",
    "7.20": "dkim",
    "7.21": "dkim",
    "7.22": "dkim",
    "7.23": "spf",
    "7.24": "spf",
    "7.25": "reverse_dns",
    "7.26": "dmarc",
    "7.27": "sender_null_mx",
    "7.28": "rate_limited",
    "7.29": "arc",
    "7.30": "tls",
    # Microsoft's own: who may write to a mailbox or a group.
    "7.124": "senders_listed_only",
    "7.129": "senders_listed_only",
    "7.133": "internal_only",
    "7.134": "internal_only",
    "7.135": "internal_only",
    "7.136": "internal_only",
    "7.137": "internal_only",
}
_BY_SUBJECT = {
    "1": "bad_address",
    "2": "mailbox_disabled",
    "3": "system_closed",
    "4": "unreachable",
    "5": "protocol",
    "6": "content_format",
    "7": "policy",
}

# How hosts say that we send too much, as large providers word it: about us, whatever the message.
TOO_MUCH = (
    r"rate[- ]?limit|throttl|slow(?:ing)? down|too (?:many|much) (?:messages|mails?|connections|sessions|traffic)"
    r"|too (?:fast|quickly)|unusual rate|(?:sending|message|connection) rate"
    r"|messages? from .{1,80} temporarily deferred"
)

# What servers say where their status says little; the first that matches. Each pattern is linear, on the first KiB.
_BY_TEXT = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"gr[ae]y-?list", "greylisted"),
        (r"(mailbox|quota|storage).{0,30}(full|exceed|limit)|over ?-?quota", "mailbox_full"),
        (
            r"(account|mailbox|user|recipient).{0,30}(disabled|inactive|suspended|deactivated|locked)",
            "mailbox_disabled",
        ),
        (
            r"(user|mailbox|recipient|account|address).{0,30}(unknown|not ?found|exist|unavailable|not listed)"
            r"|no such|unknown (user|recipient|address)|no mailbox|invalid (mailbox|recipient)",
            "unknown_user",
        ),
        (r"too (large|big)|(message|size).{0,20}(limit|exceed)|exceeds.{0,20}size", "message_too_large"),
        (r"too many recipients", "too_many_recipients"),
        (r"(sending|daily|hourly).{0,20}(limit|quota)|(limit|quota).{0,20}(sending|per (day|hour))", "sending_limit"),
        (r"too many (connections|sessions)|concurren", "too_many_connections"),
        (rf"{TOO_MUCH}|rate|too (many|much)|unusual|unexpected volume|temporarily deferred", "rate_limited"),
        (r"relay(ing)?.{0,20}(denied|not|prohibit|reject)|not.{0,20}relay|unable to relay", "relay_denied"),
        (r"auth(entication)? (is )?required|must (be )?authenticat|not authenticated", "authentication_required"),
        (r"auth(entication)?.{0,20}(fail|invalid)|(bad|invalid).{0,20}(credential|password)", "credentials"),
        (r"dmarc", "dmarc"),
        (r"\bspf\b|sender policy framework", "spf"),
        (r"\bdkim\b", "dkim"),
        (r"unauthenticated|not authenticated|authentication.{0,20}(check|result|information)", "authentication"),
        (r"\bptr\b|reverse (dns|lookup|hostname)|rdns", "reverse_dns"),
        (r"\b(helo|ehlo)\b", "helo"),
        (r"dynamic|residential|\bpbl\b|dial-?up", "dynamic_address"),
        (
            r"(block|black|deny)[ -]?list|dnsbl|\brbl\b|spamhaus|barracuda|spamcop|proofpoint|\blisted\b|blocked using",
            "blocklisted",
        ),
        (r"reputation", "reputation"),
        (r"virus|malware|infected|trojan", "virus"),
        (r"phish|(bad|suspicious|malicious|blocked).{0,20}(url|link)", "phishing"),
        (r"attachment|file ?type|file name|executable", "attachment"),
        (r"spam|junk|bulk|unsolicited|content", "spam"),
        (r"(country|region|geo).{0,30}(block|deny|not|reject)", "region"),
        (r"(only|internal|members|authorized|authorised|permitted).{0,40}(send|post)", "internal_only"),
        (r"moderat", "moderated"),
        (r"sender.{0,30}(verif|callout|call-?back)", "sender_unverified"),
        (r"(sender|from|return.?path).{0,30}(reject|denied|blocked|not allowed|refused)", "sender_refused"),
        (r"sender.{0,30}domain|domain.{0,30}sender|domain of sender", "sender_domain"),
        (r"duplicate", "duplicate"),
        (r"rfc ?-?5?3?[28]22|header|multiple from|missing.{0,20}(from|date|message-id|to)", "header"),
        (r"line.{0,10}too long|bare (lf|cr|newline)", "line_length"),
        (r"starttls|\btls\b|encrypt", "tls"),
        (r"\bdns\b|name ?server|resolv|lookup|host.{0,10}not found|\bmx\b", "dns_failure"),
        (r"insufficient.{0,20}(storage|resource|disk|space|memory)|disk|out of (memory|space)", "system_full"),
        (r"timed? ?out|timeout", "connection_broken"),
        (r"loop|too many hops|hop count", "loop"),
        (r"maintenance|shutting down|not available|unavailable|temporar|try again|overload|busy", "system_busy"),
        (r"blocked|policy|prohibit|not allowed|forbidden|administrat|refused|denied", "policy"),
    )
)


_OURS = {"3.0": "internal", "3.5": "internal", "7.1": "withdrawn"}
"""By statuses that no remote said: trouble here, and what our postmaster did."""
# RFC 7505 gave X.1.10 to null MX; Exchange says it of a recipient.
_NOT_FOUND = re.compile(r"recipient.{0,3}not.{0,3}found", re.IGNORECASE)

NAMES = frozenset(
    (*_BY_STATUS.values(), *_BY_SUBJECT.values(), *(name for _, name in _BY_TEXT), *_OURS.values(), OTHER)
)
"""Every class there is."""


def cause_of(outcome: Delayed | Failed) -> str:
    """Give the class: by its status, by its text, by the status's subject."""
    detail = outcome.status.partition(".")[2]
    if outcome.reply is None and detail in _OURS:
        return _OURS[detail]
    if detail in _BY_STATUS and not (detail == "1.10" and outcome.reply and _NOT_FOUND.search(outcome.reply.text)):
        return _BY_STATUS[detail]
    text = outcome.reply.text[:_MAX_TEXT] if outcome.reply is not None else ""
    for pattern, name in _BY_TEXT:
        if pattern.search(text):
            return name
    return _BY_SUBJECT.get(detail.partition(".")[0], OTHER)


def last_cause_of(outcome: Delayed | Failed) -> str:
    """Give the class of what the last try met, for a failure whose own class is that its time is over; else empty."""
    if cause_of(outcome) != "expired":
        return ""
    if outcome.reply is None:
        return ""
    name = cause_of(Failed(outcome.reply.status or "5.0.0", "", outcome.remote, outcome.reply))
    return "" if name in ("expired", OTHER) else name
