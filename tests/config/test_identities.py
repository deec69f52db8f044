"""Settings of identity providers, and their mistakes."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from queuey.config.kinds.urls import url_problem
from tests.config.support import APPLICATION, KEY, SettingsTestCase

ROOT = Path(__file__).parents[2]
JWT = "[jwt:idp]\nissuer = https://id.example.org/realm\naudience = queuey\n"
BROWSERID = "[browserid]\nverifier = https://v.example.org/v2\naudience = https://q.example.org\n"
SERVICE = "allowed: a URL of https, or of http on this machine"


class IdentityTests(SettingsTestCase):
    def test_none(self) -> None:
        settings = self.load(APPLICATION)
        self.assertEqual(settings.identities.names, ())
        (application,) = settings.applications
        self.assertEqual((application.policy.identities, application.policy.signed_urls), ((), False))

    def test_all_that_can_be_said(self) -> None:
        text = (
            f"{JWT}algorithms = ES256, EdDSA\nprincipal = email\nleeway = 1\ntimeout = 2\nkeys_for = 61\nremember = 4\n"
            f"[jwt:other]\nissuer = http://127.0.0.1:8000\naudience =\n    a\n    b\n"
            f"{BROWSERID}issuers = a.org b.org\n{APPLICATION}"
            "[application:app]\nidentities = idp, browserid\nsigned_urls = true\n"
        )
        settings = self.load(text)
        idp, other = settings.identities.issuers
        self.assertEqual((idp.name, idp.issuer, idp.audience), ("idp", "https://id.example.org/realm", ("queuey",)))
        self.assertEqual((idp.algorithms, idp.principal), (("ES256", "EdDSA"), "email"))
        self.assertEqual((idp.leeway, idp.timeout, idp.keys, idp.remember), (1, 2, 61, 4))
        self.assertEqual((other.audience, other.algorithms, other.principal), (("a", "b"), ("RS256",), "sub"))
        browserid = settings.identities.browserid
        assert browserid is not None
        self.assertEqual(browserid.issuers, ("a.org", "b.org"))
        self.assertEqual(settings.identities.names, ("browserid", "idp", "other"))
        (application,) = settings.applications
        self.assertEqual(application.policy.identities, ("idp", "browserid"))
        self.assertTrue(application.policy.signed_urls)
        shown = "\n".join(settings.describe())
        self.file.write_text(shown)
        self.assertEqual(self.load(shown).identities, settings.identities)

    def test_what_is_missing(self) -> None:
        self.assertEqual(
            self.problems("[jwt:idp]\n[browserid]\n" + APPLICATION),
            [
                f"[browserid]: needs verifier; {SERVICE}",
                "[browserid]: needs audience; allowed: an origin, as assertions name it",
                f"[jwt:idp]: needs issuer; {SERVICE}",
                "[jwt:idp]: needs audience; allowed: what tokens name as their audience, one or several, "
                "separated by spaces, commas or lines",
            ],
        )

    def test_names(self) -> None:
        """Of issuers: each has its own, and no two have the same."""
        for name in ("", "a b", "a/b", "x" * 51, "browserid", "\u00e9"):
            (line,) = self.problems(JWT.replace("jwt:idp", f"jwt:{name}") + APPLICATION)
            self.assertIn("is not a name of an issuer; allowed: 1 to 50 letters, digits", line, name)
        self.assertEqual(self.problems(JWT + JWT.replace("jwt:", "jwt: ") + APPLICATION), ["[jwt:idp]: stands twice"])

    def test_whom_no_section_tells_of(self) -> None:
        text = f"{JWT}{APPLICATION}[application:app]\nidentities = ipd\n"
        (line,) = self.problems(text)
        self.assertEqual(line, "[application:app] identities: ipd has no section; allowed: idp; did you mean idp?")
        (line,) = self.problems(f"{APPLICATION}[application:app]\nidentities = browserid\n")
        self.assertIn("browserid has no section; allowed: names of sections", line)

    def test_algorithms(self) -> None:
        """Secrets that everybody knows prove nothing, so they are not among them."""
        for name in ("none", "HS256", "HS512", "rs256", "ES256K", "RSA-OAEP", "dir"):
            (line,) = self.problems(f"{JWT}algorithms = {name}\n{APPLICATION}")
            self.assertIn(f"[jwt:idp] algorithms: '{name}' is not known; allowed: one or several of RS256", line)

    def test_other_keys(self) -> None:
        (line,) = self.problems(f"{JWT}audiance = x\n{APPLICATION}")
        self.assertIn("[jwt:idp] audiance: is not known", line)
        self.assertIn("did you mean audience?", line)
        (line,) = self.problems(f"{BROWSERID}verifer = x\n{APPLICATION}")
        self.assertIn("did you mean verifier?", line)
        (line,) = self.problems(f"[browser-id]\n{APPLICATION}")
        self.assertIn("did you mean [browserid]?", line)

    def test_urls(self) -> None:
        for url in ("https://a", "https://a.example.org:8443/x/y", "http://127.0.0.1", "http://localhost:80/x",
                    "http://[::1]:8000/", "http://127.8.8.8/"):  # fmt: skip
            self.assertIsNone(url_problem(url), url)
        for url, why in (
            ("http://a.example.org", "is not of https"),
            ("http://localhost.example.org/", "is not of https"),
            ("http://127.0.0.1.example.org/", "is not of https"),
            ("http://0.0.0.0/", "is not of https"),
            ("http://10.0.0.1/", "is not of https"),
            ("https://", "is no URL of https"),
            ("https:///a", "is no URL of https"),
            ("ftp://a/", "is no URL of https"),
            ("a.example.org", "is no URL of https"),
            ("file:///etc/passwd", "is no URL of https"),
            ("https://a:0/", "is no URL of https"),
            ("https://a:99999/", "is no URL"),
            ("https://[::1/", "is no URL"),
            ("https://user@a/", "has a user's name in it"),
            ("https://user:word@a/", "has a user's name in it"),
            ("http://127.0.0.1\\@a/", "is longer"),
            ("https://a/\\b", "is longer"),
            ("https://a/#b", "is longer"),
            ("https://a,b/", "is longer"),
            ("https://a b/", "is longer"),
            ("https://\u00e9/", "is longer"),
            ("https://a/\n", "is longer"),
            ("", "is longer"),
            ("https://" + "a" * 250, "is longer"),
        ):
            self.assertTrue((url_problem(url) or "").startswith(why), (url, url_problem(url)))
        (line,) = self.problems("[jwt:idp]\nissuer = https://a/?x\naudience = q\n" + APPLICATION)
        self.assertIn("'https://a/?x' has a query; the URL of an issuer has none", line)
        (line,) = self.problems("[jwt:idp]\nissuer = http://a/\naudience = q\n" + APPLICATION)
        self.assertIn("[jwt:idp] issuer: 'http://a/' is not of https, which only a service on this machine", line)


class PageTests(SettingsTestCase):
    """docs/identities.rst."""

    def test_settings(self) -> None:
        """What is shown there loads, and believes whom it says."""
        text = (ROOT / "docs" / "identities.rst").read_text(encoding="utf-8")
        blocks = re.findall(r"(?m)^\.\. code-block:: ini\n((?:\n|   .*\n)+)", text)
        known = []
        for block in blocks:
            settings = self.load(f"[application_keys]\nletters = {KEY}\n{textwrap.dedent(block)}")
            (application,) = settings.applications
            known.append((settings.identities.names, application.policy.identities, settings.warnings))
        self.assertEqual(known, [(("company",), ("company",), ()), (("browserid",), ("browserid",), ())])


class LibraryTests(SettingsTestCase):
    """The libraries that identities need are an extra: installations without identities do not need them."""

    def run_without(self, text: str, missing: str) -> subprocess.CompletedProcess[str]:
        """What ``queuey check`` says of a file where a library is not installed."""
        self.file.write_text(text)
        program = f"import sys; sys.modules[{missing!r}] = None; from queuey_client.cli import run; sys.exit(run())"
        command = [sys.executable, "-c", program, "check", "--settings-only", str(self.file)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    def test_missing(self) -> None:
        for missing in ("treq", "jwt", "cryptography"):
            done = self.run_without(JWT + APPLICATION, missing)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(
                "[browserid] and [jwt:NAME]: need libraries that are not installed", done.stderr + done.stdout
            )
            self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(self.run_without(APPLICATION, "jwt").returncode, 0)

    def test_not_imported(self) -> None:
        """A daemon without identities does not import them."""
        program = (
            "import sys; from queuey.service import assembly; import queuey.auth.users; "
            "sys.exit(bool({'treq', 'jwt'} & set(sys.modules)))"
        )
        self.assertEqual(subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60).returncode, 0)
