"""Those who vouch for users, as servers of their own on loopback: an OpenID Connect issuer and a verifier of BrowserID.

Both do what their protocols say, with keys of their own; and on demand they misbehave.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_jwk(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    found: dict[str, Any] = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    found.pop("key_ops", None)
    return found


class Server:
    """A server whose answers are made by methods.

    :ivar misbehave: answers in the place of what the server does, where it is set: with the status, the fields and the
        body of an answer.
    :ivar asked: the path of each request.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """:param tls: what it serves TLS with, if it does."""
        self.misbehave: Callable[[], tuple[int, dict[str, str], bytes]] | None = None
        self.asked: list[str] = []
        serve = self._serve

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                serve(self, {})

            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                serve(self, {name: values[0] for name, values in parse_qs(form, strict_parsing=True).items()})

            def handle(self) -> None:
                with suppress(ConnectionError, ssl.SSLError):  # a client that does not trust us has gone
                    super().handle()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            # The handshake is made where the request is handled: one that fails affects no other request.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        self.asked.append(handler.path)
        status, fields, body = (self.misbehave or (lambda: self._answer(handler.path, form)))()
        with suppress(ConnectionError):  # a client that has waited for too long has gone
            handler.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **fields}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)

    def _answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        document = self.document(path, form)
        return (404, {}, b"{}") if document is None else (200, {}, json.dumps(document).encode())

    def document(self, path: str, form: dict[str, str]) -> dict[str, Any] | None:
        """What is answered; ``None`` where there is nothing at a path."""
        raise NotImplementedError


class Issuer(Server):
    """An OpenID Connect issuer (OpenID Connect Discovery 1.0)."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.keys = {"first": new_key()}

    def document(self, path: str, form: dict[str, str]) -> dict[str, Any] | None:
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "jwks_uri": self.url + "/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        if path == "/keys":
            return {"keys": [{**public_jwk(key), "kid": kid, "use": "sig"} for kid, key in self.keys.items()]}
        return None

    def token(self, kid: str = "first", **more: Any) -> str:
        """A token of a user."""
        claims = {"iss": self.url, "sub": "ann", "aud": "queuey", "exp": int(time.time()) + 600, **more}
        return jwt.encode(claims, self.keys[kid], "RS256", {"kid": kid})


class Verifier(Server):
    """A verifier of BrowserID, and the only issuer that it knows.

    An assertion is a certificate, which says which key a user has, and what that user signs for one audience; both are
    tokens of the form that JSON web tokens have, with times in milliseconds, parted by a tilde.
    """

    HOST = "login.example.org"

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self._key, self._user = new_key(), new_key()

    def assertion(self, email: str, audience: str, seconds: float = 120, key: rsa.RSAPrivateKey | None = None) -> str:
        """What a browser makes for one site.

        :param key: that signs the certificate; the issuer's own, if it is none of a stranger's.
        """
        expires = int((time.time() + seconds) * 1000)
        said = {"iss": self.HOST, "principal": {"email": email}, "public-key": public_jwk(self._user), "exp": expires}
        certificate = jwt.encode(said, key or self._key, "RS256")
        return f"{certificate}~{jwt.encode({'aud': audience, 'exp': expires}, self._user, 'RS256')}"

    def document(self, path: str, form: dict[str, str]) -> dict[str, Any] | None:
        try:
            return self._verify(form["assertion"], form["audience"])
        except (jwt.PyJWTError, ValueError, KeyError) as error:
            return {"status": "failure", "reason": repr(error)}

    def _verify(self, text: str, audience: str) -> dict[str, Any]:
        certificate, _, assertion = text.partition("~")
        said = self._signed(certificate, self._key.public_key())
        meant = self._signed(assertion, RSAAlgorithm.from_jwk(said["public-key"]))
        expires = min(said["exp"], meant["exp"])
        if meant["aud"] != audience or expires <= time.time() * 1000:
            raise ValueError("audience mismatch, or expired")
        email = said["principal"]["email"]
        return {"status": "okay", "email": email, "audience": meant["aud"], "expires": expires, "issuer": said["iss"]}

    def _signed(self, text: str, key: Any) -> dict[str, Any]:
        jwt.PyJWS().decode(text, key, ["RS256"])
        payload = text.split(".")[1]
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return found
