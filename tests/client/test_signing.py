"""Signed URLs: that the server takes them is shown with a daemon; here, that they are made of the right parts."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Client
from queuey_client.core.session import Credentials
from queuey_client.core.signing import parse_signed_url
from tests.client.support import STORED, Server, answer


class SigningTests(SynchronousTestCase):
    """What a URL says."""

    def test_a_url(self) -> None:
        """Operations stand in their order; a rate is there if there is one."""
        url = Server().queue("a b/c").signed_url(["write", "read"], 60, rate=5)
        parts = urlsplit(url)
        self.assertEqual(parts.path, "/v2/shop/queues/a%20b%2Fc/messages")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.assertEqual((query["signed_for"], query["signed_rate"]), ("read,write", "5"))

    def test_the_url_of_a_live_read(self) -> None:
        """It is signed as the other one is, since a signature holds for every path of the queue."""
        queue = Server().queue("a b/c")
        found, other = (parse_signed_url(queue.signed_url(["read"], 60, path=path)) for path in ("events", "messages"))
        self.assertEqual(found, other)
        self.assertIn("/queues/a%20b%2Fc/events?signed_by=", queue.signed_url(["read"], 60, path="events"))

    def test_what_is_refused(self) -> None:
        """No key, no operation, one that is not known, no time."""
        queue = Server().queue()
        self.assertRaises(ValueError, queue.signed_url, [], 60)
        self.assertRaises(ValueError, queue.signed_url, ["all"], 60)
        self.assertRaises(ValueError, queue.signed_url, ["read"], 0)
        self.assertRaises(ValueError, queue.signed_url, ["read"], 60, rate=0)
        self.assertRaises(ValueError, queue.signed_url, ["read"], 60, path="groups")
        users = Server().queue(credentials=Credentials(None, "token"))
        self.assertRaises(ValueError, users.signed_url, ["read"], 60)

    def test_using_one(self) -> None:
        """Its parameters go with each request, and no key does."""
        server = Server(answer(STORED, 201))
        url = Server().queue("a b/c").signed_url(["write"], 60)
        queue = Client.from_signed_url(url, transport=server)
        queue.post("x", ttl=5)
        self.assertEqual(queue.name, "a b/c")
        (ask,) = server.asks
        self.assertNotIn("Authorization", ask.headers)
        query = parse_qs(urlsplit(ask.url).query)
        self.assertEqual((query["ttl"], "signature" in query), (["5"], True))
        self.assertEqual(parse_signed_url(ask.url), parse_signed_url(url))

    def test_one_that_is_none(self) -> None:
        """It is refused at once."""
        for url in ("http://server/v2/shop", "http://server/v2/shop/queues/q/messages", "nonsense"):
            self.assertRaises(ValueError, Client.from_signed_url, url)
