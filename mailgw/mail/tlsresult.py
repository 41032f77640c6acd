"""What came of TLS with a domain's MX hosts, as values: for reports to the domain (RFC 8460)."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

PolicyType = Literal["no-policy-found", "sts", "tlsa"]

FailureType = Literal[
    # RFC 8460 4.3.1: negotiation.
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-not-trusted",
    "certificate-expired",
    "validation-failure",
    # 4.3.2.1: DANE.
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    # 4.3.2.2: MTA-STS.
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
]


@frozen
class AppliedPolicy:
    """The policy that a session was held to (RFC 8460 4.4).

    `strings` are the lines of an MTA-STS policy, or the TLSA records in presentation form; `mx_hosts` are the patterns
    of an MTA-STS policy. `domain` is the Policy Domain where it is not the recipient's: of DANE it is the TLSA base
    domain (1.1).
    """

    type: PolicyType = "no-policy-found"
    strings: tuple[str, ...] = ()
    mx_hosts: tuple[str, ...] = ()
    domain: str = ""


NO_POLICY = AppliedPolicy()


@frozen
class TlsResult:
    """What came of one attempt at a session, or of one at getting the policy.

    `domain` is the recipient domain, which is asked whether it wants reports. `failure` is empty for a session under
    TLS that the policy is content with. The rest says of a failure where and how it came (RFC 8460 4.4), as far as it
    is known: `helo` is the name in the greeting, `reason` a text or code for people.
    """

    domain: str
    policy: AppliedPolicy = NO_POLICY
    failure: FailureType | Literal[""] = ""
    sending_ip: str = ""
    mx_host: str = ""
    receiving_ip: str = ""
    helo: str = ""
    reason: str = ""
