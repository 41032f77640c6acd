"""What the core refuses by itself, ready to be handed out."""

from __future__ import annotations

import re

from mailgw.mail.reply import Reply
from mailgw.smtp.events import Invalid

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def invalid(code: int, status: str, text: str, reason: str, *, close: bool = False) -> Invalid:
    """Make an Invalid with a reply of one line."""
    return Invalid(Reply(code, status, (text,), close), reason)


# The line.
LINE_TOO_LONG = invalid(500, "5.5.2", "The line is too long", "line_too_long")
# RFC 4954 6: 5.5.6 is for a response of AUTH that is too long.
AUTH_LINE_TOO_LONG = invalid(500, "5.5.6", "The authentication exchange line is too long", "line_too_long")
BARE_LF = invalid(500, "5.5.2", "Lines must end in CRLF, not in a bare LF (RFC 5321 2.3.8)", "bare_lf")
BARE_CR = invalid(500, "5.5.2", "A bare CR is not allowed in a command (RFC 5321 2.3.8)", "bare_cr")
NUL = invalid(500, "5.5.2", "A NUL octet is not allowed in a command", "nul")
CONTROL_CHARACTER = invalid(500, "5.5.2", "Control characters are not allowed in a command", "control_character")
NOT_UTF8 = invalid(500, "5.5.2", "The command is neither ASCII nor UTF-8", "not_utf8")
EMPTY_LINE = invalid(500, "5.5.2", "Empty line: a command was expected", "empty_line")
UNKNOWN_COMMAND = invalid(500, "5.5.1", "Unknown command", "unknown_command")
# A web browser or script was pointed at us (cross-protocol scripting): what follows is no SMTP either.
NOT_SMTP = invalid(500, "5.5.1", "This is SMTP, not HTTP", "not_smtp", close=True)
# Who may say whom a connection is from decides about relaying and limits: only configured networks may.
PROXY_NOT_ALLOWED = invalid(550, "5.7.0", "No PROXY header is taken from you", "proxy", close=True)
XCLIENT_NOT_ALLOWED = invalid(550, "5.7.0", "XCLIENT is not taken from you", "xclient")
NOT_IMPLEMENTED = invalid(502, "5.5.1", "Command not implemented", "not_implemented")
NO_ARGUMENT_ALLOWED = invalid(501, "5.5.4", "This command takes no argument", "argument")
BDAT_SYNTAX = invalid(521, "5.5.4", "Syntax: BDAT octets [LAST]", "argument", close=True)
VRFY_WANTS_ARGUMENT = invalid(501, "5.5.4", "Syntax: VRFY string", "argument")

# The sequence (RFC 5321 4.1.4).
HELLO_FIRST = invalid(503, "5.5.1", "Send EHLO first", "bad_sequence")
LHLO_FIRST = invalid(503, "5.5.1", "Send LHLO first", "bad_sequence")
MAIL_FIRST = invalid(503, "5.5.1", "Send MAIL first", "bad_sequence")
RCPT_FIRST = invalid(503, "5.5.1", "Send RCPT first", "bad_sequence")
NO_VALID_RECIPIENTS = invalid(554, "5.5.1", "No valid recipients", "no_valid_recipients")
NESTED_MAIL = invalid(503, "5.5.1", "A transaction is under way: finish it or send RSET", "bad_sequence")
DATA_AFTER_BDAT = invalid(
    503, "5.5.1", "The message has begun with BDAT: go on with BDAT, or send RSET", "bad_sequence"
)
RCPT_AFTER_BDAT = invalid(503, "5.5.1", "The message has begun: no more recipients", "bad_sequence")

# Bytes sent ahead of what they belong behind.
SENT_AHEAD_OF_TLS = invalid(
    501,
    "5.5.4",
    "Nothing may follow STARTTLS before the TLS handshake (RFC 3207 4.2)",
    "starttls_injection",
    close=True,
)
TOO_MUCH_AHEAD = invalid(421, "4.7.0", "Too much was sent without waiting for replies", "too_much_ahead", close=True)

# STARTTLS (RFC 3207) and AUTH (RFC 4954 4).
TLS_ACTIVE = invalid(503, "5.5.1", "TLS is already active", "bad_sequence")
REQUIRETLS_IN_CLEAR = invalid(530, "5.7.0", "REQUIRETLS needs TLS: send STARTTLS first", "requiretls_in_clear")
AUTH_NEEDS_TLS = invalid(538, "5.7.11", "Encryption required: send STARTTLS before AUTH", "auth_in_clear")
AUTHENTICATED = invalid(503, "5.5.1", "Already authenticated", "bad_sequence")
AUTH_IN_TRANSACTION = invalid(503, "5.5.1", "AUTH is not permitted during a mail transaction", "bad_sequence")
UNKNOWN_MECHANISM = invalid(504, "5.5.4", "Authentication mechanism not offered", "auth_mechanism")
AUTH_SYNTAX = invalid(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]", "argument")
BAD_BASE64 = invalid(501, "5.5.2", "The response is not valid base64", "bad_base64")


def control_character(text: str) -> Invalid | None:
    """Refuse a command that holds control characters; None for one that does not."""
    if not _CONTROL.search(text):
        return None
    if "\0" in text:
        return NUL
    return BARE_CR if "\r" in text else CONTROL_CHARACTER
