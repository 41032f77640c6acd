"""RFC 9989 4.10, 4.10.1 and 4.10.2, a test for each step and paragraph; and A.4."""

from __future__ import annotations

from tests.fakes import FAIL
from tests.senderauth.rfc9989 import DmarcCase, dkim, spf

DEEP = "a.b.c.d.e.f.g.h.i.j.mail.example.com"


class Section410Tests(DmarcCase):
    """4.10 DNS Tree Walk."""

    def walk(self, author: str) -> list[str]:
        self.resolver.asked.clear()
        self.result(author)
        return [name.removeprefix("_dmarc.") for name in self.asked]

    def test_4_10_paragraph_4_at_most_eight_questions(self) -> None:
        for labels in (1, 7, 8, 9, 20, 120):
            author = ".".join("x" * labels)
            self.assertEqual(len(self.walk(author)), min(labels, 8), labels)

    def test_4_10_step_1_it_starts_at_the_domain(self) -> None:
        self.assertEqual(self.walk("a.mail.example.com")[0], "a.mail.example.com")

    def test_4_10_step_2_and_6_what_does_not_begin_with_the_version_is_discarded(self) -> None:
        self.publish("mail.example.com", "some text", "v=DMARC2; p=none")
        self.publish("example.com", "text", "v=DMARC1; p=reject")
        self.assertEqual(self.policy("mail.example.com"), "reject")

    def test_4_10_step_2_and_6_several_records_are_all_discarded(self) -> None:
        self.publish("mail.example.com", "v=DMARC1; p=none", "v=DMARC1; p=none")
        self.publish("example.com", "v=DMARC1; p=reject")
        self.assertEqual(self.policy("mail.example.com"), "reject")
        self.publish("example.com", "v=DMARC1; p=reject", "v=DMARC1; p=reject")
        self.assertEqual(self.result("mail.example.com"), "none")

    def test_4_10_step_2_and_6_psd_n_or_y_stops(self) -> None:
        for psd, names in (
            ("n", ["a.b.example.com", "b.example.com"]),
            ("y", ["a.b.example.com", "b.example.com"]),
            ("u", ["a.b.example.com", "b.example.com", "example.com", "com"]),
        ):
            self.publish("b.example.com", f"v=DMARC1; p=none; psd={psd}")
            self.assertEqual(self.walk("a.b.example.com"), names, psd)

    def test_4_10_steps_3_and_4_below_eight_labels_one_is_taken_off(self) -> None:
        self.assertEqual(self.walk("1.2.3.4.5.6.7")[:2], ["1.2.3.4.5.6.7", "2.3.4.5.6.7"])

    def test_4_10_steps_3_and_4_from_eight_on_seven_remain(self) -> None:
        for author in ("1.2.3.4.5.6.7.8", "0.1.2.3.4.5.6.7.8", "x.y.z.0.1.2.3.4.5.6.7.8"):
            self.assertEqual(self.walk(author)[:2], [author, "2.3.4.5.6.7.8"])

    def test_4_10_steps_5_to_7_and_the_example(self) -> None:
        names = ["g.h.i.j", "h.i.j", "i.j", "j"]
        expected = [DEEP, *(f"{n}.mail.example.com" for n in names), "mail.example.com", "example.com", "com"]
        self.assertEqual(self.walk(DEEP), expected)


class Section4101Tests(DmarcCase):
    """4.10.1 DMARC Policy Discovery."""

    def test_4_10_1_paragraph_1_author_then_organisation_then_public_suffix(self) -> None:
        self.publish("example", "v=DMARC1; p=none; psd=y")
        self.assertEqual(self.policy("mail.shop.example"), "none")
        self.publish("shop.example", "v=DMARC1; p=quarantine")
        self.assertEqual(self.policy("mail.shop.example"), "quarantine")
        self.publish("mail.shop.example", "v=DMARC1; p=reject")
        self.assertEqual(self.policy("mail.shop.example"), "reject")

    def test_4_10_1_paragraph_2_the_authors_own_record_is_not_always_the_organisations(self) -> None:
        self.publish("mail.example.com", "v=DMARC1; p=reject")
        self.publish("example.com", "v=DMARC1; p=none")
        self.assertEqual(self.policy("mail.example.com"), "reject")
        self.assertEqual(self.result("mail.example.com", dkim("other.example.com")), "pass")

    def test_4_10_1_paragraph_3_without_an_own_record_the_walk_finds_one(self) -> None:
        self.publish("example.com", "v=DMARC1; p=reject")
        for author in ("a.example.com", "1.2.3.4.5.6.example.com", DEEP):
            self.assertEqual(self.policy(author), "reject", author)

    def test_4_10_1_paragraph_3_a_record_that_the_shortcut_passes_over_is_not_found(self) -> None:
        self.publish("b.c.d.e.f.g.h.i.j.mail.example.com", "v=DMARC1; p=reject")
        self.assertEqual(self.result(DEEP), "none")

    def test_4_10_1_paragraph_3_between_author_and_organisation_nothing_applies(self) -> None:
        """The organisation's record applies, not the one of a name in between."""
        self.publish("b.example.com", "v=DMARC1; p=reject")
        self.publish("example.com", "v=DMARC1; p=quarantine")
        self.assertEqual(self.policy("a.b.example.com"), "quarantine")

    def test_4_10_1_paragraph_4_the_authors_own_record_by_p(self) -> None:
        self.publish("a.example.com", "v=DMARC1; p=none; sp=reject; np=reject")
        self.assertEqual(self.policy("a.example.com"), "none")

    def test_4_10_1_paragraph_5_names_below_by_sp_np_or_p(self) -> None:
        self.resolver.set("there.example.com", {"TXT": ["hello"]})
        for tags, existing, missing in (
            ("p=reject; sp=quarantine; np=none", "quarantine", "none"),
            ("p=reject; sp=quarantine", "quarantine", "quarantine"),
            ("p=reject; np=none", "reject", "none"),
            ("p=reject", "reject", "reject"),
        ):
            for owner in ("example.com", "com"):
                self.resolver.set("_dmarc.example.com", {"A": ["192.0.2.1"]})
                self.publish(owner, f"v=DMARC1; {tags}{'; psd=y' if owner == 'com' else ''}")
                self.assertEqual(self.policy("there.example.com"), existing, (tags, owner))
                self.assertEqual(self.policy("missing.example.com"), missing, (tags, owner))

    def test_4_10_1_paragraph_6_without_valid_policies_reports_make_it_none(self) -> None:
        for tags in ("", "p=nothing;", "p=reject; sp=x;", "p=reject; np=x;"):
            self.publish("example.com", f"v=DMARC1; {tags} rua=mailto:r@example.com")
            self.assertEqual((self.result("example.com"), self.policy("example.com")), ("fail", "none"), tags)

    def test_4_10_1_paragraph_6_and_without_reports_nothing_is_done(self) -> None:
        """Said as permerror where the owner has written it wrong (9.2), which is no DMARC processing either."""
        for tags, result in (
            ("", "none"),
            ("rua=", "none"),
            ("rua=r@example.com", "none"),
            ("p=nothing", "permerror"),
            ("p=reject; sp=x", "permerror"),
            ("p=reject; np=x; rua=no-uri", "permerror"),
        ):
            self.publish("example.com", f"v=DMARC1; {tags}")
            found = self.findings("example.com", dkim("example.com"))
            self.assertEqual([r.result for r in found.auth], [result], tags)
            self.assertEqual(self.policy("example.com"), "", tags)

    def test_4_10_1_paragraph_7_no_record_no_dmarc(self) -> None:
        self.resolver.set("example.com", {"A": ["192.0.2.1"]})
        self.assertEqual(self.result("example.com", spf("example.com"), dkim("example.com")), "none")

    def test_4_10_1_paragraph_8_errors_of_dns_are_no_absence(self) -> None:
        for name in ("_dmarc.a.example.com", "_dmarc.example.com", "_dmarc.com"):
            self.resolver.set(name, FAIL)
            self.assertEqual(self.result("a.example.com"), "temperror", name)
            del self.resolver.zone[name]

    def test_4_10_1_note_a_public_suffix_does_not_add_to_an_organisations_record(self) -> None:
        self.publish("example", "v=DMARC1; p=reject; psd=y; rua=mailto:r@example")
        self.publish("shop.example", "v=DMARC1; p=none")
        self.assertEqual(self.policy("shop.example"), "none")
        self.assertEqual(self.policy("a.shop.example"), "none")


class Section4102Tests(DmarcCase):
    """4.10.2 Identifier Alignment Evaluation."""

    def test_4_10_2_paragraph_1_each_identifier_has_a_walk_of_its_own(self) -> None:
        self.publish("example.com", "v=DMARC1; p=none")
        self.assertEqual(self.result("a.example.com", spf("b.example.com"), dkim("c.example.com")), "pass")
        for name in ("a", "b", "c"):
            self.assertIn(f"_dmarc.{name}.example.com", self.asked)

    def test_4_10_2_note_1_the_same_domain_with_a_record_takes_one_question(self) -> None:
        self.publish("mail.example.com", "v=DMARC1; p=none")
        self.assertEqual(self.result("mail.example.com", spf("mail.example.com"), dkim("mail.example.com")), "pass")
        self.assertEqual(self.asked, ["_dmarc.mail.example.com"])

    def test_4_10_2_note_2_without_a_record_nothing_is_compared(self) -> None:
        self.result("example.com", dkim("a.b.c.example.com"))
        self.assertEqual(self.asked, ["_dmarc.example.com", "_dmarc.com"])

    def test_4_10_2_note_3_strict_alignment_takes_no_walk(self) -> None:
        self.publish("example.com", "v=DMARC1; p=none; adkim=s; aspf=s")
        self.assertEqual(self.result("example.com", dkim("a.example.com"), spf("b.example.com")), "fail")
        self.assertEqual(self.asked, ["_dmarc.example.com"])

    def test_4_10_2_rule_1_psd_n_is_the_organisation(self) -> None:
        self.publish("mail.example.com", "v=DMARC1; p=none; psd=n")
        self.publish("example.com", "v=DMARC1; p=none")
        self.assertEqual(self.result("a.mail.example.com", dkim("b.mail.example.com")), "pass")
        self.assertEqual(self.result("a.mail.example.com", dkim("b.example.com")), "fail")

    def test_4_10_2_rule_2_one_label_below_psd_y(self) -> None:
        self.publish("example.com", "v=DMARC1; p=none; psd=y")
        self.assertEqual(self.result("mail.example.com", dkim("a.mail.example.com")), "pass")
        self.assertEqual(self.result("mail.example.com", dkim("other.example.com")), "fail")

    def test_4_10_2_rule_2_not_where_the_walk_started(self) -> None:
        """A suffix that sends mail itself is its own organisation."""
        self.publish("bank.example", "v=DMARC1; p=reject; psd=y")
        self.assertEqual(self.result("bank.example", dkim("bank.example")), "pass")
        self.assertEqual(self.result("bank.example", dkim("giant.bank.example")), "fail")

    def test_4_10_2_rule_3_the_fewest_labels(self) -> None:
        for name in ("a.b.example.com", "b.example.com", "example.com"):
            self.publish(name, "v=DMARC1; p=none")
        self.assertEqual(self.result("a.b.example.com", dkim("c.example.com")), "pass")

    def test_4_10_2_otherwise_the_domain_itself(self) -> None:
        """An identifier without any record is only aligned with itself."""
        self.publish("a.example.com", "v=DMARC1; p=none")
        self.assertEqual(self.result("a.example.com", dkim("b.example.com")), "fail")
        self.assertEqual(self.result("a.example.com", dkim("b.a.example.com")), "pass")

    def test_4_10_2_examples(self) -> None:
        for records, aligned, not_aligned in (
            ({"mail.example.com": "", "example.com": ""}, "x.example.com", "x.com"),
            ({"mail.example.com": "; psd=n"}, "x.mail.example.com", "x.example.com"),
            ({"com": "; psd=y"}, "x.example.com", "x.com"),
        ):
            self.setUp()
            for name, tags in records.items():
                self.publish(name, f"v=DMARC1; p=none{tags}")
            self.assertEqual(self.result("a.mail.example.com", dkim(aligned)), "pass", records)
            self.assertEqual(self.result("a.mail.example.com", dkim(not_aligned)), "fail", records)


class AppendixA4Tests(DmarcCase):
    """A.4 Domain Existence Test."""

    def test_a_4_paragraph_3_any_record_makes_a_name_exist(self) -> None:
        self.publish("example.com", "v=DMARC1; p=none; np=reject")
        for types in ({"TXT": ["x"]}, {"CNAME": ["nowhere.example"]}, {"TLSA": []}):
            self.resolver.set("a.example.com", types)
            self.assertEqual(self.policy("a.example.com"), "none", types)

    def test_a_4_paragraph_4_below_a_name_that_does_not_exist_nothing_exists(self) -> None:
        self.publish("example.com", "v=DMARC1; p=none; np=reject")
        self.assertEqual(self.policy("x.missing.example.com"), "reject")
