"""The certificate: does it name us, and until when (RFC 9525, RFC 9325)?"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from mailgw.doctor.finding import Finding
from mailgw.doctor.site import Site

SUBJECT = "certificate"
# Automatic renewal begins 30 days before the end; what is left at 14 has not been renewed.
WARN_DAYS = 14
MIN_RSA_BITS = 2048  # RFC 9325 4.5


def check(site: Site, now: datetime.datetime) -> list[Finding]:
    """Look at our certificate; `now` is an aware time."""
    if not site.chain:
        advice = "Set [tls] certificate_file and key_file: without TLS nobody can submit, and mail comes unencrypted."
        return [Finding("warning", SUBJECT, site.hostname, "there is none, so that there is no TLS", advice)]
    certificate = site.chain[0]
    return [*_names(site, certificate), *_dates(site, certificate, now), *_trust(site, certificate)]


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Give the DNS names of a certificate, in lower case."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))


def names_host(certificate: x509.Certificate, host: str) -> bool:
    """RFC 9525 6.3: a wildcard stands for the whole first label."""
    above = host.partition(".")[2]
    return any(name == host or (name.startswith("*.") and name[2:] == above) for name in names_of(certificate))


def _names(site: Site, certificate: x509.Certificate) -> list[Finding]:
    names = ", ".join(names_of(certificate)) or "no host"
    if names_host(certificate, site.hostname):
        return [Finding("ok", SUBJECT, site.hostname, f"it names {names}")]
    advice = "Get one for our hostname: mail clients and MTA-STS refuse another."
    return [Finding("error", SUBJECT, site.hostname, f"it does not name {site.hostname}, but {names}", advice)]


def _dates(site: Site, certificate: x509.Certificate, now: datetime.datetime) -> list[Finding]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    until = f"{end:%Y-%m-%d %H:%M} UTC"
    if now < begin:
        fact = f"it is valid only from {begin:%Y-%m-%d %H:%M} UTC on"
        return [Finding("error", SUBJECT, site.hostname, fact, "Look at the clock, or use the certificate before.")]
    if now >= end:
        fact = f"it expired at {until}"
        return [Finding("error", SUBJECT, site.hostname, fact, "Renew it now, and restart the gateway.")]
    days = (end - now).days
    if days < WARN_DAYS:
        fact = f"it expires in {days} days, at {until}"
        return [Finding("warning", SUBJECT, site.hostname, fact, "Renew it: what renews it by itself has not.")]
    return [Finding("ok", SUBJECT, site.hostname, f"it is valid until {until}, {days} days")]


def _trust(site: Site, certificate: x509.Certificate) -> list[Finding]:
    found = []
    if certificate.issuer == certificate.subject:
        advice = "Get one from a CA: mail clients warn of this one, and MTA-STS refuses it."
        found.append(Finding("warning", SUBJECT, site.hostname, "we have signed it ourselves", advice))
    elif len(site.chain) == 1:
        advice = "Put the CA's intermediate certificates behind it in certificate_file."
        found.append(Finding("warning", SUBJECT, site.hostname, "the file holds no chain to its CA", advice))
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        fact = f"its key has {key.key_size} bits"
        found.append(Finding("error", SUBJECT, site.hostname, fact, f"Use {MIN_RSA_BITS} bits at least."))
    return found
