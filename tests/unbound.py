"""A private Unbound: a resolver that validates zones which tests sign, and knows nothing of the rest of the world."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from tests.programs import Program

_HEAD = "@ 60 IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 60\n@ 60 IN NS ns.invalid.\n"


class Unbound(Program):
    """Answers for `zones`: origin (without the final dot) -> records in the form of a zone file, names relative.

    Those in `signed` are signed, by a key that it trusts; those in `spoilt` too, but then what stands there in place of
    the one text is put in place of the other, so that the signature does not fit.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        zones: Mapping[str, str],
        signed: Collection[str],
        spoilt: Mapping[str, tuple[str, str]] = {},
    ) -> None:
        places = []
        anchors = ["server:\n"]
        root = "".join(f"{origin}. 60 IN NS ns.invalid.\n" for origin in zones)  # without it Unbound finds none of them
        for origin, records in {"": root, **zones}.items():
            text = _HEAD + records
            if origin in signed or origin in spoilt:
                text, anchor = _sign(origin, text)
                anchors.append(f'    trust-anchor: "{anchor}"\n')
            if origin in spoilt:
                right, wrong = spoilt[origin]
                assert right in text
                text = text.replace(right, wrong)
            (folder / f"{origin}.zone").write_text(text)
            place = f"    name: {origin}.\n    zonefile: {folder}/{origin}.zone\n"
            places.append(f"auth-zone:\n{place}    for-downstream: no\n")
        configuration = folder / "unbound.conf"
        configuration.write_text(_CONFIGURATION.format(folder=folder, port=port) + "".join(anchors + places))
        super().__init__(["unbound", "-d", "-p", "-c", str(configuration)], port, folder / "unbound.log")


_CONFIGURATION = """\
remote-control:
    control-enable: no
server:
    directory: "{folder}"
    chroot: ""
    username: ""
    use-syslog: no
    logfile: ""
    interface: 127.0.0.1@{port}
    access-control: 127.0.0.0/8 allow
    module-config: "validator iterator"
    num-threads: 1
    val-log-level: 2
    local-zone: "test." nodefault
"""


def _sign(origin: str, text: str) -> tuple[str, str]:
    """Give a zone with its signatures, and its trust anchor (DS)."""
    zone = dns.zone.from_text(text, f"{origin}.", relativize=False)
    key = ec.generate_private_key(ec.SECP256R1())
    public = dns.dnssec.make_dnskey(key.public_key(), dns.dnssectypes.Algorithm.ECDSAP256SHA256, flags=257)
    dns.dnssec.sign_zone(zone, keys=[(key, public)], lifetime=86400)
    ds = dns.dnssec.make_ds(f"{origin}.", public, "SHA256")
    return zone.to_text(relativize=False), f"{origin}. DS {ds.to_text()}"
