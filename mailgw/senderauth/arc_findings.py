"""What ARC's outcome is in the Authentication-Results field, and as evidence."""

from __future__ import annotations

from collections.abc import Mapping

from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.senderauth.arc import ArcResult

# Anybody may seal, and whoever forges can break a chain: neither says whether the mail is good. A trusted seal
# counts where it excuses a message from DMARC.
SYMBOLS: Mapping[str, float] = {"ARC_PASS": 0.0, "ARC_FAIL": 0.0, "ARC_TEMPERROR": 0.0, "ARC_NONE": 0.0}


def auth_result(result: ArcResult, address: str) -> AuthResult:
    """Write the result as RFC 8617 10.2 has it; `address` is the client's, or empty."""
    if result.result == "none":
        return AuthResult("arc", "none")
    properties = [("smtp.remote-ip", address)] if address else []
    if result.result != "pass":
        # RFC 8617 5.2.1: in the chain every failure is one for good, that of DNS too. There is no temperror.
        return AuthResult("arc", "fail", tuple(properties), result.reason)
    if result.oldest_pass is not None:
        properties.append(("header.oldest-pass", str(result.oldest_pass)))
    comment = f"i={len(result.seals)}, sealed by {result.seals[0].domain}"
    return AuthResult("arc", "pass", tuple(properties), comment=comment)


def evidence(result: ArcResult, sealer: str | None) -> Evidence:
    """State the outcome. `sealer` is from `arc.trusted_seal`."""
    detail = result.reason
    if result.result == "none":
        detail = "the message has no ARC"
    elif result.result == "pass":
        detail = "sealed by " + ", ".join(dict.fromkeys(seal.domain for seal in result.seals))
        if sealer:
            detail += f"; {sealer} is trusted"
    return Evidence(f"ARC_{result.result.upper()}", detail, source="arc")
