"""TLSA records: which of them count for SMTP, and what they stand for (RFC 6698, 7671, 7672). No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from mailgw.dns.interface import TlsaRecord

# Usages, selectors, matching types (RFC 7218). The usages 0 and 1 mean nothing for SMTP (RFC 7672 3.1.3).
DANE_TA, DANE_EE = 2, 3
CERTIFICATE, KEY = 0, 1
FULL, SHA256, SHA512 = 0, 1, 2
_LENGTHS = {SHA256: 32, SHA512: 64}
# More records than a rollover of all keys needs; and what of them is shown.
MAX_RECORDS = 100
_SHOWN = 5
_SHOWN_LENGTH = 24


@frozen
class HostTlsa:
    """What a host says by DANE: TLS always, and who it is.

    `base` is its TLSA base domain, which goes into SNI (RFC 7672 8.1); `names` are those that it may have under a trust
    anchor. Where none of the `published` records is of `use`, TLS is all that there is to be (2.2).
    """

    base: str
    names: tuple[str, ...]
    published: tuple[TlsaRecord, ...]
    use: tuple[TlsaRecord, ...]


def usable(records: Iterable[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """Give the records that authenticate a host, without those that a stronger one makes obsolete.

    RFC 7671 9: of the digests of one usage and selector only the strongest count; what is there in full is no digest,
    and always counts.
    """
    good = [record for record in records if is_usable(record)][:MAX_RECORDS]
    strongest: dict[tuple[int, int], int] = {}
    for record in good:
        kind = (record.usage, record.selector)
        strongest[kind] = max(record.matching, strongest.get(kind, FULL))  # they are numbered by their strength
    return tuple(r for r in good if r.matching in (FULL, strongest[r.usage, r.selector]))


def is_usable(record: TlsaRecord) -> bool:
    """Whether it is of a kind that SMTP knows, and its data are what they should be."""
    if record.usage not in (DANE_TA, DANE_EE) or record.selector not in (CERTIFICATE, KEY):
        return False
    if record.matching != FULL:
        return len(record.data) == _LENGTHS.get(record.matching)
    try:
        if record.selector == CERTIFICATE:
            x509.load_der_x509_certificate(record.data)
        else:
            load_der_public_key(record.data)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return False
    return True


def matches(record: TlsaRecord, chain: Sequence[x509.Certificate]) -> bool:
    """Whether a record stands for the host's certificate (usage 3), or for one above it that is in the chain (2)."""
    candidates = chain[:1] if record.usage == DANE_EE else chain[1:]
    return any(any(standing_for(certificate, [record])) for certificate in candidates)


def standing_for(certificate: x509.Certificate, records: Iterable[TlsaRecord]) -> Iterator[TlsaRecord]:
    """Give the records whose data are the certificate's, whatever their usage. Each kind of data is made once, however
    many records there are."""
    made: dict[tuple[int, int], bytes | None] = {}
    for record in records:
        kind = (record.selector, record.matching)
        if kind not in made:
            made[kind] = association(certificate, *kind)
        if made[kind] == record.data:
            yield record


def association(certificate: x509.Certificate, selector: int, matching: int) -> bytes | None:
    """What such a record for the certificate holds (RFC 6698 2.1.4); None where there can be none."""
    if selector == CERTIFICATE:
        selected = certificate.public_bytes(Encoding.DER)
    elif selector == KEY:
        try:
            selected = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except (ValueError, UnsupportedAlgorithm):
            return None
    else:
        return None
    match matching:
        case 0:
            return selected
        case 1:
            return hashlib.sha256(selected).digest()
        case 2:
            return hashlib.sha512(selected).digest()
    return None


def advised(certificate: x509.Certificate) -> str:
    """The record that a host with this certificate should publish (RFC 7672 3.1.1)."""
    data = association(certificate, KEY, SHA256) or b""
    return presented(TlsaRecord(DANE_EE, KEY, SHA256, data))


def presented(record: TlsaRecord) -> str:
    """A record as a zone file has it."""
    return f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"


def shown(records: Sequence[TlsaRecord]) -> str:
    """Some records, as they are told to people: their beginnings will do."""
    texts = [text[:_SHOWN_LENGTH] + ".." * (len(text) > _SHOWN_LENGTH) for text in map(presented, records[:_SHOWN])]
    more = len(records) - _SHOWN
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")
