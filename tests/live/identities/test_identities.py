"""Users and signed URLs at a real daemon, with a real issuer and a real verifier, through real sockets."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from queuey.auth.web import MAX_DOCUMENT
from tests import runs_in
from tests.live.identities.vouching import Issuer, Verifier, new_key
from tests.live.running import LIMIT, Daemon, free_port

TWISTD = Path(sys.executable).parent / "twistd"
QUEUEY = Path(sys.executable).parent / "queuey"
GUIDE = Path(__file__).parents[3] / "docs" / "identities.rst"
KEY = "the-key-of-letters-and-of-nobody-else"
AUDIENCE = "https://letters.example.org"
TIMEOUT = 1
SETTINGS = """\
[server]
http = tcp:{port}:interface=127.0.0.1
[storage]
path = data
[logging]
file = queuey.log
format = json
level = debug
[application_keys]
letters = {key}
[application:letters]
identities = company browserid
signed_urls = true
[jwt:company]
issuer = {issuer}
audience = queuey
timeout = {timeout}
[browserid]
verifier = {verifier}/verify
audience = {audience}
issuers = login.example.org
timeout = {timeout}
"""


class IdentitiesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-users-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.environment: dict[str, str] = {}
        tls = self.tls()
        self.issuer, self.verifier = Issuer(tls), Verifier(tls)
        self.addCleanup(self.verifier.stop)
        self.addCleanup(self.issuer.stop)
        self.port = free_port()
        self.settings = self.folder / "queuey.ini"
        self.write(SETTINGS)
        self.daemon = Daemon(TWISTD, ["--config", str(self.settings)], self.folder, self.environment)
        self.addCleanup(self.daemon.kill)
        self.daemon.wait_until_it_serves(self.port)
        self.base = f"http://127.0.0.1:{self.port}"
        self.queue = f"{self.base}/v2/letters/queues/inbox"
        self.own = {"Authorization": f"Application {KEY}"}
        principals = [f"sub:{self.issuer.url}#ann", "bid:ann@example.org"]
        self.assertEqual(self.ask("PUT", self.queue, self.own, {"principals": principals})[0], 201)

    def tls(self) -> ssl.SSLContext | None:
        """What those who vouch for users serve TLS with, where they do."""
        return None

    def write(self, text: str) -> None:
        values = {"key": KEY, "issuer": self.issuer.url, "verifier": self.verifier.url, "audience": AUDIENCE}
        self.settings.write_text(text.format(port=self.port, timeout=TIMEOUT, **values))

    def ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        typed = {} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data, {**(headers or {}), **typed}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def by(self, credential: str) -> int:
        """The status of what a user who brings this is answered."""
        return self.ask("GET", f"{self.queue}/messages", {"Authorization": credential})[0]

    def assertion(self, **more: Any) -> str:
        return f"BrowserID {self.verifier.assertion(**{'email': 'ann@example.org', 'audience': AUDIENCE, **more})}"

    def events(self) -> list[str]:
        lines = (self.folder / "queuey.log").read_text().splitlines()
        return [json.loads(line).get("event", "") for line in lines]

    def until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT
        while not what():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def stop(self) -> None:
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0, self.daemon.output())
        self.assertNotIn("Traceback", (self.folder / "queuey.log").read_text() + self.daemon.output())


class UserTests(IdentitiesCase):
    @runs_in("test")
    def test_tokens(self) -> None:
        """Of a user, of another one, of somebody else's key; and of a key that is new."""
        self.assertEqual(self.by(f"Bearer {self.issuer.token()}"), 200)
        self.assertEqual(self.by(f"Bearer {self.issuer.token(sub='bob')}"), 403)
        self.assertEqual(self.by(f"Bearer {self.issuer.token(exp=1)}"), 401)
        self.assertEqual(self.issuer.asked, ["/.well-known/openid-configuration", "/keys"])
        good = self.issuer.token()
        self.assertEqual(self.by(f"Bearer {good[:-8]}AAAAAAAA"), 401)
        self.stop()

    @runs_in("test")
    def test_assertions(self) -> None:
        """Looked at by a verifier that looks at them."""
        good = self.assertion()
        for _ in range(3):
            self.assertEqual(self.by(good), 200)
        self.assertEqual(self.verifier.asked, ["/verify"])
        self.assertEqual(self.by(self.assertion(email="bob@example.org")), 403)
        for false in ({"audience": "https://evil.example"}, {"seconds": -1}, {"key": new_key()}):
            self.assertEqual(self.by(self.assertion(**false)), 401)
        certificate, _, rest = good.partition("~")
        self.assertEqual(self.by(f"{certificate}~{rest[:-8]}AAAAAAAA"), 401)
        self.assertEqual(self.by("BrowserID x~y"), 401)
        self.stop()

    def test_an_assertion_that_expires(self) -> None:
        """Is not believed any longer, though it was remembered."""
        short = self.assertion(seconds=2)
        self.assertEqual(self.by(short), 200)
        self.until(lambda: self.by(short) == 401)
        self.stop()

    def test_misbehaviour(self) -> None:
        """Of the verifier, in each way that there is: 503, in time, and the daemon goes on with everything else."""
        where = self.verifier.url
        okay = json.dumps({"status": "okay", "email": "ann@example.org", "audience": AUDIENCE, "expires": 1e15,
                           "issuer": "login.example.org"}).encode()  # fmt: skip
        over = threading.Event()

        def late() -> tuple[int, dict[str, str], bytes]:
            over.wait(LIMIT)
            return 200, {}, okay

        ways: dict[str, Callable[[], tuple[int, dict[str, str], bytes]]] = {
            "an error": lambda: (500, {}, okay),
            "no content": lambda: (204, {"Content-Length": "0"}, b""),
            "a redirect": lambda: (302, {"Location": f"{where}/elsewhere"}, okay),
            "a permanent redirect": lambda: (308, {"Location": f"{where}/elsewhere"}, okay),
            "no JSON": lambda: (200, {}, b"<html>okay</html>"),
            "no object": lambda: (200, {}, b"[" + okay + b"]"),
            "a name twice": lambda: (200, {}, b'{"status": "failure", ' + okay[1:]),
            "too much": lambda: (200, {}, okay[:-1] + b" " * MAX_DOCUMENT + b"}"),
            "encoded": lambda: (200, {"Content-Encoding": "gzip"}, okay),
            "cut off": lambda: (200, {"Content-Length": "9999"}, okay),
            "late": late,
        }
        for name, way in ways.items():
            self.verifier.misbehave = way
            answers: list[int] = []
            asking = threading.Thread(target=lambda found=answers: found.append(self.by(self.assertion())))
            asking.start()
            began = time.monotonic()
            self.assertEqual(self.ask("GET", f"{self.base}/v2/letters", self.own)[0], 200)
            asking.join(LIMIT)
            self.assertEqual(answers, [503], name)
            if name == "late":
                self.assertGreaterEqual(time.monotonic() - began, TIMEOUT / 2)
        over.set()
        self.assertNotIn("/elsewhere", self.verifier.asked)
        self.verifier.misbehave = None
        self.assertEqual(self.by(self.assertion()), 200)
        self.assertEqual([self.events().count(word) for word in ("verifier-away", "verifier-back")], [1, 1])
        self.stop()

    def test_away(self) -> None:
        """Those who are known go on, others are answered 503, and the application is served."""
        known = [f"Bearer {self.issuer.token()}", self.assertion()]
        for credential in known:
            self.assertEqual(self.by(credential), 200)
        self.issuer.misbehave = self.verifier.misbehave = lambda: (500, {}, b"")
        for credential in known:
            self.assertEqual(self.by(credential), 200)
        self.assertEqual(self.by(self.assertion()), 503)
        self.assertEqual(self.ask("POST", f"{self.queue}/messages", self.own, "x")[0], 201)
        self.stop()

    def test_reload(self) -> None:
        """SIGHUP takes over who is believed; a file with a mistake changes nothing."""
        token = f"Bearer {self.issuer.token()}"
        self.assertEqual(self.by(token), 200)
        self.write(SETTINGS.replace("identities = company browserid", "identities = compny"))
        self.hang_up("reload-refused")
        self.assertEqual(self.by(token), 200)
        self.write(SETTINGS.replace("identities = company browserid", "identities = browserid"))
        self.hang_up("reloaded")
        self.assertEqual(self.by(token), 401)
        self.assertEqual(self.by(self.assertion()), 200)
        self.stop()

    def hang_up(self, word: str) -> None:
        before = self.events().count(word)
        os.kill(self.daemon.pid, signal.SIGHUP)
        self.until(lambda: self.events().count(word) > before)

    def test_nothing_secret_is_written(self) -> None:
        """Whatever anybody brought, true or false, in whatever place: nothing of it is in anything that was written."""
        token, assertion, false = (
            self.issuer.token(),
            self.assertion().split()[1],
            self.issuer.token(sub="x")[:-4] + "AAAA",
        )
        url = signed(GUIDE, "python", self.base, KEY, "letters", "inbox", "read,write", 600)
        signature = url.partition("signature=")[2][:64]
        wrong = "0123456789abcdef" * 4
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        secrets = [
            KEY,
            digest,
            signature,
            wrong,
            *token.split("."),
            *false.split(".")[1:],
            *re.split("[.~]", assertion),
        ]
        for credential in (f"Application {KEY}", f"Bearer {token}", f"BrowserID {assertion}", f"Bearer {false}",
                           f"BrowserID {assertion[:-4]}AAAA", f"Application {KEY}x", f"Basic {wrong}"):  # fmt: skip
            for path in ("/v2/letters/queues/inbox/messages", "/v1/letters/inbox", "/v2/letters", "/nothing/here"):
                for method in ("GET", "POST", "DELETE", "OPTIONS", "BREW"):
                    self.send(method, self.base + path, credential)
        for query in (url.partition("?")[2], url.partition("?")[2].replace(signature, wrong)):
            for name in ("signature", "s%69gnature", "Signature", "access_token"):
                for path in ("/v2/letters/queues/inbox/messages", "/v1/letters/inbox", "/nothing", "/v2/letters//"):
                    for method in ("GET", "POST", "BREW"):
                        self.send(method, f"{self.base}{path}?{query.replace('signature=', name + '=')}", None)
        self.send("GET", self.base + f"/v2/letters/queues/inbox/messages?access_token={wrong}", f"Bearer {token}")
        whole = re.sub("signed_by=[0-9a-f]+", f"signed_by={digest}", url.partition("?")[2])
        for query in (whole, f"signed_by={digest}", f"token={KEY}", f"key={KEY}", f"limit=1;api_key={KEY}", KEY):
            for path in ("/v2/letters/queues/inbox/messages", "/v1/letters/inbox", "/nothing"):
                self.send("GET", f"{self.base}{path}?{query}", None)
        self.verifier.misbehave = lambda: (500, {}, assertion.encode())
        self.send("GET", self.queue + "/messages", self.assertion())
        self.stop()
        checked = subprocess.run([str(QUEUEY), "check", str(self.settings)], capture_output=True, text=True, check=True)
        self.settings.unlink()
        written = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        self.assertGreaterEqual(len(written), 3)
        self.assertIn(b"signature=...", written[self.folder / "queuey.log"])
        for file, data in written.items():
            self.assertFalse([secret for secret in secrets if len(secret) > 8 and secret.encode() in data], file)
        self.assertNotIn(KEY, checked.stdout + checked.stderr)

    def send(self, method: str, url: str, credential: str | None) -> None:
        """Send a request; its answer, whatever it is, tells no secret either."""
        headers = {} if credential is None else {"Authorization": credential}
        body = b"x" if method == "POST" else None
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
            if credential is not None:
                self.assertNotIn(credential.split()[1], text)
            self.assertNotIn(url.rpartition("=")[2] if "=" in url else KEY, text)


class TLSCase(IdentitiesCase):
    """Those who vouch for users serve TLS, with a certificate that signs itself."""

    name = "IP:127.0.0.1"
    trusted = True

    def tls(self) -> ssl.SSLContext:
        if shutil.which("openssl") is None:
            raise SkipTest("there is no openssl to make a certificate with")
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=vouching",
                   "-addext", f"subjectAltName={self.name}", "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=LIMIT)
        if self.trusted:
            self.environment["SSL_CERT_FILE"] = str(certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def believed(self) -> list[int]:
        return [self.by(f"Bearer {self.issuer.token()}"), self.by(self.assertion())]


class TrustedTests(TLSCase):
    def test_asked(self) -> None:
        """Whom the system trusts, or ``SSL_CERT_FILE`` names."""
        self.assertEqual(self.believed(), [200, 200])
        self.stop()


class StrangerTests(TLSCase):
    trusted = False

    def test_not_asked(self) -> None:
        """Another server that answers at that address: it gets no assertion, and nothing that it says is believed."""
        self.assertEqual(self.believed(), [503, 503])
        self.assertEqual(self.issuer.asked + self.verifier.asked, [])
        self.stop()


class OtherNameTests(TLSCase):
    name = "DNS:id.example.org"

    def test_not_asked(self) -> None:
        """A server that is trusted, but under another name."""
        self.assertEqual(self.believed(), [503, 503])
        self.assertEqual(self.issuer.asked + self.verifier.asked, [])
        self.stop()


def sample(page: Path, language: str) -> str:
    """The code of a page in one language."""
    (found,) = re.findall(rf"(?m)^\.\. code-block:: {language}\n((?:\n|   .*\n)+)", page.read_text(encoding="utf-8"))
    return re.sub("(?m)^   ", "", found)


def signed(page: Path, language: str, *arguments: str | int) -> str:
    """The URL that a sample of a page signs."""
    source = sample(page, language)
    given = ", ".join(json.dumps(each) for each in arguments)
    commands = {
        "python": [sys.executable, "-c", f"{source}\nprint(signed_url({given}))"],
        "javascript": ["node", "--input-type=module", "--eval", f"{source}\nconsole.log(signedUrl({given}));"],
        "sh": ["sh", "-e", "-c", f'{source}\nsigned_url "$@"', "sh", *map(str, arguments)],
    }
    done = subprocess.run(commands[language], capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode:
        raise AssertionError(f"{language}: {done.stderr}")
    return done.stdout.strip()


class GuideTests(IdentitiesCase):
    """The programs of docs/identities.rst, as they stand there."""

    def test_python(self) -> None:
        self.check("python")

    def test_javascript(self) -> None:
        if shutil.which("node") is None:
            raise SkipTest("there is no node here")
        self.check("javascript")

    def test_shell(self) -> None:
        if shutil.which("openssl") is None:
            raise SkipTest("there is no openssl here")
        self.check("sh")

    def check(self, language: str) -> None:
        self.assertLessEqual(len([line for line in sample(GUIDE, language).splitlines() if line.strip()]), 20)
        self.assertEqual(self.ask("PUT", f"{self.base}/v2/letters/queues/greetings", self.own)[0], 201)
        given = (self.base, KEY, "letters", "greetings", "read,write", 600)
        url = signed(GUIDE, language, *given)
        self.assertEqual(self.ask("POST", url, {}, "hello")[0], 201)
        self.assertEqual(self.ask("GET", f"{url}&limit=1")[1]["messages"][0]["body"], '"hello"')
        self.assertEqual(self.ask("GET", url.replace("/greetings/", "/inbox/"))[0], 401)
        self.assertEqual(self.ask("GET", url.replace("read%2Cwrite", "read").replace("read,write", "read"))[0], 401)
        rated = signed(GUIDE, language, *given, "1")
        self.assertEqual([self.ask("GET", rated)[0] for _ in range(2)], [200, 429])
        expired = signed(GUIDE, language, *given[:5], -1)
        self.assertEqual(self.ask("GET", expired)[0], 401)
        if language != "sh":
            self.assertEqual(self.ask("PUT", f"{self.base}/v2/letters/queues/%C3%A9%20%3F", self.own)[0], 201)
            other = signed(GUIDE, language, self.base, KEY, "letters", "\u00e9 ?", "read", 600)
            self.assertEqual(self.ask("GET", other)[0], 200)
        self.stop()
