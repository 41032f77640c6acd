"""Reading messages: charsets, encoded words, HTML, MIME structure; right on what is right, bounded on what is not."""

from __future__ import annotations

import email
import random
import time
from email import policy
from email.message import EmailMessage

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.anatomy import Anatomy, dissect
from mailgw.filters.charset import decode_base64, decode_text, decode_value, decode_words
from mailgw.filters.html import Anchor, read_html
from mailgw.filters.links import MAX_LINKS
from mailgw.filters.mime import MAX_PARTS, find_parts
from mailgw.filters.text import SCAN_SIZE, show
from mailgw.mail.message import BytesContent

MEBIBYTE = 1024 * 1024


def read_text(data: bytes) -> Anatomy:
    return dissect(BytesContent(data))


class CharsetTests(SynchronousTestCase):
    def test_charsets_of_mail(self) -> None:
        for charset, data in (
            ("UTF-8", b"Gr\xc3\xbc\xc3\x9fe"),
            ("iso-8859-1", b"Gr\xfc\xdfe"),
            ("Windows-1252", b"Gr\xfc\xdfe"),
            ("utf-16", "Grüße".encode("utf-16")),
            ("", b"Gr\xc3\xbc\xc3\x9fe"),
            ("us-ascii", b"Gr\xfc\xdfe"),
            ("x-unknown", b"Gr\xfc\xdfe"),
        ):
            self.assertEqual(decode_text(data, charset), "Grüße", charset)
        self.assertEqual(decode_text("привет".encode("koi8-r"), "KOI8-R"), "привет")
        self.assertEqual(decode_text("日本".encode("iso2022_jp"), "ISO-2022-JP"), "日本")

    def test_codecs_that_are_no_charsets_are_not_used(self) -> None:
        for name in ("punycode", "unicode_escape", "zip", "hex", "rot13", "idna", "a" * 70000, "\x00", "../x"):
            self.assertEqual(decode_text(rb"a\u0041", name), r"a\u0041")

    def test_encoded_words(self) -> None:
        for text, plain in (
            ("=?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus", "Grüße aus"),
            ("=?iso-8859-1?q?a_b?=", "a b"),
            ("=?utf-8?B?R3LDvMOf?=", "Grüß"),
            ("=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"),  # RFC 2047 8
            ("=?utf-8?Q?a?=  b =?utf-8?Q?c?=", "a  b c"),
            ("=?utf-8?B?w7w=?= =?utf-8?B?w58=?=", "üß"),
            ("=?utf-8?B?ww==?= =?utf-8?B?vA==?=", "ü"),  # a character cut in two
            ("=?utf-8*de?Q?a?=", "a"),
            ("x =?utf-8?X?a?= y", "x =?utf-8?X?a?= y"),
            ("=?utf-8?B?R3LDvMOf", "=?utf-8?B?R3LDvMOf"),
            ("=?utf-8?B?!!!?=", ""),
        ):
            self.assertEqual(decode_words(text), plain)

    def test_base64_that_is_broken(self) -> None:
        for data in (b"aGVsbG8=", b"aGVs\r\nbG8=", b"aGVs*bG8", b"aGVsbG8=="):
            self.assertEqual(decode_base64(data)[:5], b"hello", data)
        self.assertEqual(decode_base64(b"aGVsb"), b"hel")

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=300), st.text(max_size=20))
    def test_never_raises(self, data: bytes, charset: str) -> None:
        decode_text(data, charset).encode("utf-8", "replace")
        decode_value(b"=?" + charset.encode("utf-8", "replace") + b"?b?" + data + b"?=")
        decode_base64(data)


class HtmlTests(SynchronousTestCase):
    def text(self, source: str) -> str:
        return " ".join(read_html(source).text.split())

    def test_what_is_shown(self) -> None:
        for source, shown in (
            ("<p>Hello <b>World</b></p>", "Hello World"),
            ("V<i></i>ia<!-- x -->gra", "Viagra"),
            ("a<br>b<p>c<td>d", "a b c d"),
            ("&lt;b&gt; &amp; &#65;&#x42;&eacute;", "<b> & ABé"),
            ("<style>a{}</style>b<script>if (a</b>) c</script >d", "b d"),
            ("<SCRIPT>x</Script>y", "y"),
            ("a < b and c<d>e", "a < b and ce"),
            ("1<2", "1<2"),
            ('<a title="x>y">z</a>', "z"),
            ("<a title='x>y'>z</a>", "z"),
            ('<a ">z</a>', "z"),  # a quote that is not behind "=" opens nothing
            ('<a b="c>d', "d"),
            ("a<!-->b<!--->c<!-- -- > d -->e", "abce"),
            ("a<!doctype html>b<?xml x?>c</ x>d", "abcd"),
            ("a<!-- b", "a"),
            ("a<script>b", "a"),
            ("a<b c", "a"),
            ("<scripted>a</scripted>", "a"),
            ("a</script>b</ style>c", "abc"),  # an end tag that ends nothing hides nothing
            ("", ""),
        ):
            self.assertEqual(self.text(source).replace(" ", ""), shown.replace(" ", ""), source)

    def test_words_of_different_blocks_stay_apart(self) -> None:
        self.assertEqual(self.text("<div>a</div><div>b</div><table><tr><td>c</td><td>d</td></tr></table>"), "a b c d")

    def test_links(self) -> None:
        source = (
            "<a href=\"http://a.example/?x=1&amp;y=2\">x</a> <IMG SRC=//b.example/i.png> <a class=x href='HTTPS://c.example'>"
            '<form action="https://d.example/"> <a href="mailto:x@y"><a href="#top"><a data-href="http://no.example">'
            '<a href=" http://e.exa\n\tmple/ "><a title=x>href="http://no.example"</a>'
        )
        page = read_html(source)
        self.assertEqual(
            page.anchors,
            (
                Anchor("http://a.example/?x=1&y=2", "x"),
                Anchor("HTTPS://c.example", ""),
                Anchor("http://e.example/", ""),
            ),
        )
        self.assertEqual(page.urls, ("//b.example/i.png", "https://d.example/"))
        self.assertEqual(page.mailto, ("x@y",))

    def test_the_text_of_a_link(self) -> None:
        for source, shown in (
            ("<a href='http://a.example'> see\n <b>this</b>&amp;<br>that </a>!", "see this& that"),
            ("<A HREF=http://a.example>x</A >y", "x"),
            ("<a href=http://a.example>x<a name=top>y</a>", "x"),  # a link within a link ends it
            ("<a href=http://a.example>x<p>y", "x y"),
            ("<a href=http://a.example><img src=x></a>", ""),
            ("<a href=http:evil.example>x</a>", "x"),
            ("<a href=http:\\\\evil.example>x</a>", "x"),
            ("<a href=www.evil.example>x</a>", "x"),
            ("<abbr href=http://a.example/>x</abbr>", None),
        ):
            anchors = read_html(source).anchors
            self.assertEqual(anchors[0].shown if anchors else None, shown, source)

    @settings(max_examples=300, deadline=None)
    @given(st.text(st.sampled_from("<>/!-?='\"ab &#;0xscript\n"), max_size=200))
    def test_never_raises(self, source: str) -> None:
        read_html(source)


class MimeTests(SynchronousTestCase):
    def texts(self, data: bytes) -> list[str]:
        return [part.text(data) for part in find_parts(data)]

    def test_the_same_parts_as_the_standard_library_finds(self) -> None:
        source = random.Random(2045)
        for _ in range(60):
            data = make_message(source, depth=3).as_bytes(policy=policy.SMTP)
            expected = []
            for part in email.message_from_bytes(data, policy=policy.compat32).walk():
                if part.is_multipart():
                    continue
                payload = part.get_payload(decode=True)
                assert isinstance(payload, bytes)
                expected.append((part.get_content_type(), part.get_filename() or "", payload))
            found = [(p.content_type or "text/plain", p.filename, p.decode(data)) for p in find_parts(data)]
            self.assertEqual(found, expected)

    def test_preamble_and_epilogue_are_no_parts(self) -> None:
        data = (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\n\r\none\r\n--b--\r\nepi\r\n--b\r\n\r\ntwo"
        )
        self.assertEqual(self.texts(data), ["one"])

    def test_a_boundary_that_begins_like_another(self) -> None:
        data = (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
            b"--b\r\nContent-Type: multipart/mixed; boundary=bc\r\n\r\n"
            b"--bc\r\n\r\none\r\n--bc--\r\n--b \t\r\n\r\ntwo\r\n--b--\r\n"
        )
        self.assertEqual(self.texts(data), ["one", "two"])

    def test_not_closed_not_begun_and_without_boundary(self) -> None:
        head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        self.assertEqual(self.texts(head + b"--b\r\n\r\none"), ["one"])
        self.assertEqual(self.texts(head + b"no delimiter"), [])
        self.assertEqual(self.texts(b"Content-Type: multipart/mixed\r\n\r\nall"), ["all"])

    def test_a_message_without_header_or_body(self) -> None:
        self.assertEqual(self.texts(b"\r\nbody"), ["body"])
        self.assertEqual(self.texts(b"From: a\r\n"), [""])
        self.assertEqual(self.texts(b""), [""])

    def test_digest_and_attached_messages_are_read(self) -> None:
        data = (
            b"Content-Type: multipart/digest; boundary=b\r\n\r\n"
            b"--b\r\n\r\nSubject: x\r\n\r\none\r\n"
            b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\ntwo\r\n--b--\r\n"
        )
        self.assertEqual(self.texts(data), ["one", "two"])

    def test_parameters(self) -> None:
        for value, name in (
            (b'attachment; filename="a b.txt"', "a b.txt"),
            (b"attachment; filename=a.txt ; size=3", "a.txt"),
            (b'attachment; filename="a\\"b"', 'a"b'),
            (b"attachment; filename*=utf-8'de'%C3%BC.txt", "ü.txt"),
            (b"attachment; filename*0=a; filename*1=b", "ab"),
            (b'attachment; x="; filename=no"; filename=yes', "yes"),
            (b"attachment;\r\n\tFILENAME = a.txt", "a.txt"),
            (b'attachment; filename="=?utf-8?q?=C3=BC?="', "ü"),
            (b"attachment", ""),
        ):
            (part,) = find_parts(b"Content-Disposition: " + value + b"\r\n\r\n")
            self.assertEqual(part.filename, name, value)

    def test_parts_and_depth_are_bounded(self) -> None:
        flat = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5000
        self.assertLess(len(find_parts(flat)), MAX_PARTS)
        deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(500))
        self.assertEqual(len(find_parts(deep)), 1)

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from([
        b"\r\n", b"--b", b"--", b"Content-Type: ", b"multipart/mixed; boundary=b", b"message/rfc822", b"x", b'"', b";",
        b"charset=utf-7", b"Content-Transfer-Encoding: base64", b"=", b" ", b"name*0*=%zz''", b"\xff",
    ]), max_size=40))  # fmt: skip
    def test_never_raises(self, pieces: list[bytes]) -> None:
        read_text(b"".join(pieces))


class TextTests(SynchronousTestCase):
    def test_body_urls_and_names(self) -> None:
        message = EmailMessage(policy=policy.SMTP)
        message.set_content("Hello\nthere,  see http://a.example/x.\n\nNew (www.b.example): http://a.example/x\n")
        message.add_alternative('<p>Hello <a href="https://c.example/">there</a></p>', subtype="html")
        message.add_attachment(b"x", maintype="application", subtype="pdf", filename="ü.pdf")
        text = read_text(message.as_bytes())
        self.assertEqual(
            text.body.split("\n"),
            [
                "Hello there, see http://a.example/x.",
                "New (www.b.example): http://a.example/x",
                "Hello there",
            ],
        )
        self.assertEqual(set(text.urls), {"http://a.example/x", "www.b.example", "https://c.example/"})
        self.assertEqual(text.attachments, ("ü.pdf",))

    def test_urls_in_text(self) -> None:
        for source, urls in (
            ("go to HTTP://A.example/B, now", ("http://A.example/B",)),
            ("<http://a.example/>", ("http://a.example/",)),
            ("(see https://a.example/?q=(x))", ("https://a.example/?q=(x",)),
            ("ahttp://x.example", ("http://x.example",)),
            ("mailto://x", ()),
            ("awww.x.example", ()),
            ("http:// x", ()),
        ):
            self.assertEqual(read_text(b"\r\n" + source.encode()).urls, urls, source)

    def test_urls_are_bounded(self) -> None:
        data = b"\r\n" + b" ".join(b"http://a%d.example/" % n for n in range(5000))
        self.assertEqual(len(read_text(data).urls), MAX_LINKS)

    def test_only_the_beginning_is_read(self) -> None:
        text = read_text(b"\r\n" + b"a" * SCAN_SIZE + b" end")
        self.assertNotIn("end", text.body)

    def test_show_is_short_and_has_no_control_characters(self) -> None:
        self.assertEqual(show("a\x1b[1m\r\nb"), '"a [1m  b"')
        self.assertEqual(show("x" * 100, 5), '"xxxxx..."')

    def test_no_mebibyte_takes_long(self) -> None:
        """Linear in time: each of these takes a quadratic reader minutes. The limit allows for a slow machine."""
        html = b"Content-Type: text/html\r\n\r\n"
        levels = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(50))
        for data in (
            html + b"<a " * (MEBIBYTE // 3),
            html + b"<!--" * (MEBIBYTE // 4),
            html + b"<script>" * (MEBIBYTE // 8),
            html + b"<a ='\"" * (MEBIBYTE // 6),
            html + b"<" * MEBIBYTE,
            html + b"&#" + b"9" * MEBIBYTE,
            levels + b"\r\n" * (MEBIBYTE // 2),
            levels + b"\r\n--b" * (MEBIBYTE // 5),
            b"Content-Type: x" + b"; a=b" * (MEBIBYTE // 5),
            b"Content-Type:" * (MEBIBYTE // 13),
            b"\r\n" + b"http://a/ " * (MEBIBYTE // 10),
            b"\r\n" + b" \n" * (MEBIBYTE // 2),
        ):
            start = time.process_time()
            read_text(data)
            self.assertLess(time.process_time() - start, 3.0, data[:60])


def make_message(source: random.Random, depth: int) -> EmailMessage:
    """Make a random message of nested parts, with the standard library."""
    message = EmailMessage(policy=policy.SMTP)
    if depth and source.random() < 0.6:
        message.make_mixed()
        for _ in range(source.randrange(1, 4)):
            message.attach(make_message(source, depth - 1))
        return message
    words = " ".join(source.choice(["Hallo", "Grüße", "日本", "=3D", "--b", "\n", "a" * 90]) for _ in range(20))
    kind = source.randrange(3)
    if kind == 0:
        message.set_content(words, cte=source.choice(["base64", "quoted-printable", "8bit"]))
    elif kind == 1:
        message.set_content(f"<p>{words}</p>", subtype="html")
    else:
        message.set_content(source.randbytes(300), "application", "octet-stream", filename=f"f{source.random()}.bin")
    return message
