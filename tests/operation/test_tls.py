"""TLS contexts: what is wrong with a certificate or a key is said with its file."""

from __future__ import annotations

import datetime
from pathlib import Path

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Tls
from mailgw.develop.certificate import make_certificate
from mailgw.operation.tls import TlsError, server_options

NOW = datetime.datetime.now(datetime.UTC)


class TlsTests(SynchronousTestCase):
    def files(self, certificate: bytes, key: bytes) -> Tls:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "c.pem").write_bytes(certificate)
        (folder / "k.pem").write_bytes(key)
        return Tls(str(folder / "c.pem"), str(folder / "k.pem"))

    def test_a_chain_and_its_key(self) -> None:
        certificate, key = make_certificate(["mail.example.test"], NOW)
        other, _ = make_certificate(["ca.example.test"], NOW)
        options = server_options(self.files(certificate + other, key))
        assert options is not None
        self.assertIsInstance(options.getContext(), SSL.Context)
        self.assertEqual(len(options.extraCertChain), 1)

    def test_none_configured(self) -> None:
        self.assertIsNone(server_options(Tls()))

    def test_what_is_wrong_names_the_key_and_the_file(self) -> None:
        certificate, key = make_certificate(["mail.example.test"], NOW)
        _, other_key = make_certificate(["mail.example.test"], NOW)
        for settings, name, words in [
            (self.files(b"nothing", key), "tls.certificate_file", "no PEM certificate"),
            (self.files(certificate.replace(b"M", b"!", 3), key), "tls.certificate_file", "cannot be read"),
            (self.files(certificate, b"nothing"), "tls.key_file", "no unencrypted PEM private key"),
            (self.files(certificate, other_key), "tls.key_file", "does not belong"),
            (Tls("/nowhere/c.pem", "/nowhere/k.pem"), "tls.certificate_file", "/nowhere/c.pem: No such file"),
        ]:
            with self.assertRaises(TlsError) as caught:
                server_options(settings)
            self.assertIn(name, str(caught.exception))
            self.assertIn(words, str(caught.exception))
