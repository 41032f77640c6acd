"""TLS as the server, against OpenSSL as the client, with nothing between them but bytes."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.ssl import CertificateOptions
from twisted.trial.unittest import SynchronousTestCase

from mailgw.develop.certificate import make_certificate
from mailgw.operation.tlsengine import ServerTls

_PEM, _KEY = make_certificate(["mx.ours.example"], datetime.datetime.now(datetime.UTC))
CONTEXT = CertificateOptions(
    privateKey=load_pem_private_key(_KEY, None), certificate=x509.load_pem_x509_certificate(_PEM)
).getContext()


class Client:
    """OpenSSL's client side between two buffers, and the server that it talks to."""

    def __init__(self, ciphers: bytes = b"") -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if ciphers:
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
            context.set_cipher_list(ciphers)
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()
        self.server = ServerTls(CONTEXT)

    def written(self) -> bytes:
        """Take what the client wants to write."""
        try:
            return self.tls.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""

    def exchange(self) -> bytes:
        """Carry bytes to and fro until nobody writes; give what the server understood."""
        heard = b""
        while True:
            heard += self.server.receive(self.written())
            answer = self.server.output()
            if not answer:
                return heard
            self.tls.bio_write(answer)
            if not self.server.lost:
                self.step()

    def step(self) -> None:
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            pass

    def connect(self) -> None:
        self.step()
        self.exchange()


class ServerTlsTests(SynchronousTestCase):
    def connected(self) -> Client:
        client = Client()
        client.connect()
        self.assertTrue(client.server.established)
        return client

    def test_it_tells_protocol_and_cipher(self) -> None:
        client = self.connected()
        self.assertEqual(client.server.version, f"TLSv1.3 {client.tls.get_cipher_name()}")

    def test_both_ways(self) -> None:
        client = self.connected()
        client.tls.send(b"EHLO client.example\r\n")
        self.assertEqual(client.exchange(), b"EHLO client.example\r\n")
        client.server.send(b"250 mx.ours.example\r\n")
        client.tls.bio_write(client.server.output())
        self.assertEqual(client.tls.recv(100), b"250 mx.ours.example\r\n")

    def test_more_than_a_record(self) -> None:
        client = self.connected()
        content = bytes(range(256)) * 1000
        client.tls.sendall(content)
        self.assertEqual(client.exchange(), content)
        client.server.send(content)
        client.tls.bio_write(client.server.output())
        received = b""
        while len(received) < len(content):
            received += client.tls.recv(len(content))
        self.assertEqual(received, content)

    def test_what_comes_with_the_end_of_the_handshake(self) -> None:
        client = Client()
        client.step()
        client.server.receive(client.written())
        client.tls.bio_write(client.server.output())
        client.step()
        client.tls.send(b"EHLO client.example\r\n")
        self.assertEqual(client.server.receive(client.written()), b"EHLO client.example\r\n")
        self.assertTrue(client.server.established)

    def test_what_stands_before_the_peers_end_is_heard(self) -> None:
        client = self.connected()
        client.tls.send(b"QUIT\r\n")
        client.tls.shutdown()
        self.assertEqual(client.server.receive(client.written()), b"QUIT\r\n")
        self.assertEqual(client.server.lost, "the peer ended TLS")

    def test_its_own_end_reaches_the_peer(self) -> None:
        client = self.connected()
        client.server.close()
        client.tls.bio_write(client.server.output())
        self.assertRaises(SSL.ZeroReturnError, client.tls.recv, 100)

    def test_a_handshake_without_a_common_cipher(self) -> None:
        client = Client(ciphers=b"ECDHE-RSA-AES128-SHA")  # the certificate's key is ECDSA
        client.step()
        self.assertEqual(client.server.receive(client.written()), b"")
        self.assertEqual(client.server.lost, "no shared cipher")
        self.assertFalse(client.server.established)
        client.tls.bio_write(client.server.output())
        self.assertRaises(SSL.Error, client.tls.do_handshake)  # the alert

    def test_a_forged_record_ends_it(self) -> None:
        client = self.connected()
        client.tls.send(b"MAIL FROM:<a@b.example>\r\n")
        record = bytearray(client.written())
        record[-1] ^= 1
        self.assertEqual(client.server.receive(bytes(record)), b"")
        self.assertTrue(client.server.lost)
        client.server.send(b"250 OK\r\n")  # harmless
        client.server.close()

    def test_clear_text_in_place_of_the_handshake(self) -> None:
        server = ServerTls(CONTEXT)
        self.assertEqual(server.receive(b"EHLO client.example\r\n"), b"")
        self.assertTrue(server.lost)

    @given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
    def test_any_split_of_the_bytes(self, sizes: list[int]) -> None:
        client = self.connected()
        content = b"".join(b"line %d\r\n" % size for size in sizes)
        for size in sizes:
            client.tls.send(b"line %d\r\n" % size)
        data, heard = client.written(), b""
        position = number = 0
        while position < len(data):
            size = sizes[number % len(sizes)]
            heard += client.server.receive(data[position : position + size])
            position, number = position + size, number + 1
        self.assertEqual(heard, content)
        self.assertEqual(client.server.lost, "")
