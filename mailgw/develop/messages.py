"""The messages to try: a good one, one that is spam by agreement, and one that goes outside."""

from __future__ import annotations

import email.utils
import textwrap

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

OUR_DOMAIN = "example.test"
ALICE = f"alice@{OUR_DOMAIN}"
BOB = f"bob@{OUR_DOMAIN}"
SENDER_DOMAIN = "sender.test"
SENDER = f"ann@{SENDER_DOMAIN}"
OUTSIDER = "zoe@outside.test"
SELECTOR = "dev"
# https://spamassassin.apache.org/gtube/: every filter calls it spam.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def make_dkim_key() -> bytes:
    """Make an RSA key of 2048 bits (PEM, PKCS #1: what dkimpy reads)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def dkim_record(key: bytes) -> str:
    """Give the TXT record of a key's public half (RFC 6376 3.6.1)."""
    public = serialization.load_pem_private_key(key, None).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "v=DKIM1; k=rsa; p=" + "".join(pem.decode().splitlines()[1:-1])


def compose(sender: str, recipient: str, subject: str, text: str, now: float) -> bytes:
    """Make a plain message of ASCII text with CRLF line ends; `now` is its Date, wall clock."""
    fields = {
        "Date": email.utils.formatdate(now),
        "From": sender,
        "To": recipient,
        "Subject": subject,
        "Message-ID": f"<{int(now * 1000)}.{subject.split()[0].lower()}@{sender.rpartition('@')[2]}>",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=us-ascii",
    }
    head = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return (head + "\n" + textwrap.dedent(text)).replace("\n", "\r\n").encode("ascii")


def sign(message: bytes, key: bytes, domain: str = SENDER_DOMAIN, selector: str = SELECTOR) -> bytes:
    """Put a DKIM-Signature field in front of a message."""
    relaxed = (b"relaxed", b"relaxed")
    signature: bytes = dkim.sign(message, selector.encode(), domain.encode(), key, canonicalize=relaxed)
    return signature + message


def messages_to_try(key: bytes, now: float) -> dict[str, bytes]:
    """Give file name -> message. `key` signs the good one for sender.test."""
    good = """\
        Dear Alice,

        this message is signed, and comes from a host that may send for its domain.
        It belongs in your INBOX.

        Ann
        """
    gtube = f"""\
        This is the Generic Test for Unsolicited Bulk Email. Its line

        {GTUBE}

        makes it spam by agreement. It belongs in the spam folder.
        """
    outside = """\
        Dear Zoe,

        Alice is one of our users and has authenticated: she may write to anyone.
        This message belongs at the sink, which stands for the world outside.

        Alice
        """
    return {
        "good.eml": sign(compose(SENDER, ALICE, "Good news", good, now), key),
        "gtube.eml": compose(SENDER, ALICE, "GTUBE test", gtube, now),
        "outside.eml": compose(ALICE, OUTSIDER, "Outside mail", outside, now),
    }
