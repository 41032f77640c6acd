"""The import rules of the house: mail's vocabulary below, one direction along the mail's way."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import mailgw

ROOT = Path(mailgw.__file__).parent

# What each package may import of ours. `queue` stands between reception and delivery: neither knows the other.
ALLOWED = {
    "mail": set(),
    "smtp": {"mail"},
    "dns": {"mail", "config"},
    "config": {"mail"},
    "https": {"dns", "operation"},
    "mta_sts": {"mail", "dns", "https", "operation", "state"},
    "queue": {"mail", "config", "operation"},
    "state": {"mail", "operation"},
    "routing": {"mail", "config", "queue", "operation"},
    "senderauth": {"mail", "dns", "operation", "state"},
    # What the classifier reads comes as plain bytes: `filters` makes them of a message.
    "classifier": {"mail", "operation", "state"},
    "engines": {"mail", "config", "operation"},
    "filters": {"mail", "config", "dns", "operation", "state", "classifier", "engines"},
    "verdict": {"mail", "config", "filters", "senderauth", "state"},
    # Beside the mail's way: told of verdicts by reception, and what it writes goes into the queue.
    "reports": {"mail", "config", "dns", "https", "senderauth", "filters", "routing", "queue", "operation", "state"},
    "history": {"mail", "config", "verdict", "queue", "state"},
    "operation": {"mail", "config"},
    "reception": {"mail", "smtp", "senderauth", "verdict", "routing", "queue", "config", "operation"},
    "delivery": {"mail", "smtp", "senderauth", "queue", "dns", "mta_sts", "routing", "config", "operation", "state"},
    "doctor": {"mail", "dns", "mta_sts", "config", "senderauth", "delivery"},
}
WITHOUT_TWISTED = ("mail", "smtp", "config")
# Blocking DNS; and the one global reactor, which only the composition root and the command line may name.
FORBIDDEN_EVERYWHERE = ("dns.resolver", "twisted.mail", "asyncio", "socketserver")


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


class LayerTests(SynchronousTestCase):
    def test_packages_import_only_what_stands_before_them(self) -> None:
        for package, allowed in ALLOWED.items():
            for path in modules(package):
                ours = {name.split(".")[1] for name in imports(path) if name.startswith("mailgw.")}
                self.assertLessEqual(ours, allowed | {package}, f"{path} imports {ours - allowed - {package}}")

    def test_every_package_has_its_rule(self) -> None:
        packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
        self.assertEqual(packages - set(ALLOWED), {"commands", "composition", "develop"})

    def test_the_vocabulary_and_the_protocol_do_not_know_twisted(self) -> None:
        for package in WITHOUT_TWISTED:
            for path in modules(package):
                twisted = {name for name in imports(path) if name.split(".")[0] in ("twisted", "zope")}
                self.assertEqual(twisted, set(), path)

    def test_only_the_composition_root_and_the_commands_name_the_reactor(self) -> None:
        for path in sorted(ROOT.rglob("*.py")):
            if path.name != "tap.py" and path.parent.name not in ("commands", "develop"):
                self.assertNotIn("twisted.internet.reactor", imports(path), path)

    def test_nothing_blocks_or_brings_what_twisted_does_worse(self) -> None:
        for path in sorted(ROOT.rglob("*.py")):
            if path.parent.name in ("commands",):
                continue
            for name in imports(path):
                self.assertFalse(name.startswith(FORBIDDEN_EVERYWHERE), f"{path} imports {name}")

    def test_every_package_says_what_it_takes_gives_and_may_not_do(self) -> None:
        for path in ROOT.glob("*/__init__.py"):
            page = ast.get_docstring(ast.parse(path.read_text())) or ""
            for word in ("Takes:", "Gives:", "May not:"):
                self.assertIn(word, page, path)

    def test_modules_and_functions_fit_in_the_head(self) -> None:
        for path in sorted(ROOT.rglob("*.py")):
            text = path.read_text()
            self.assertLessEqual(text.count("\n"), 400, path)
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    self.assertLessEqual(lines, 60, f"{path}: {node.name}")
