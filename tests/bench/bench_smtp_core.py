"""How long the SMTP core takes, server side: `python -m tests.bench.bench_smtp_core` from the project's folder.

A session is EHLO MAIL RCPT DATA, a message, the dot, QUIT, as a client with PIPELINING sends it: in segments that
wait for their replies. Prints microseconds of CPU a session (best of several rounds) and megabytes a second for large
messages. Nothing here touches a socket.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
import timeit

from mailgw.mail.reply import Reply
from mailgw.smtp import events
from mailgw.smtp.server import Extensions, ServerConnection, ServerLimits

LIMITS = ServerLimits(message_size=100_000_000)
EXTENSIONS = Extensions(size=100_000_000, starttls=True)
OK = Reply(250, "2.0.0", ("OK",))
GO_AHEAD = Reply(354, "", ("Start mail input; end with <CRLF>.<CRLF>",))
BYE = Reply(221, "2.0.0", ("Bye",), close=True)


def message(size: int, dotted: bytes = b"") -> bytes:
    """A header and lines of 70 octets, and after each thirty of them `dotted`."""
    header = b"From: <sender@example.org>\r\nTo: <user@example.com>\r\nSubject: a message\r\nMessage-ID: <1@x>\r\n\r\n"
    line = b"The quick brown fox jumps over the lazy dog, and then does it again.\r\n"
    body = (line * 30 + dotted) * (size // (len(line) * 30) + 1)
    return header + body[: size - len(header) - 2] + b"\r\n"


def session(content: bytes, segment: int = 65536) -> list[bytes]:
    data = content + b".\r\nQUIT\r\n"
    mail = b"MAIL FROM:<sender@example.org> SIZE=%d BODY=8BITMIME\r\n" % len(content)
    return [
        b"EHLO client.example.org\r\n",
        mail + b"RCPT TO:<user@example.com>\r\nDATA\r\n",
        *(data[start : start + segment] for start in range(0, len(data), segment)),
    ]


def run(segments: list[bytes]) -> int:
    """Play a session against the core; give the octets of content."""
    connection = ServerConnection("mx.example.com", LIMITS, EXTENSIONS)
    size = 0
    for segment in segments:
        connection.receive(segment)
        while (event := connection.next_event()) is not None:
            kind = type(event)
            if kind is events.Content:
                size += len(event.data)
            elif kind is events.Data:
                connection.reply(GO_AHEAD)
            elif kind is events.Hello:
                connection.reply(connection.hello_reply(event))
            elif kind is events.Quit:
                connection.reply(BYE)
            elif kind is events.ContentEnd:
                assert event.problem is None, event.problem
                connection.reply(OK)
            else:
                connection.reply(OK)
    return size


def measure(name: str, segments: list[bytes], number: int) -> None:
    size = run(segments)
    seconds = min(timeit.repeat(lambda: run(segments), number=number, repeat=9, timer=time.process_time)) / number
    print(f"{name:42} {seconds * 1e6:10.1f} us {size / seconds / 1e6:10.0f} MB/s")


def main() -> None:
    measure("session with 5 KB", session(message(5120)), 500)
    measure("session with 5 KB, some lines with a dot", session(message(5120, b"..dot\r\n")), 500)
    measure("session with 5 KB, segments of 1448 octets", session(message(5120), 1448), 500)
    measure("session with 100 KB", session(message(100_000)), 100)
    measure("session with 10 MB", session(message(10_000_000)), 2)
    measure("session with 10 MB, segments of 1448 octets", session(message(10_000_000), 1448), 2)
    if "--profile" in sys.argv:
        segments = session(message(5120))
        with cProfile.Profile() as profile:
            for _ in range(2000):
                run(segments)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
