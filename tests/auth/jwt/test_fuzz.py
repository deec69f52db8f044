"""Random tokens and key lists: each is answered with an error of ours, and no caller is let in."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.auth.jwt.keys import usable_keys
from queuey.auth.jwt.tokens import read
from queuey.errors import BadIdentity
from queuey.interfaces import Credential
from tests import tried
from tests.auth.web_support import SUBJECT, FakeWeb, b64, bearer, by_hand, ec_key, ed_key, jwk, rsa_key, token

GOOD = token()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
HEADER = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "x"]), JSON | st.just("RS256"))
CLAIMS = st.dictionaries(st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "x"]), JSON)
ALGORITHMS = ("RS256", "PS512", "ES256", "ES512", "EdDSA")
KEYS: list[dict[str, Any]] = [jwk(rsa_key()), jwk(ec_key()), jwk(ed_key())]
MEMBERS = sorted({name for key in KEYS for name in key} | {"use", "key_ops", "alg", "k"})


class TokenFuzz(SynchronousTestCase):
    def setUp(self) -> None:
        web = FakeWeb()
        web.publish(jwk(rsa_key()))
        self.tokens = bearer(web, Clock())

    def judge(self, text: str) -> None:
        found = self.tokens.authenticate(Credential("bearer", text))
        if text == GOOD:
            self.assertEqual(self.successResultOf(found), {SUBJECT})
        else:
            self.failureResultOf(found, BadIdentity)

    @given(st.data())
    @settings(max_examples=tried(150, 3000))
    def test_one_character(self, data: st.DataObject) -> None:
        """Of a good token is another one, is left out, or stands there besides."""
        at = data.draw(st.integers(0, len(GOOD) - 1))
        end = data.draw(st.integers(at, at + 1))
        self.judge(GOOD[:at] + data.draw(st.sampled_from([*"Ab0_-.=~ \n\u00e9", ""])) + GOOD[end:])

    @given(st.text("AQab09_-.=", max_size=40))
    @settings(deadline=None)
    def test_any_text(self, text: str) -> None:
        self.judge(text)

    @given(HEADER, CLAIMS)
    @settings(max_examples=tried(150, 3000))
    def test_any_objects(self, header: dict[str, Any], claims: dict[str, Any]) -> None:
        self.judge(by_hand(json.dumps(header), json.dumps(claims), lambda _: b"x"))

    @given(st.binary(max_size=30), st.binary(max_size=30))
    @settings(deadline=None)
    def test_any_bytes(self, header: bytes, payload: bytes) -> None:
        text = f"{b64(header)}.{b64(payload)}.AAAA"
        try:
            read(text)
        except BadIdentity:
            return
        self.judge(text)


class KeysFuzz(SynchronousTestCase):
    @given(st.sampled_from(KEYS), st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=3))
    @settings(max_examples=tried(200, 4000))
    def test_one_that_is_none_spoils_no_other(self, key: dict[str, Any], changes: dict[str, Any]) -> None:
        """What an issuer publishes by mistake is passed over."""
        found = usable_keys([{**key, **changes}, jwk(rsa_key(), "good")], ALGORITHMS)
        self.assertIn(("good", "RS256"), found)

    @given(st.lists(JSON, max_size=3))
    @settings(deadline=None)
    def test_any_list(self, source: list[Any]) -> None:
        self.assertEqual(usable_keys(source, ALGORITHMS), {})
