"""Delivery to folders."""

from __future__ import annotations

import errno
import os
from unittest import mock

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config import schema
from mailgw.delivery import maildir
from mailgw.delivery.maildir import MaildirAgent, encode_name
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.message import FileContent, Message, head_of
from mailgw.operation.threads import ThreadsInline
from mailgw.queue.item import Delayed, Delivered, Delivery, Destination, QueuedMessage

CONTENT = b"Subject: hello\r\n\r\nOne\r\n.two\r\n"


def queued(content: bytes = CONTENT, reverse_path: str | None = "bob@example.net") -> QueuedMessage:
    sender = Mailbox.parse(reverse_path) if reverse_path else None
    message = Message(Message.from_bytes(content).content, head_of(content), prefix=b"Received: here\r\n")
    return QueuedMessage("01ABC", Envelope(sender), message, received=1000.5, origin="mx")


def delivery(number: int = 0, target: str = "alice@example.org", folder: str = "inbox", attempts: int = 0) -> Delivery:
    destination = Destination("maildir", target, folder)  # type: ignore[arg-type]
    return Delivery("01ABC", number, Recipient(Mailbox.parse("alice@example.org")), destination, 0, 0, attempts)


class MaildirTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = os.path.join(self.mktemp(), "mailboxes")
        self.clock = Clock()
        self.agent = self.make_agent()

    def make_agent(self, **settings: str) -> MaildirAgent:
        return MaildirAgent(schema.Maildir(root=self.root, **settings), ThreadsInline(), "mx.example.org", self.clock)

    def deliver(self, message: QueuedMessage, *deliveries: Delivery) -> object:
        return self.successResultOf(Deferred.fromCoroutine(self.agent.deliver(message, deliveries)))

    def files(self, *path: str) -> list[str]:
        return sorted(os.listdir(os.path.join(self.root, "example.org", *path)))

    def read(self, *path: str) -> bytes:
        (name,) = self.files(*path)
        with open(os.path.join(self.root, "example.org", *path, name), "rb") as file:
            return file.read()

    def test_the_subject_of_spam_has_the_tag_of_the_site(self) -> None:
        agent = self.make_agent(spam_subject="[SPAM]")
        for content, lines in (
            (CONTENT, [b"Subject: [SPAM] hello"]),
            (b"A: b\r\nsubject:folded\r\n line\r\nC: d\r\n\r\nx\r\n", [b"Subject: [SPAM] folded", b" line"]),
            (b"A: b\r\n\r\nx\r\n", [b"Subject: [SPAM]"]),
        ):
            tagged = maildir.tagged(queued(content).message, "[SPAM]")
            output = b"".join(tagged.output())
            head = output.partition(b"\r\n\r\n")[0].split(b"\r\n")
            self.assertEqual([line for line in head if line in lines], lines)
            self.assertEqual(sum(line.lower().startswith(b"subject:") for line in head), 1)
            self.assertEqual(tagged.content, queued(content).message.content)
            self.assertTrue(output.endswith(content.partition(b"\r\n\r\n")[2]))
        for folder, subject in (("spam", b"\nSubject: [SPAM] hello\n"), ("inbox", b"\nSubject: hello\n")):
            self.successResultOf(Deferred.fromCoroutine(agent.deliver(queued(), [delivery(folder=folder)])))
            new = os.path.join(agent.path(delivery(folder=folder).destination), "new")
            (name,) = os.listdir(new)
            with open(os.path.join(new, name), "rb") as file:
                self.assertIn(subject, file.read())

    def test_inbox(self) -> None:
        (outcome,) = self.deliver(queued(), delivery())
        self.assertIsInstance(outcome, Delivered)
        self.assertEqual(
            self.read("alice", "new"),
            b"Return-Path: <bob@example.net>\nDelivered-To: alice@example.org\nReceived: here\n"
            b"Subject: hello\n\nOne\n.two\n",
        )
        self.assertEqual(self.files("alice", "tmp"), [])
        (name,) = self.files("alice", "new")
        self.assertEqual(name, f"1000.01ABC_0.mx.example.org,S={len(self.read('alice', 'new'))}")

    def test_null_reverse_path(self) -> None:
        self.deliver(queued(reverse_path=None), delivery())
        self.assertTrue(self.read("alice", "new").startswith(b"Return-Path: <>\n"))

    def test_spam_goes_to_its_folder(self) -> None:
        self.deliver(queued(), delivery(folder="spam"))
        self.assertEqual(len(self.files("alice", ".Spam", "new")), 1)
        self.assertIn("maildirfolder", self.files("alice", ".Spam"))
        self.assertEqual(self.files("alice"), [".Spam", "cur", "new", "tmp"])

    def test_folders_are_private(self) -> None:
        self.deliver(queued(), delivery(folder="spam"))
        for path in (".", "alice", "alice/.Spam", "alice/.Spam/new"):
            self.assertEqual(os.stat(os.path.join(self.root, "example.org", path)).st_mode & 0o777, 0o700)

    def test_folder_names_are_settings(self) -> None:
        self.agent = self.make_agent(inbox=".Incoming", spam="Junk")
        self.deliver(queued(), delivery(0), delivery(1, folder="spam"))
        self.deliver(queued(), delivery(2, folder="spam"))
        self.assertEqual(len(self.files("alice", ".Incoming", "new")), 2)
        self.assertEqual(len(self.files("alice", ".Junk", "new")), 1)

    def test_bad_folder_name(self) -> None:
        for name in ("../x", "a/b", "..", ""):
            self.assertRaisesRegex(ValueError, "is no Maildir", self.make_agent, spam=name)

    def test_content_in_a_file(self) -> None:
        lines = b"".join(b"%d\r\n" % n for n in range(200_000))
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(CONTENT + lines)
        message = Message(FileContent(path, len(CONTENT + lines)), head_of(CONTENT))
        self.deliver(evolve(queued(), message=message), delivery())
        self.assertTrue(self.read("alice", "new").endswith((CONTENT + lines).replace(b"\r\n", b"\n")))
        self.assertNotIn(b"\r", self.read("alice", "new"))

    def test_again_after_a_crash_gives_one_copy(self) -> None:
        """The copy was renamed into place, then the process died before the delivery was settled."""
        self.deliver(queued(), delivery())
        (name,) = self.files("alice", "new")
        self.clock.advance(5000)
        self.agent = self.make_agent()
        self.assertIsInstance(self.deliver(queued(), delivery())[0], Delivered)  # type: ignore[index]
        self.assertEqual(self.files("alice", "new"), [name])

        new = os.path.join(self.root, "example.org", "alice", "new", name)
        os.rename(new, new.replace("/new/", "/cur/") + ":2,S")  # the user read it meanwhile
        self.deliver(queued(), delivery())
        self.assertEqual(self.files("alice", "new"), [])

    def test_rest_of_a_crash_in_tmp(self) -> None:
        self.deliver(queued(), delivery(1))
        left = os.path.join(self.root, "example.org", "alice", "tmp", "1000.01ABC_0.mx.example.org")
        with open(left, "wb") as file:
            file.write(b"half")
        self.deliver(queued(), delivery(0))
        self.assertEqual(len(self.files("alice", "new")), 2)
        self.assertEqual(self.files("alice", "tmp"), [])

    def test_no_address_leaves_the_root(self) -> None:
        hostile = ('"../../../../tmp/x"@example.org', '"."@example.org', '".."@example.org', '"a/b"@example.org')
        for number, target in enumerate(hostile):
            self.assertIsInstance(self.deliver(queued(), delivery(number, target))[0], Delivered)  # type: ignore[index]
        self.assertEqual(self.files(), ["%2E", "%2E.", "%2E.%2F..%2F..%2F..%2Ftmp%2Fx", "a%2Fb"])

    def test_names_are_one_to_one(self) -> None:
        names = ["", ".", "..", "%2E", "a/b", "a%2Fb", "\0", "ä", "A", "a", " "]
        encoded = [encode_name(name) for name in names]
        self.assertEqual(len(set(encoded)), len(names))
        for name in encoded:
            self.assertNotIn("/", name)
            self.assertNotIn(name, ("", ".", ".."))

    def test_disk_full_is_delayed(self) -> None:
        for number, status, site_wide in (
            (errno.ENOSPC, "4.3.1", True),
            (errno.EDQUOT, "4.2.2", False),
            (errno.EACCES, "4.3.0", False),
        ):
            with mock.patch("os.fsync", side_effect=OSError(number, os.strerror(number))):
                (outcome,) = self.deliver(queued(), delivery())  # type: ignore[misc]
            self.assertIsInstance(outcome, Delayed)
            self.assertEqual((outcome.status, outcome.site_wide), (status, site_wide))
            self.assertEqual(self.files("alice", "tmp"), [])
            self.assertEqual(self.files("alice", "new"), [])

    def test_durable_before_it_is_delivered(self) -> None:
        """The file is synced before the rename, its folder after it."""
        steps: list[str] = []
        sync, rename = os.fsync, os.rename
        self.deliver(queued(), delivery(1))

        def fsync(descriptor: int) -> None:
            steps.append("fsync " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
            sync(descriptor)

        def renamed(old: str, new: str) -> None:
            steps.append("rename")
            rename(old, new)

        with mock.patch("os.fsync", fsync), mock.patch("os.rename", renamed):
            self.deliver(queued(), delivery(0))
        self.assertEqual(steps, ["fsync 1000.01ABC_0.mx.example.org", "rename", "fsync new"])
