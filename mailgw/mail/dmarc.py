"""What DMARC found, as values: for reports to the domain (RFC 9990), beside the results and evidence made of it."""

from __future__ import annotations

from attrs import frozen


@frozen
class PublishedPolicy:
    """A DMARC Policy Record (RFC 9989 4.7) of `domain`; tags that are not there have their defaults."""

    domain: str
    policy: str
    subdomain_policy: str
    nonexistent_policy: str
    strict_dkim: bool = False
    strict_spf: bool = False
    testing: bool = False
    rua: tuple[str, ...] = ()


@frozen
class DmarcEvaluation:
    """What came out for one Author Domain that a policy was found for.

    `result` is pass, fail or temperror; `policy` is what the domain asks for where a message fails (t=y heeded), empty
    where it is not known. `dkim` and `spf` say whether an identifier of each passed and is aligned. `exception` names
    what excuses a fail here, else it is empty.
    """

    author: str
    published: PublishedPolicy
    result: str
    policy: str
    dkim: bool
    spf: bool
    exception: str = ""
