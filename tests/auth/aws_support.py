"""A signer of AWS requests that shares no code with the one that checks them."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import attrs

from queuey.interfaces import AwsRequest
from queuey.model.applications.aws_keys import AwsKey


def hmac256(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode("utf-8"), hashlib.sha256).digest()


@attrs.frozen
class Signing:
    """How a request is signed; each part can be another than it should be."""

    key: AwsKey
    now: float
    method: str = "POST"
    path: str = "/sqs"
    query: str = ""
    body: bytes = b"{}"
    host: str = "localhost"
    region: str = "us-east-1"
    service: str = "sqs"
    end: str = "aws4_request"
    algorithm: str = "AWS4-HMAC-SHA256"
    scope_date: str | None = None
    more: dict[str, str] = attrs.field(factory=dict)
    unsigned: dict[str, str] = attrs.field(factory=dict)

    @property
    def time(self) -> str:
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.now))

    def fields(self) -> dict[str, str]:
        """The header fields of the request, its signature among them."""
        signed = {"host": self.host, "x-amz-date": self.time, **{name.lower(): v for name, v in self.more.items()}}
        names = ";".join(sorted(signed))
        canonical = "\n".join(
            [
                self.method,
                self.path,
                self.query,
                *[f"{name}:{' '.join(signed[name].split())}" for name in sorted(signed)],
                "",
                names,
                hashlib.sha256(self.body).hexdigest(),
            ]
        )
        date = self.scope_date or self.time[:8]
        scope = f"{date}/{self.region}/{self.service}/{self.end}"
        text = "\n".join([self.algorithm, self.time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.key.secret).encode()
        for part in (date, self.region, self.service, self.end):
            key = hmac256(key, part)
        signature = hmac256(key, text).hex()
        authorization = (
            f"{self.algorithm} Credential={self.key.id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return {**signed, **self.unsigned, "authorization": authorization}

    def request(self, **changed: Any) -> AwsRequest:
        """The request as it arrives; ``fields`` of the changes replace those of the same name, ``None`` drops one."""
        fields = {name.encode(): [value.encode()] for name, value in self.fields().items()}
        for name, values in changed.pop("fields", {}).items():
            if values is None:
                del fields[name.encode()]
            else:
                fields[name.encode()] = [values] if isinstance(values, bytes) else values
        given = AwsRequest(self.method.encode(), self.path.encode(), self.query.encode(), fields, self.body)
        return attrs.evolve(given, **changed)
