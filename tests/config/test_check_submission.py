"""What is wrong with [submission], said with its place."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.check_submission import check_submission
from mailgw.config.schema import Domain, SendAs, Settings, Submission


class CheckSubmissionTests(SynchronousTestCase):
    def findings(self, **send_as: tuple[str, ...]) -> dict[str, str]:
        grants = {name.replace("_at_", "@").replace("_", "."): SendAs(texts) for name, texts in send_as.items()}
        settings = Settings(domains={"example.org": Domain()}, submission=Submission(send_as=grants))
        return dict(check_submission(settings))

    def test_what_is_right(self) -> None:
        texts = ("info@example.org", "news.example", "*.lists.example", "*")
        self.assertEqual(self.findings(alice_at_example_org=texts), {})

    def test_everybody(self) -> None:
        settings = Settings(submission=Submission(send_as={"*": SendAs(("info@example.org",))}))
        self.assertEqual(list(check_submission(settings)), [])

    def test_a_user_of_no_domain_of_ours(self) -> None:
        (finding,) = self.findings(alice_at_exampel_org=("info@example.org",)).items()
        self.assertEqual(finding[0], 'submission.send_as."alice@exampel.org"')
        self.assertIn("example.org", finding[1])

    def test_no_user(self) -> None:
        self.assertIn("submission.send_as.alice", self.findings(alice=("info@example.org",)))

    def test_patterns_that_are_none(self) -> None:
        found = self.findings(alice_at_example_org=("not an address@", "exa mple"))
        self.assertEqual(len(found), 2)
        self.assertIn('submission.send_as."alice@example.org".addresses[1]', found)

    def test_nothing_granted(self) -> None:
        self.assertIn('submission.send_as."alice@example.org".addresses', self.findings(alice_at_example_org=()))
