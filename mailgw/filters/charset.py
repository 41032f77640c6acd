"""Octets to text: charsets as mail names them (RFC 2045, RFC 2978) and encoded words (RFC 2047). Never raises."""

from __future__ import annotations

import binascii
import re
from encodings.aliases import aliases

# The charsets of mail. Not by codecs.lookup: that also knows punycode (quadratic time) and unicode_escape, and
# remembers every unknown name that a message comes up with, for ever.
_NAMES = (
    "utf_8 utf_8_sig utf_7 utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le ascii latin_1 iso8859_2 iso8859_3"
    " iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11 iso8859_13 iso8859_14"
    " iso8859_15 iso8859_16 cp437 cp850 cp852 cp866 cp874 cp932 cp949 cp950 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255"
    " cp1256 cp1257 cp1258 koi8_r koi8_u koi8_t mac_roman mac_cyrillic tis_620 gb2312 gbk gb18030 hz big5 big5hkscs"
    " euc_jp shift_jis shift_jis_2004 iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_kr euc_kr johab"
)
_TEXT_CODECS = frozenset(_NAMES.split())
_CODECS = {alias: codec for alias, codec in aliases.items() if codec in _TEXT_CODECS} | {c: c for c in _TEXT_CODECS}

# RFC 2047 2, with the language tag of RFC 2231 5; spaces within, which are wrong, are common.
_ENCODED_WORD = re.compile(r"=\?([!#-'+\-0-9A-Z^-~]{1,64})(?:\*[^?\s]{0,32})?\?([bBqQ])\?([ !->@-~]*)\?=")
NO_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
"""The octets that are no digits of base64, for `bytes.translate`."""


def decode_text(data: bytes, charset: str) -> str:
    """Decode octets. What the charset has no character for becomes U+FFFD.

    ISO 8859-1 is read as Windows-1252, as all mail programs do; what is labelled ASCII, or not at all, or with an
    unknown name, as UTF-8 when it is that.
    """
    codec = _codec(charset) or "ascii"
    if codec in ("ascii", "latin_1"):
        if codec == "ascii":
            try:
                return data.decode()
            except UnicodeDecodeError:
                pass
        codec = "cp1252"
    try:
        return data.decode(codec, "replace")
    except UnicodeError:  # some multi-byte codecs raise in spite of "replace"
        return data.decode("cp1252", "replace")


def is_charset(name: str) -> bool:
    """Whether a charset of that name is known: one of those that mail uses."""
    return _codec(name) is not None


def _codec(charset: str) -> str | None:
    return _CODECS.get(charset.strip().lower().replace("-", "_").replace(" ", "_"))


def decode_words(text: str) -> str:
    """Decode the encoded words of a header field's value (RFC 2047); the rest stays."""
    if "=?" not in text:
        return text
    pieces = []
    waiting = b""  # a character may be cut in two between neighbours of one charset: they are decoded together
    charset = ""
    position = 0
    for match in _ENCODED_WORD.finditer(text):
        between = text[position : match.start()]
        # RFC 2047 6.2: space between two encoded words is no part of the text.
        if position == 0 or between.strip(" \t") or match.group(1).lower() != charset:
            pieces.append(decode_text(waiting, charset))
            waiting = b""
            if position == 0 or between.strip(" \t"):
                pieces.append(between)
        charset = match.group(1).lower()
        data = match.group(3).encode("ascii", "replace")
        waiting += decode_base64(data) if match.group(2) in "bB" else binascii.a2b_qp(data, header=True)
        position = match.end()
    return "".join((*pieces, decode_text(waiting, charset), text[position:]))


def decode_base64(data: bytes) -> bytes:
    """Decode base64 however it is broken: what is no digit of it is passed over, and it may end anywhere."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        digits = data.translate(None, NO_BASE64)
        whole = len(digits) & ~3
        rest = digits[whole:]
        return binascii.a2b_base64(digits[:whole] + (rest.ljust(4, b"=") if len(rest) > 1 else b""))


def decode_value(value: bytes) -> str:
    """Decode a field's unfolded value: UTF-8 where it is (RFC 6532), Windows-1252 where it is not, and RFC 2047."""
    return decode_words(decode_text(value, ""))
