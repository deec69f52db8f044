"""Users and signed URLs through both APIs: who is let in, and the errors for others."""

from __future__ import annotations

from pathlib import Path

from queuey import config
from queuey.interfaces import IWeb, NotHad
from tests.auth.test_browserid import ASSERTION, AUDIENCE, VERIFIER, okay
from tests.auth.web_support import ISSUER, JWKS, FakeWeb, jwk, rsa_key, token
from tests.http.api_support import KEY, OTHER_KEY, OWNER, SPARE_KEY, MessagesTestCase
from tests.http.wire_support import Connection, Fields, encode_request

STRANGERS = "https://strangers.example.org"
SUBJECT = f"sub:{ISSUER}#ann"
SETTINGS = f"""
[storage]
backend = memory
[application_keys]
app = {KEY}
    {SPARE_KEY}
other = {OTHER_KEY}
[application:app]
identities = company browserid
signed_urls = true
create_queues = on-write
[application:other]
identities = strangers
[browserid]
verifier = {VERIFIER}
audience = {AUDIENCE}
issuers = login.persona.org
[jwt:company]
issuer = {ISSUER}
audience = queuey
[jwt:strangers]
issuer = {STRANGERS}
audience = queuey
principal = email
"""
_TEXT = b'{"body": "x"}\n'
LINE = b"%x\r\n%b\r\n" % (len(_TEXT), _TEXT)
"""A line of a stream, in a chunk of its own."""

ALL = "Application, Bearer, BrowserID"


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


USER = bearer(token())


class IdentitiesTestCase(MessagesTestCase):
    settings = SETTINGS

    def make_web(self) -> IWeb:
        self.web = FakeWeb()
        self.web.publish(jwk(rsa_key()))
        self.web.publish(jwk(rsa_key("b")), issuer=STRANGERS, place=STRANGERS + "/keys")
        self.web.pages[VERIFIER] = okay()
        return self.web

    def allow(self, *principals: str, queue: str = "q") -> None:
        self.expect(200, self.send("PATCH", f"/queues/{queue}", {"principals": list(principals)}, OWNER, PATCH))

    def status(self, headers: Fields, path: str = "/queues/q/messages", method: str = "GET") -> int:
        return self.send(method, path, None, headers).status


PATCH = "application/merge-patch+json"


class UserTests(IdentitiesTestCase):
    def test_what_users_may(self) -> None:
        """What the principals of a queue may, and nothing else."""
        self.appended("for ann")
        self.assertEqual(self.status(USER), 403)
        self.allow(SUBJECT, "bid:ann@example.org")
        self.assertEqual(self.status(USER), 200)
        self.assertEqual(self.status({"Authorization": f"BrowserID {ASSERTION}"}), 200)
        self.assertEqual(self.status(OWNER), 403)
        self.assertEqual(self.status(USER, method="POST"), 403)
        self.assertEqual(self.status(USER, "/queues"), 403)
        self.assertEqual(self.status(USER, ""), 200)
        self.assertEqual(self.ask("GET", "/v1/app/q", USER).status, 200)
        self.assertEqual(self.ask("GET", "/v1/app/q", {"Authorization": f"BrowserID {ASSERTION}"}).status, 200)

    def test_application_and_user_together(self) -> None:
        """In one field, in either order; the caller is both."""
        self.allow(SUBJECT)
        for value in (f"Application {KEY}; {USER['Authorization']}", f"{USER['Authorization']};application {KEY}"):
            both = {"Authorization": value}
            self.assertEqual(self.status(both), 200)
            posted = self.send("POST", "/queues/q/messages", b"x", both, None)
            self.assertEqual(posted.status, 201)
            self.assertEqual(self.ask("POST", "/v1/app/q", both, b"x").status, 201)

    def test_one_false_among_several(self) -> None:
        """401, whichever it is."""
        false = token(rsa_key("false"))
        for value in (f"Application {KEY}; Bearer {false}", f"Bearer {token()}; Application nobodys-key",
                      f"Bearer {token()}; Bearer {false}", f"BrowserID a b; Application {KEY}"):  # fmt: skip
            response = self.send("GET", "/queues/q/messages", None, {"Authorization": value})
            self.problem("unauthorized", response)
            self.assertEqual(response.header("www-authenticate"), ALL)
            v1 = self.ask("GET", "/v1/app/q", {"Authorization": value})
            self.assertEqual((v1.status, v1.header("www-authenticate")), (401, ALL))

    def test_several_fields(self) -> None:
        """Credentials stand in one field; of several, programs do not agree on which counts."""
        fields = [("Authorization", f"Application {KEY}"), ("Authorization", USER["Authorization"])]
        self.assertEqual(self.client.request("GET", "/v2/app/queues/q/messages", fields, None).status, 400)

    def test_words_of_refusals(self) -> None:
        """In v1 what is false of a user has a key of its own."""
        refused = self.refused(401, self.ask("GET", "/v1/app/q", bearer(token(rsa_key("false")))))
        self.assertEqual(refused, {"InvalidCredentials": "The token has a signature that is false."})
        refused = self.refused(401, self.ask("GET", "/v1/app/q", {"Authorization": "Application x"}))
        self.assertEqual(refused, {"InvalidApplicationKey": "Invalid application key"})
        problem = self.problem("unauthorized", self.send("GET", "", None, bearer(token(exp=1))))
        self.assertEqual(problem["detail"], "The token has expired.")

    def test_only_whom_the_application_names(self) -> None:
        """The same issuer is believed by one application, and by another it is not."""
        stranger = bearer(token(rsa_key("b"), iss=STRANGERS, email="ann@example.org", email_verified=True))
        self.allow("bid:ann@example.org", SUBJECT, f"sub:{STRANGERS}#ann")
        why = self.problem("unauthorized", self.send("GET", "/queues/q/messages", None, stranger))
        self.assertEqual(why["detail"], "The token is of an issuer that is not accepted here.")
        self.assertEqual(self.ask("GET", "/v2/other", stranger).status, 200)
        self.assertEqual(self.ask("GET", "/v2/other", USER).status, 401)
        # And once it is remembered, by one application, the other one still does not believe it.
        self.assertEqual(self.send("GET", "/queues/q/messages", None, stranger).status, 401)

    def test_schemes_that_are_not_taken(self) -> None:
        """Count as none, as in the first version."""
        for value in (f"BrowserID {ASSERTION}", "Basic eA==", "Signature x"):
            response = self.ask("GET", "/v2/other", {"Authorization": value})
            self.problem("unauthorized", response)
            self.assertEqual(response.header("www-authenticate"), "Application, Bearer")
        self.assertEqual(self.web.asked, [])

    def test_who_is_to_be_asked_is_away(self) -> None:
        """503, and not 401, and least of all 200."""
        self.allow(SUBJECT, "bid:ann@example.org")
        self.web.pages[JWKS] = NotHad("away")
        self.web.pages[VERIFIER] = NotHad("away")
        for value in (USER["Authorization"], f"BrowserID {ASSERTION}"):
            response = self.send("GET", "/queues/q/messages", None, {"Authorization": value})
            problem = self.problem("unavailable", response)
            self.assertEqual((problem["applied"], problem["retryable"]), ("no", True))
            self.assertEqual(
                set(self.refused(503, self.ask("GET", "/v1/app/q", {"Authorization": value}))), {"identity"}
            )
        self.assertEqual(self.send("POST", "/queues/q/messages", b"x", OWNER, None).status, 201)

    def test_too_many(self) -> None:
        """Credentials in one field: each may cost a question to somebody else."""
        many = "; ".join(f"BrowserID a~{number}" for number in range(9))
        self.assertEqual(self.ask("GET", "/v1/app/q", {"Authorization": many}).status, 400)
        self.problem("malformed-request", self.send("GET", "", None, {"Authorization": many}))
        self.assertEqual(self.web.asked, [])

    def test_other_settings(self) -> None:
        """They are in force at once; requests that wait for an earlier answer are decided by the earlier settings."""
        self.allow(SUBJECT)
        self.assertEqual(self.status(USER), 200)
        asked = len(self.web.asked)
        self.use(
            SETTINGS.replace("[jwt:strangers]", "[jwt:strangers]\nleeway = 1").replace("timeout = 5", "timeout = 6")
        )
        self.assertEqual(self.status(USER), 200)
        self.assertEqual(len(self.web.asked), asked)
        self.use(SETTINGS.replace("identities = company browserid", "identities = browserid"))
        self.assertEqual(self.status(USER), 401)  # this scheme is not accepted any more, so the verifier is not asked
        self.use(SETTINGS.replace("audience = queuey", "audience = another"))
        response = self.send("GET", "/queues/q/messages", None, USER)
        self.assertEqual(response.json["detail"], "The token is meant for another audience.")
        self.use(SETTINGS)
        self.assertEqual(self.status(USER), 200)

    def test_the_same_again(self) -> None:
        """A token on a connection that is kept lets in no longer than it is good, and than the queue is open to it."""
        self.allow(SUBJECT)
        connection = Connection(self.client.site)
        ours = {"Authorization": f"{OWNER['Authorization']}; {USER['Authorization']}"}

        def statuses(headers: Fields = USER) -> list[int]:
            """How the same request is answered three times."""
            before = len(connection.responses())
            for _ in range(3):
                connection.send(encode_request("GET", "/v2/app/queues/q/messages", headers))
            return [response.status for response in connection.responses()[before:]]

        self.assertEqual(statuses(), [200] * 3)
        self.allow("bid:ann@example.org")
        self.assertEqual(statuses(), [403] * 3)
        self.allow(SUBJECT)
        self.assertEqual(statuses(), [200] * 3)
        self.assertEqual(statuses(ours), [200] * 3)
        limits = self.assembly.site.limits
        self.use(SETTINGS.replace("audience = queuey", "audience = another"))
        # The HTTP server forgets heads where its limits may have changed; this must not need that.
        self.assembly.site.limits = limits
        self.assertEqual(statuses(), [401] * 3)
        self.use(SETTINGS)
        self.assembly.site.limits = limits
        self.assertEqual(statuses(), [200] * 3)
        # It is good for 600 seconds, and a little longer by clocks that are not quite right.
        for _ in range(31):
            self.clock.advance(20)
            self.assertEqual(statuses(), [200] * 3)
        self.clock.advance(20)
        self.assertEqual(statuses(), [401] * 3)
        self.assertEqual(statuses(ours), [401] * 3)

    def use(self, text: str) -> None:
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.assembly.use(config.load(file))
