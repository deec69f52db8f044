"""Tokens that are refused: forged, malformed, for others, or too large."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import RSAAlgorithm

from queuey.auth.jwt.tokens import read
from queuey.errors import BadIdentity, IdentityUnavailable
from queuey.interfaces import Credential
from tests.auth.jwt.test_bearer import TokenTestCase
from tests.auth.web_support import (
    AUDIENCE,
    ISSUER,
    JWKS,
    NOW,
    SUBJECT,
    FakeWeb,
    b64,
    bearer,
    by_hand,
    claims,
    ec_key,
    issuer,
    jwk,
    rsa_key,
    token,
)


def without_padding(number: int, size: int) -> bytes:
    return number.to_bytes(size, "big")


class HostileTokens(TokenTestCase):
    """Each of these was somebody's way in once."""

    def signed(self, header: Any, payload: Any = None) -> str:
        """A token with any header and payload, signed by the right key."""
        key = rsa_key()
        said = claims() if payload is None else payload
        return by_hand(header, said, lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256()))

    def test_by_hand_is_right(self) -> None:
        """What the attacks below begin with would be believed."""
        self.assertEqual(self.proven(self.signed({"alg": "RS256", "kid": "k1"})), {SUBJECT})

    def test_alg_none(self) -> None:
        """In any case, with a signature and without one."""
        for name in ("none", "None", "NONE", "nOnE", ""):
            unsigned = by_hand({"alg": name, "typ": "JWT"}, claims(), lambda _: b"")
            self.refused(unsigned, "is no signed JSON web token")
            self.refused(unsigned + b64(b"x"), "is signed by an algorithm that is not taken here")
        self.refused(self.signed({"kid": "k1"}), "names no algorithm")
        self.refused(self.signed({"alg": None, "kid": "k1"}), "names no algorithm")
        self.refused(self.signed({"alg": ["RS256"], "kid": "k1"}), "names no algorithm")

    def test_hmac_with_the_public_key(self) -> None:
        """RS256 said to be HS256, so that what everybody can read would be the secret."""
        public = rsa_key().public_key()
        secrets = [
            public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
            json.dumps(jwk(rsa_key())).encode(),
            b"",
        ]
        for secret in secrets:
            for name, kind in (("HS256", hashlib.sha256), ("RS256", hashlib.sha256), ("HS512", hashlib.sha512)):
                mac = by_hand(
                    {"alg": name, "kid": "k1"},
                    claims(),
                    lambda data, secret=secret, kind=kind: hmac.new(secret, data, kind).digest(),  # type: ignore[misc]
                )
                why = "has a signature that is false" if name == "RS256" else None
                self.refused(mac, why or "is signed by an algorithm that is not taken here")

    def test_secret_keys_in_the_list(self) -> None:
        """An issuer that publishes a symmetric key does not make it one that proves anything."""
        secret = {"kty": "oct", "kid": "k1", "k": b64(b"s" * 32), "alg": "HS256"}
        self.web.publish(secret)
        mac = by_hand({"alg": "HS256", "kid": "k1"}, claims(), lambda d: hmac.new(b"s" * 32, d, "sha256").digest())
        self.refused(mac, "is signed by an algorithm that is not taken here")
        self.failureResultOf(self.tokens.authenticate(Credential("bearer", token())), IdentityUnavailable)

    def test_keys_of_other_kinds(self) -> None:
        """The key of one algorithm is not tried with another one."""
        for key, name, kid in ((ec_key(), "ES256", "k1"), (rsa_key(), "RS256", "k2")):
            self.refused(token(key, name, {"kid": kid}), "is signed with a key that its issuer does not have")
        self.web.publish(jwk(ec_key("c", ec.SECP384R1), "k1"))
        self.refused(
            by_hand({"alg": "ES256", "kid": "k1"}, claims(), lambda _: b"x" * 96),
            "is signed with a key that its issuer does not have",
            bearer(self.web, self.clock, algorithms=("ES256", "ES384")),
        )

    def test_kid_injection(self) -> None:
        """A kid is looked up among names of keys, and is nothing else."""
        for kid in ("../../../../dev/null", "/etc/passwd", "k1' OR '1'='1", "| touch /tmp/x", "http://evil.example/k",
                    "", "k1\0", "K1", " k1", "x" * 256, "__class__"):  # fmt: skip
            self.refused(token(None, "RS256", {"kid": kid}), "is signed with a key that its issuer does not have")
        for odd in ("x" * 257, 1, ["k1"], {"k1": 1}, True):
            self.refused(self.signed({"alg": "RS256", "kid": odd}), "has a kid that is no name of a key")
        self.assertLessEqual(set(self.web.asked), {ISSUER + "/.well-known/openid-configuration", JWKS})

    def test_keys_that_a_token_brings(self) -> None:
        """jwk, jku, x5c and x5u are ignored: the attacker's own key proves nothing, and no request is sent."""
        evil = rsa_key("evil")
        brought: dict[str, Any] = {
            "jwk": jwk(evil),
            "jku": "https://evil.example/keys",
            "x5u": "https://evil.example/cert",
            "x5c": [base64.b64encode(b"certificate").decode()],
        }
        self.web.publish(jwk(evil), issuer="https://evil.example", place="https://evil.example/keys")
        for name, value in brought.items():
            self.refused(token(evil, "RS256", {name: value}), "has a signature that is false")
            missing = token(evil, "RS256", {name: value, "kid": "evil"})
            self.refused(missing, "is signed with a key that its issuer does not have")
        self.assertFalse([url for url in self.web.asked if "evil" in url])

    def test_expired(self) -> None:
        self.refused(token(exp=NOW - 3600), "has expired")
        self.refused(token(exp=0), "has expired")
        self.refused(token(exp=-1), "has expired")

    def test_missing_exp(self) -> None:
        self.refused(token(exp=None), "never expires")

    def test_odd_times(self) -> None:
        """Text, truth, lists, what is no number, and numbers without an end."""
        for odd in ('"9999999999"', "true", "[9999999999]", "null", "1e999", "1" + "0" * 400, "{}"):
            payload = json.dumps(claims(exp=None))[:-1] + f', "exp": {odd}}}'
            self.refused(self.signed({"alg": "RS256", "kid": "k1"}, payload), "has a claim exp that is no time")
        for odd in ("NaN", "Infinity", "-Infinity", "1" * 5000):
            payload = json.dumps(claims(exp=None))[:-1] + f', "exp": {odd}}}'
            text = self.signed({"alg": "RS256", "kid": "k1"}, payload)
            self.refused(text, "is not made of JSON objects without doubled names")
        for name in ("nbf", "iat"):
            text = self.signed({"alg": "RS256", "kid": "k1"}, {**claims(), name: "soon"})
            self.refused(text, f"has a claim {name} that is no time")

    def test_nbf_in_the_future(self) -> None:
        self.refused(token(nbf=NOW + 3600), "is not valid yet")

    def test_iat_in_the_future(self) -> None:
        self.refused(token(iat=NOW + 3600), "was issued in the future")

    def test_wrong_audience(self) -> None:
        for audience in ("other", ["other"], [], "", AUDIENCE + " ", AUDIENCE.upper(), f"{AUDIENCE},other", ["x", "y"]):
            self.refused(token(aud=audience), "is meant for another audience")
        for odd in ({AUDIENCE: 1}, 7, [[AUDIENCE]], [AUDIENCE, 7], True):
            text = self.signed({"alg": "RS256", "kid": "k1"}, {**claims(), "aud": odd})
            self.refused(text, "names no audience")
        self.refused(token(aud=None), "names no audience")

    def test_wrong_issuer(self) -> None:
        why = "is of an issuer that is not accepted here"
        for name in ("https://evil.example", ISSUER + "/", ISSUER.upper(), "", ISSUER + "#", "id.example.org"):
            self.refused(token(iss=name), why)
        for odd in (None, 7, [ISSUER]):
            text = self.signed({"alg": "RS256", "kid": "k1"}, {**claims(), "iss": odd})
            self.refused(text, "names no issuer")
        self.assertEqual(self.web.asked, [])
        # And an issuer that is handed a token of another one does not take it for its own.
        found = issuer(self.web, self.clock).prove(read(token(iss="https://evil.example")))
        self.assertEqual(self.failureResultOf(found, BadIdentity).value.text, "The token is of another issuer.")

    def test_odd_subjects(self) -> None:
        """Subjects that a principal cannot name, and subjects that would be named as another one."""
        why = "names no subject that can be a principal"
        for odd in ("", "a,app:queuey", "a b", "a\n", "é", "x" * 256, 7, None, ["ann"], True):
            text = self.signed({"alg": "RS256", "kid": "k1"}, {**claims(), "sub": odd})
            self.refused(text, why)
        self.assertEqual(self.proven(token(sub="x#y")), {f"sub:{ISSUER}#x#y"})

    def test_halves_of_surrogate_pairs(self) -> None:
        """Such text cannot be written down again, wherever in the token it stands."""
        why = "has a text with half of a surrogate pair"
        for more in ({"sub": "\ud800"}, {"email": "\udfff@example.org"}, {"other": [{"\ud83d": 1}]}):
            self.refused(by_hand({"alg": "RS256", "kid": "k1"}, {**claims(), **more}, lambda _: b"x"), why)
        self.refused(by_hand({"alg": "RS256", "kid": "\ud800"}, claims(), lambda _: b"x"), why)
        self.assertEqual(self.proven(token(name="\U0001f600")), {SUBJECT})

    def test_doubled_claims(self) -> None:
        """Of two that are written, readers do not agree on which counts."""
        why = "is not made of JSON objects without doubled names"
        said = json.dumps(claims())
        for payload in (said[:-1] + ', "sub": "root"}', '{"sub": "root", ' + said[1:]):
            self.refused(self.signed({"alg": "RS256", "kid": "k1"}, payload), why)
        self.refused(self.signed('{"alg": "none", "alg": "RS256", "kid": "k1"}'), why)

    def test_what_is_no_object(self) -> None:
        why = "is not made of JSON objects without doubled names"
        for payload in ("[]", '"x"', "1", "", "{", b"\xff\xfe", "[" * 10_000, json.dumps(claims()) + "x"):
            for text in (self.signed({"alg": "RS256", "kid": "k1"}, payload), self.signed(payload, claims())):
                expected = why if payload else "is no signed JSON web token"
                self.refused(text, expected)

    def test_huge(self) -> None:
        """Nothing is read of a token that is longer than any."""
        self.refused(token(more="x" * 20_000), "has more than 16384 characters")
        self.refused("." * 16_385, "has more than 16384 characters")
        self.assertEqual(self.proven(token(more="x" * 8_000)), {SUBJECT})

    def test_signature_stripped(self) -> None:
        start, _, signature = token().rpartition(".")
        for text in (start, start + ".", start + ".." + signature, "." + token(), token() + "."):
            self.refused(text, "is no signed JSON web token")
        self.refused(start + ".AA", "has a signature that is false")

    def test_signature_changed(self) -> None:
        """Each part is what was signed, to the bit."""
        header, payload, signature = token().split(".")
        other = token(sub="root").split(".")
        for parts in ((header, other[1], signature), (header, payload, other[2]), (other[2], payload, signature)):
            failure = self.failureResultOf(self.tokens.authenticate(Credential("bearer", ".".join(parts))), BadIdentity)
            self.assertNotIn("ann", failure.value.text)
        for at in (0, 50, -3):
            changed = list(signature)
            changed[at] = "A" if changed[at] != "A" else "B"
            self.refused(f"{header}.{payload}.{''.join(changed)}", "has a signature that is false")

    def test_psychic_signature(self) -> None:
        """ECDSA with r and s that are 0, or the group's order: some libraries took them for right."""
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        for r, s in ((0, 0), (0, 1), (1, 0), (order, order), (order, 0)):
            data = without_padding(r, 32) + without_padding(s, 32)
            text = by_hand({"alg": "ES256", "kid": "k2"}, claims(), lambda _, data=data: data)  # type: ignore[misc]
            self.refused(text, "has a signature that is false")

    def test_ecdsa_in_other_forms(self) -> None:
        """DER in the place of two numbers, and numbers of other lengths."""
        good = token(ec_key(), "ES256", {"kid": "k2"})
        self.assertEqual(self.proven(good), {SUBJECT})
        start, _, signature = good.rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        for changed in (raw + b"\0", b"\0" + raw, raw[:-1], raw[:32], b"", raw[:32] + b"\0" + raw[32:]):
            text = f"{start}.{b64(changed)}"
            why = "has a signature that is false" if changed else "is no signed JSON web token"
            self.refused(text, why)
        der = ec_key().sign(start.encode(), ec.ECDSA(hashes.SHA256()))
        decode_dss_signature(der)
        self.refused(f"{start}.{b64(der)}", "has a signature that is false")

    def test_malleable_ecdsa(self) -> None:
        """(r, n - s) is a second signature of the same text by the same key: it is accepted, as the principal of that
        key only."""
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        start, _, signature = token(ec_key(), "ES256", {"kid": "k2"}).rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        turned = order - int.from_bytes(raw[32:], "big")
        self.assertEqual(self.proven(f"{start}.{b64(raw[:32] + without_padding(turned, 32))}"), {SUBJECT})

    def test_base64_in_one_form(self) -> None:
        """Padding, other alphabets, and bits that decoders ignore."""
        header, payload, signature = token().split(".")
        for text in (f"{header}==.{payload}.{signature}", f"{header}.{payload}.{signature}==",
                     f"{header}.{payload}.+{signature[1:]}", f"{header}.{payload}./{signature[1:]}"):  # fmt: skip
            self.refused(text, "is no signed JSON web token")
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        last = alphabet[alphabet.index(signature[-1]) ^ 1]  # 256 bytes leave four bits of the last character unused
        self.refused(f"{header}.{payload}.{signature[:-1]}{last}", "is not base64url")
        self.refused(f"{header}.{payload}.A", "is not base64url")

    def test_whitespace(self) -> None:
        for text in (token() + "\n", " " + token(), token() + " ", token().replace(".", ". ", 1), "\t" + token(),
                     token().replace(".", "\r\n.", 1), "\u00a0" + token(), ""):  # fmt: skip
            self.refused(text, "is no signed JSON web token")

    def test_other_issuers_key(self) -> None:
        """What another one has signed in the name of this one."""
        self.refused(token(rsa_key("other")), "has a signature that is false")

    def test_crit(self) -> None:
        """Extensions that have to be understood are not; b64 among them."""
        why = "has extensions that are not understood here"
        for crit in (["b64"], ["exp"], [], "b64", None, ["x"]):
            self.refused(self.signed({"alg": "RS256", "kid": "k1", "crit": crit, "b64": False}), why)
            self.refused(self.signed({"alg": "RS256", "kid": "k1", "crit": crit}), why)
        self.refused(self.signed({"alg": "RS256", "kid": "k1", "b64": False}), why)

    def test_other_types(self) -> None:
        """Tokens that the same issuer signs for other ends."""
        for kind in ("logout+jwt", "secevent+jwt", "dpop+jwt", "JWE", "", 7, None, ["JWT"], "jwt ", "application/x"):
            self.refused(self.signed({"alg": "RS256", "kid": "k1", "typ": kind}), "is of another type than JWT")

    def test_events(self) -> None:
        """A token that logs a user out, or tells of another event (RFC 8417), from an issuer that gives no type."""
        logout: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
        for events in (logout, {}, 7):
            self.refused(token(events=events), "tells of an event, and not who a user is")

    def test_encrypted(self) -> None:
        """A JWE, or what has as many parts."""
        jwe = ".".join([b64('{"alg":"RSA-OAEP","enc":"A128GCM"}'), *[b64(b"x" * 12)] * 4])
        self.refused(jwe, "is encrypted, which is not taken here")
        self.refused(f"{token()}.AA.AA", "is encrypted, which is not taken here")

    def test_nested(self) -> None:
        """A token as the payload of a token."""
        nested = self.signed({"alg": "RS256", "kid": "k1", "cty": "JWT"}, json.dumps(token()))
        self.refused(nested, "is not made of JSON objects without doubled names")

    def test_weak_keys(self) -> None:
        """Keys that can be broken, that tell their private half, or that are for something else, are no keys."""
        small = rsa_key("small", 1024)
        private = {**RSAAlgorithm.to_jwk(rsa_key(), as_dict=True), "kid": "k1", "key_ops": ["sign", "verify"]}
        for published in (jwk(small), private, jwk(rsa_key(), use="enc"), jwk(rsa_key(), key_ops=["encrypt"]),
                          jwk(rsa_key(), alg="RS512"), {**jwk(rsa_key()), "n": ""}, {"kty": "RSA", "kid": "k1"},
                          {**jwk(rsa_key()), "kid": 7}):  # fmt: skip
            web = FakeWeb()
            web.publish(published, jwk(ec_key(), "k2"))
            signer = small if published.get("n") == jwk(small)["n"] else rsa_key()
            text = by_hand(
                {"alg": "RS256", "kid": "k1"},
                claims(),
                lambda data, signer=signer: signer.sign(data, padding.PKCS1v15(), hashes.SHA256()),  # type: ignore[misc]
            )
            self.refused(text, "is signed with a key that its issuer does not have", bearer(web, self.clock))

    def test_rsa_without_a_check(self) -> None:
        """A signature that is a number as it is, for keys whose exponent is small."""
        key = rsa_key()
        assert isinstance(key, rsa.RSAPrivateKey)
        for data in (b"\0" * 256, b"\1" + b"\0" * 255, without_padding(key.public_key().public_numbers().n, 256)):
            text = by_hand({"alg": "RS256", "kid": "k1"}, claims(), lambda _, data=data: data)  # type: ignore[misc]
            self.refused(text, "has a signature that is false")
