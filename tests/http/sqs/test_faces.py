"""Both faces of a queue: what is posted on one is received on the other."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from queuey.http.sqs.bodies import body
from queuey.http.sqs.message_attributes import encoded
from queuey.http.v2.inputs.items import encoded_headers
from queuey.model.messages.message import Content, Message
from queuey.model.timeid import MessageId, Ticks
from tests.http.api_support import OWNER
from tests.http.sqs.support import SqsTestCase

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(encoded)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,12}", fullmatch=True).filter(
    lambda name: not name.lower().startswith("queuey-")
)
attributes = st.dictionaries(
    names,
    st.one_of(
        st.builds(lambda text: {"DataType": "String", "StringValue": text}, texts),
        st.builds(lambda number: {"DataType": "Number", "StringValue": str(number)}, st.integers(-(10**9), 10**9)),
        st.builds(
            lambda data: {"DataType": "Binary", "BinaryValue": base64.b64encode(data).decode()},
            st.binary(min_size=1, max_size=20),
        ),
    ),
    max_size=10,
)


class FaceTests(SqsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.q = self.made()

    def claimed(self) -> dict[str, Any]:
        (one,) = self.expect(200, self.send("POST", "/queues/q/groups/other/claims"))["messages"]
        return dict(one)

    @settings(max_examples=30, deadline=None)
    @given(texts, attributes)
    def test_sent_by_sqs(self, text: str, found: dict[str, Any]) -> None:
        sent = self.sent(self.q, text, MessageAttributes=found)
        one = self.claimed()
        self.assertEqual((one["body"], one["content_type"]), (text, "text/plain;charset=utf-8"))
        plain = {name: given["StringValue"] for name, given in found.items() if given["DataType"] == "String"}
        self.assertEqual({n: v for n, v in one["headers"].items() if not n.startswith("queuey-")}, plain)
        self.assertEqual(one["id"].partition("-")[0], sent["MessageId"].replace("-", ""))
        (back,) = self.received(self.q)
        self.assertEqual((back["Body"], back.get("MessageAttributes", {})), (text, found))

    @settings(max_examples=30, deadline=None)
    @given(st.binary(max_size=40) | texts.map(str.encode), st.dictionaries(names, texts, max_size=12))
    def test_posted_by_v2(self, body: bytes, headers: dict[str, str]) -> None:
        fields = {**OWNER, "Queuey-Headers": quote(json.dumps(headers))}
        posted = self.send("POST", "/queues/q/messages", body, fields, "application/octet-stream")
        self.expect(201, posted)
        (one,) = self.received(self.q)
        found = one.get("MessageAttributes", {})
        encoding = found.pop("queuey-encoding", None)
        if encoding is None:
            self.assertEqual(one["Body"].encode(), body)
        else:
            self.assertEqual(base64.b64decode(one["Body"]), body)
        self.assertEqual(len(found), min(10, len(headers)))
        for name, value in found.items():
            self.assertEqual(value, {"DataType": "String", "StringValue": headers[name]})

    def test_the_group_is_seen_by_v2(self) -> None:
        self.sent(self.q)
        self.received(self.q)
        found = self.expect(200, self.send("GET", "/queues/q/groups/sqs"))
        self.assertEqual([one["in_flight"] for one in found["lag"]], [1])

    def test_a_key_of_v2_is_the_message_group(self) -> None:
        self.expect(201, self.send("POST", "/queues/q/messages?key=user-1", b"x"))
        (one,) = self.received(self.q)
        self.assertEqual(one["Attributes"]["MessageGroupId"], "user-1")
        self.sent(self.q, "y", MessageGroupId="user-2")
        bodies = {one["body"]: one["headers"]["queuey-key"] for one in self.read_all()}
        self.assertEqual(bodies["y"], "user-2")

    def read_all(self) -> list[dict[str, Any]]:
        return list(self.expect(200, self.send("GET", "/queues/q/messages"))["messages"])

    def test_a_message_of_sqs_can_be_put_back(self) -> None:
        """An archive of v2 has what SQS says of it."""
        self.sent(self.q, "x", MessageAttributes={"a": {"DataType": "Number", "StringValue": "1"}})
        (one,) = self.read_all()
        self.assertIsInstance(encoded_headers(one["headers"], back=True), bytes)
        self.assertIsInstance(encoded_headers(one["headers"]), str)
        one["headers"]["queuey-sqs"]["attributes"] = "x" * 9000
        self.assertIsInstance(encoded_headers(one["headers"], back=True), str)

    def test_what_was_put_back_by_hand(self) -> None:
        """A header that is not what SQS keeps is no reason not to deliver the message."""
        wrong: list[Any] = [{"attributes": "x"}, {"delay": "x"}, {"attributes": {"a": {"DataType": 1}}}, []]
        for kept in wrong:
            headers = json.dumps({"queuey-sqs": kept, "a": "b"}).encode()
            found = body(Message(1, MessageId(bytes(16)), Content(b"x", None, headers), Ticks(0)))
            self.assertEqual(set(found.details.attributes), {"a"}, kept)
