"""Our own DKIM signatures."""

from __future__ import annotations

from attrs import frozen

from mailgw.config.schema.setting import setting


@frozen
class Signing:
    """DKIM signatures on what goes out: mail that a user submits with a From address of his own, and our reports.
    Keys are made and changed with `mailgw dkim`; they are read again when they change."""

    enabled: bool = setting("Whether to sign. A domain without keys goes unsigned anyway.", True)
    keys_directory: str = setting(
        "Where the private keys stand: DOMAIN/SELECTOR.pem, readable by the user of the gateway only.",
        "dkim",
        path=True,
    )
    parent_domains: bool = setting(
        "Sign mail from a domain of ours without keys with those of the nearest of our domains above it.", False
    )
    expiry: float = setting(
        "Time after which a signature is no longer good (x=), from the attempt that sends it. 0: never.",
        0.0,
        minimum=0,
    )
