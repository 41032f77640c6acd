"""TLS reports as JSON: what RFC 8460 4.4 and Appendix B have, and what our own reader makes of it."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mailgw.reports.tls_json import to_json
from mailgw.reports.tls_report import TlsFailure, TlsPolicy, TlsReport, read_tls_report

# The example of RFC 8460 Appendix B, in our values.
EXAMPLE = TlsReport(
    "Company-X",
    "sts-reporting@company-x.example",
    "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    1459468800,
    1459555199,
    (
        TlsPolicy(
            "sts",
            "company-y.example",
            ("version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"),
            ("*.mail.company-y.example",),
            5326,
            303,
            (
                TlsFailure("certificate-expired", 100, "2001:db8:abcd:0012::1", "mx1.mail.company-y.example"),
                TlsFailure(
                    "starttls-not-supported",
                    200,
                    "2001:db8:abcd:0013::1",
                    "mx2.mail.company-y.example",
                    "203.0.113.56",
                    additional_information="https://reports.company-x.example/report_info?id=5065427c-23d3",
                ),
                TlsFailure(
                    "validation-failure",
                    3,
                    "198.51.100.62",
                    "mx-backup.mail.company-y.example",
                    "203.0.113.58",
                    reason_code="X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                ),
            ),
        ),
    ),
)


class JsonTests(SynchronousTestCase):
    def test_the_example_of_the_rfc(self) -> None:
        written = json.loads(to_json(EXAMPLE))
        self.assertEqual(
            written,
            {
                "organization-name": "Company-X",
                "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
                "contact-info": "sts-reporting@company-x.example",
                "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
                "policies": [
                    {
                        "policy": {
                            "policy-type": "sts",
                            "policy-string": [
                                "version: STSv1",
                                "mode: testing",
                                "mx: *.mail.company-y.example",
                                "max_age: 86400",
                            ],
                            "policy-domain": "company-y.example",
                            "mx-host": ["*.mail.company-y.example"],
                        },
                        "summary": {
                            "total-successful-session-count": 5326,
                            "total-failure-session-count": 303,
                        },
                        "failure-details": [
                            {
                                "result-type": "certificate-expired",
                                "sending-mta-ip": "2001:db8:abcd:0012::1",
                                "receiving-mx-hostname": "mx1.mail.company-y.example",
                                "failed-session-count": 100,
                            },
                            {
                                "result-type": "starttls-not-supported",
                                "sending-mta-ip": "2001:db8:abcd:0013::1",
                                "receiving-mx-hostname": "mx2.mail.company-y.example",
                                "receiving-ip": "203.0.113.56",
                                "failed-session-count": 200,
                                "additional-information": "https://reports.company-x.example/report_info"
                                "?id=5065427c-23d3",
                            },
                            {
                                "result-type": "validation-failure",
                                "sending-mta-ip": "198.51.100.62",
                                "receiving-ip": "203.0.113.58",
                                "receiving-mx-hostname": "mx-backup.mail.company-y.example",
                                "failed-session-count": 3,
                                "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                            },
                        ],
                    }
                ],
            },
        )

    def test_we_read_what_we_write(self) -> None:
        self.assertEqual(read_tls_report(to_json(EXAMPLE)), EXAMPLE)

    def test_without_a_policy_and_without_failures(self) -> None:
        report = TlsReport(
            "X", "a@x.example", "1", 0, 1, (TlsPolicy("no-policy-found", "y.example", (), (), 7, 0, ()),)
        )
        (policy,) = json.loads(to_json(report))["policies"]
        self.assertEqual(policy["policy"], {"policy-type": "no-policy-found", "policy-domain": "y.example"})
        self.assertEqual(policy["summary"]["total-failure-session-count"], 0)
        self.assertNotIn("failure-details", policy)
        self.assertEqual(read_tls_report(to_json(report)), report)

    def test_what_a_remote_said_stays_within_its_string(self) -> None:
        hostile = 'x", "policies": [\x00\x1b[31m\r\n\ud800\u2028'
        failure = TlsFailure("validation-failure", 1, receiving_mx_helo=hostile)
        report = TlsReport("X", "a@x.example", "1", 0, 1, (TlsPolicy("sts", "y.example", (), (), 0, 1, (failure,)),))
        data = to_json(report)
        read: Any = json.loads(data)
        self.assertEqual(len(read["policies"]), 1)
        self.assertFalse(set(data) & set(range(0x20)) - {0x0A})
