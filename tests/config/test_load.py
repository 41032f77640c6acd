"""mailgw.toml and filters.toml as a whole."""

from __future__ import annotations

import os

from mailgw.config.errors import ConfigurationErrors
from mailgw.config.load import load_filter_file, load_settings
from mailgw.config.schema import FilterFile
from tests.config.files import BASE, ConfigurationTest


class PathTests(ConfigurationTest):
    def test_paths_are_taken_from_the_files_folder(self) -> None:
        settings = self.settings(
            'state_directory = "../state"\n'
            + BASE
            + '[tls]\ncertificate_file = "a.pem"\nkey_file = "/etc/key.pem"\n'
            + '[routes.s]\nhosts = ["h.example"]\nusername = "u"\npassword_file = "p"\n'
        )
        self.assertEqual(settings.state_directory, str(self.folder.parent / "state"))
        self.assertEqual(settings.tls.certificate_file, str(self.folder / "a.pem"))
        self.assertEqual(settings.tls.key_file, "/etc/key.pem")
        self.assertEqual(settings.routing.users_file, str(self.folder / "users"))
        self.assertEqual(settings.filters_file, str(self.folder / "filters.toml"))
        self.assertEqual(settings.routes["s"].password_file, str(self.folder / "p"))
        self.assertEqual(settings.log.file, "")

    def test_a_relative_path_of_the_file_itself(self) -> None:
        path = self.write("mailgw.toml", BASE)
        settings = load_settings(os.path.relpath(path))
        self.assertEqual(settings.routing.users_file, str(self.folder / "users"))


class CheckTests(ConfigurationTest):
    def test_everything_at_once(self) -> None:
        errors = self.errors(
            """\
hostnam = "x"
[domains."example.org"]
deliver = "route:none"
[listeners.mx]
addresses = ["127.0.0.1"]
tls = "sometimes"
[queue]
jitter = 2
windw = 3
"""
        )
        self.assertEqual(
            set(errors),
            {
                "hostname",
                "hostnam",
                'domains."example.org".deliver',
                "listeners.mx.addresses[0]",
                "listeners.mx.tls",
                "queue.jitter",
                "queue.windw",
                "tls.certificate_file",
                "tls.key_file",
            },
        )
        self.assertEqual(errors["listeners.mx.addresses[0]"].line, 5)
        self.assertEqual(errors["queue.windw"].line, 9)

    def test_what_follows_from_a_wrong_value_is_not_reported(self) -> None:
        self.assertEqual(set(self.errors(BASE.replace('"mail.example.org"', "1"))), {"hostname"})
        self.assertEqual(set(self.errors('hostname = "a.example"\nlisteners = 1\n')), {"listeners"})

    def test_hostname(self) -> None:
        for name in ("", "a b", "[192.0.2.1]", "192.0.2.1", "-a.example", "a..example"):
            self.assertEqual(set(self.errors(BASE.replace("mail.example.org", name))), {"hostname"}, name)

    def test_listeners(self) -> None:
        for listener, key in (
            ("", "listeners"),
            ("[listeners.mx]\ntls = 'none'", "listeners.mx.addresses"),
            ("[listeners.mx]\ntls = 'none'\naddresses = ['1.2.3.4']", "listeners.mx.addresses[0]"),
            ("[listeners.mx]\ntls = 'none'\naddresses = ['1.2.3.4:65536']", "listeners.mx.addresses[0]"),
            ("[listeners.mx]\ntls = 'none'\naddresses = ['1.2.3.4:-1']", "listeners.mx.addresses[0]"),
            ("[listeners.mx]\ntls = 'none'\naddresses = ['1.2.3.4:x']", "listeners.mx.addresses[0]"),
            ("[listeners.mx]\ntls = 'none'\naddresses = ['example.org:25']", "listeners.mx.addresses[0]"),
            ("[listeners.mx]\ntls = 'none'\naddresses = ['::1:25']", "listeners.mx.addresses[0]"),
            ("[listeners.mx]\ntls = 'none'\naddresses = ['[::1:25']", "listeners.mx.addresses[0]"),
            ("[listeners.mx]\ntls = 'none'\naddresses = [':25']", "listeners.mx.addresses[0]"),
            (
                "[listeners.a]\ntls = 'none'\naddresses = ['[::1]:25']\n"
                "[listeners.b]\ntls = 'none'\naddresses = ['[0::1]:25']",
                "listeners.b.addresses[0]",
            ),
        ):
            text = f'hostname = "mail.example.org"\n[domains."example.org"]\n{listener}\n'
            self.assertEqual(set(self.errors(text)), {key}, listener)

    def test_port_0_may_be_listed_twice(self) -> None:
        self.settings(BASE.replace('"127.0.0.1:0"', '"127.0.0.1:0", "127.0.0.1:0", "[::1]:0"'))

    def test_tls(self) -> None:
        errors = self.errors(BASE.replace('"none"', '"starttls"'))
        self.assertEqual(set(errors), {"tls.certificate_file", "tls.key_file"})
        errors = self.errors(BASE.replace('tls = "none"', 'tls = "none"\nkind = "submission"'))
        self.assertEqual(set(errors), {"listeners.mx.tls"})

    def test_domains(self) -> None:
        for domain, key in (
            ("[domains.'a b']", 'domains."a b"'),
            ("[domains.'[192.0.2.1]']", 'domains."[192.0.2.1]"'),
            ("[domains.example.org]", "domains.example.org"),
            ("[domains.'EXAMPLE.org']", 'domains."EXAMPLE.org"'),
            ("[domains.b]\ndeliver = 'route:x'", "domains.b.deliver"),
            ("[domains.b]\ndeliver = 'mbox'", "domains.b.deliver"),
            ("[domains.b]\ncatch_all = 'alice'", "domains.b.catch_all"),
            ("[domains.b]\ncatch_all = 'alice@elsewhere.example'", "domains.b.catch_all"),
            ("[domains.b]\nrecipients_file = 'r'", "domains.b.recipients_file"),
            ("[domains.b]\nrecipients_command = ['r']", "domains.b.recipients_command"),
            ("[domains.b]\ncall_ahead = true", "domains.b.call_ahead"),
            ("[domains.b]\ndeliver = 'route:r'\ncatch_all = 'a@b'\n[routes.r]\nhosts = ['h']", "domains.b.catch_all"),
        ):
            self.assertEqual(set(self.errors(f"{BASE}{domain}\n")), {key}, domain)

    def test_the_recipients_of_a_routed_domain_come_from_one_place(self) -> None:
        sources = {"recipients_file": "'f'", "recipients_command": "['/bin/true']", "call_ahead": "true"}
        for key, value in sources.items():
            domain = f"{BASE}[routes.r]\nhosts = ['h']\n[domains.b]\ndeliver = 'route:r'\n{key} = {value}\n"
            self.settings(domain)
            for other, another in sources.items():
                if other != key:
                    (wrong,) = self.errors(f"{domain}{other} = {another}\n")
                    self.assertIn(wrong, (f"domains.b.{key}", f"domains.b.{other}"))

    def test_two_spellings_of_a_domain(self) -> None:
        text = BASE + '[domains."bücher.example"]\n[domains."xn--bcher-kva.example"]\n'
        self.assertEqual(set(self.errors(text)), {'domains."xn--bcher-kva.example"'})

    def test_routes(self) -> None:
        for route, key in (
            ("[routes.r]", "routes.r.hosts"),
            ("[routes.r]\nhosts = ['a b']", "routes.r.hosts[0]"),
            ("[routes.r]\nhosts = ['h:0x19']", "routes.r.hosts[0]"),
            ("[routes.r]\nhosts = ['h']\nusername = 'u'", "routes.r.password_file"),
            ("[routes.r]\nhosts = ['h']\npassword_file = 'u'", "routes.r.username"),
            ("[routes.r]\nhosts = ['h']\nusername = 'u'\npassword_file = 'u'\ntls = 'none'", "routes.r.tls"),
            ("[relay]\ndefault = 'route:r'", "relay.default"),
            ("[relay]\ndefault = 'maildir'", "relay.default"),
        ):
            self.assertEqual(set(self.errors(f"{BASE}{route}\n")), {key}, route)

    def test_numbers(self) -> None:
        for section, key, value in (
            ("limits", "header_size", 262145),
            ("limits", "header_size", 0),
            ("limits", "recipients", 0),
            ("limits", "command_line", 511),
            ("limits", "data_line", 999),
            ("limits", "submission_reserve", 1000),
            ("limits", "soft_errors", 16),
            ("timeouts", "command", -1),
            ("queue", "jitter", 1.1),
            ("queue", "jitter", -0.1),
            ("queue", "retry", []),
            ("queue", "attempts", -1),
            ("relay", "port", 65536),
            ("relay", "port", 0),
        ):
            errors = self.errors(f"{BASE}[{section}]\n{key} = {value}\n")
            self.assertEqual(set(errors), {f"{section}.{key}"}, (section, key, value))
            self.assertEqual(errors[f"{section}.{key}"].line, 9)
        self.assertEqual(set(self.errors(f"{BASE}[queue]\nretry = [60, 0]\n")), {"queue.retry[1]"})

    def test_names(self) -> None:
        for text, key in (
            ("[maildir]\nspam = 'Spam'", "maildir.spam"),
            ("[maildir]\nspam = '..'", "maildir.spam"),
            ("[maildir]\ninbox = '.a/b'", "maildir.inbox"),
            ("[maildir]\ninbox = ''", "maildir.inbox"),
            ("[routing]\nseparators = '+@'", "routing.separators"),
            ("[routing]\nseparators = 'a'", "routing.separators"),
            ("[trace]\nauthserv_id = 'a b'", "trace.authserv_id"),
            ("[dns]\nservers = ['dns.example']", "dns.servers[0]"),
        ):
            self.assertEqual(set(self.errors(f"{BASE}{text}\n")), {key}, text)
        self.settings(f"{BASE}[maildir]\ninbox = '.Incoming'\nspam = '.Junk.New'\n")
        self.settings(f"{BASE}[dns]\nservers = ['127.0.0.1:5353', '::1', '[::1]:53', '192.0.2.1']\n")


class ReportTests(ConfigurationTest):
    def test_addresses_and_domains(self) -> None:
        errors = self.errors(
            f'{BASE}\n[dmarc_reports]\nsender = "dmarc"\ninbox = "bücher@example.org"\n'
            'skip = ["a b"]\nmax_reports = 0\n'
        )
        self.assertEqual(
            set(errors),
            {
                "dmarc_reports.sender",
                "dmarc_reports.inbox",
                "dmarc_reports.skip[0]",
                "dmarc_reports.max_reports",
            },
        )

    def test_of_tls(self) -> None:
        errors = self.errors(
            f'{BASE}\n[tls_reports]\nsender = "tls@example.org"\ncontact = "post@example.net"\nskip = ["a b"]\n'
        )
        self.assertEqual(set(errors), {"tls_reports.contact", "tls_reports.skip[0]"})
        self.assertIn("not in the domain of sender", errors["tls_reports.contact"].message)
        self.assertEqual(set(self.errors(f'{BASE}\n[tls_reports]\nsender = "tls"\n')), {"tls_reports.sender"})
        unsigned = f'{BASE}\n[signing]\nenabled = false\n[tls_reports]\nsender = "tls@example.org"\n'
        self.assertEqual(set(self.errors(unsigned)), {"tls_reports.sender"})
        right = f'{BASE}\n[tls_reports]\nsender = "tls@example.org"\ncontact = "post@EXAMPLE.org"\n'
        self.assertEqual(self.settings(right).tls_reports.contact, "post@EXAMPLE.org")

    def test_what_is_right(self) -> None:
        text = '[dmarc_reports]\nsender = "dmarc@example.org"\ninbox = "r@example.org"\nskip = ["example.org"]\n'
        self.assertEqual(self.settings(BASE + text).dmarc_reports.skip, ("example.org",))


class FilterFileTests(ConfigurationTest):
    def test_empty(self) -> None:
        self.assertEqual(load_filter_file(self.write("filters.toml", "")), FilterFile())

    def test_sections(self) -> None:
        file = load_filter_file(
            self.write(
                "filters.toml",
                "[thresholds]\nspam = 5\n[rules]\nX = 'reject'\n[scores]\nY = -1\n[filters.f]\nanything = [1]\n"
                "[dmarc]\ntrusted_forwarders = ['lists.example.org', 'bücher.example']\n"
                "trusted_sealers = ['a.example']\n",
            )
        )
        self.assertEqual(file.thresholds.spam, 5.0)
        self.assertEqual(file.rules, {"X": "reject"})
        self.assertEqual(file.scores, {"Y": -1.0})
        self.assertEqual(file.filters, {"f": {"anything": [1]}})
        self.assertEqual(file.dmarc.trusted_forwarders, ("lists.example.org", "bücher.example"))
        self.assertEqual(file.dmarc.trusted_sealers, ("a.example",))

    def test_trusted_forwarders_and_sealers_are_domains(self) -> None:
        for key in ("trusted_forwarders", "trusted_sealers"):
            path = self.write("filters.toml", f"[dmarc]\n{key} = ['a.example', 'a@b.example', '[192.0.2.1]']\n")
            found = self.assertRaises(ConfigurationErrors, load_filter_file, path)
            self.assertEqual([error.key for error in found.errors], [f"dmarc.{key}[1]", f"dmarc.{key}[2]"])

    def test_errors(self) -> None:
        path = self.write(
            "filters.toml", "[thresholds]\nspam = 50\n[rules]\nX = 'bounce'\n[scores]\nY = 'many'\n[filter.f]\n"
        )
        found = self.assertRaises(ConfigurationErrors, load_filter_file, path)
        self.assertEqual(
            [(error.line, error.key) for error in found.errors],
            [(2, "thresholds.spam"), (4, "rules.X"), (6, "scores.Y"), (7, "filter")],
        )
        self.assertIn('did you mean "filters"', str(found))
