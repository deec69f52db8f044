"""How a request is brought to a server: addresses, credentials, attempts, pauses."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union
from urllib.parse import urlsplit

from queuey_client.core.claim_keys import ClaimKeys
from queuey_client.core.encoding import query_text, segment
from queuey_client.core.errors import QueueyError, Unavailable, error_of, no_answer, success_error
from queuey_client.core.parsing import result_of
from queuey_client.core.retry import Budget, Retry
from queuey_client.core.steps import Answer, Ask, Call, NoAnswer, Open, Send, Sleep, Steps
from queuey_client.core.tracing import trace_headers

Secret = Union[str, Callable[[], str]]

AVOIDED = 5.0
"""Seconds for which a server that did not answer is left alone while there are others."""

KEPT = 60.0
"""Seconds for which the promises of an application are kept."""

MAX_REMEMBERED = 1000
"""Queues and groups of which a client keeps in mind that they take no keys."""

LEAST_TIMEOUT = 0.5
"""Seconds that the last attempt has at the least, however near the deadline is."""


class Endpoints:
    """The servers of a deployment. Each request takes the next one that did not fail lately."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        for url in self._urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise ValueError(f"{url!r} is no URL that begins with http:// or https://")
            if parts.query or parts.fragment or "@" in parts.netloc:
                raise ValueError(f"{url!r} has more than a host, a port and a path")
        if not self._urls:
            raise ValueError("there is no URL of a server")
        self._until = dict.fromkeys(self._urls, 0.0)
        self._turn = 0
        self._lock = threading.Lock()

    @property
    def first(self) -> str:
        """The one that signed URLs begin with."""
        return self._urls[0]

    def pick(self, now: float) -> str:
        """Return the next one; the one that failed longest ago if all did."""
        with self._lock:
            turn, self._turn = self._turn, self._turn + 1
            ring = [self._urls[(turn + step) % len(self._urls)] for step in range(len(self._urls))]
            return min(ring, key=lambda url: max(self._until[url], now))

    def failed(self, url: str, now: float) -> None:
        """Leave one alone for a while."""
        with self._lock:
            self._until[url] = now + AVOIDED


class Credentials:
    """The key of an application, the token of a user, or both. Functions are asked again after a 401."""

    def __init__(self, key: Secret | None, token: Secret | None) -> None:
        self._sources = [(word, source) for word, source in (("Application", key), ("Bearer", token)) if source]
        self._known: dict[str, str] = {}
        self.key = key or None

    @property
    def renewable(self) -> bool:
        """Whether asking again may bring another one."""
        return any(callable(source) for _, source in self._sources)

    def forget(self) -> None:
        """Ask the functions again the next time."""
        self._known.clear()

    def application_key(self) -> str:
        """Return the application's key. :raise ValueError: if there is none."""
        if self.key is None:
            raise ValueError("this needs the application's key")
        return self._secret("Application", self.key)

    def headers(self) -> dict[str, str]:
        """Return the header field ``Authorization``; none without credentials."""
        shown = [f"{word} {self._secret(word, source)}" for word, source in self._sources]
        return {"Authorization": "; ".join(shown)} if shown else {}

    def _secret(self, word: str, source: Secret) -> str:
        if isinstance(source, str):
            return source
        if word not in self._known:
            self._known[word] = source()
        return self._known[word]


class Session:
    """What all calls of a client share.

    :param signed: the parameters of a signed URL, which go with each request instead of a key.
    :param clock: seconds that never go back.
    :param random: a number from 0 to 1.
    """

    def __init__(
        self,
        urls: Sequence[str],
        application: str,
        *,
        credentials: Credentials,
        retry: Retry,
        timeout: float,
        user_agent: str,
        signed: tuple[tuple[str, str], ...] = (),
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.endpoints = Endpoints(urls)
        self.application = application
        self.credentials = credentials
        self.retry = retry
        self.timeout = timeout
        self.clock = clock
        self.random = random
        self._budget = Budget(retry.budget)
        self._signed = signed
        self._agent = user_agent
        self._root = f"/v2/{segment(application)}"
        self._promises: tuple[float, Mapping[str, Any]] | None = None
        self._without_keys: dict[str, None] = {}
        self._lock = threading.Lock()
        self.claim_keys = ClaimKeys()

    def exchange(self, call: Call) -> Steps[Answer]:
        """Send a request until it is answered, as :class:`Retry` says.

        :raise QueueyError: what the server, or the lack of it, made of the last attempt. ``applied`` is about all
            attempts together.
        :raise NotStreaming: the answer should be received piece by piece, and the transport cannot do that.
        """
        began = self.clock()
        deadline = began + self.retry.deadline + call.wait
        self._budget.request(began)
        attempts, renewed, unsure = 0, False, False
        while True:
            attempts += 1
            base = self.endpoints.pick(self.clock())
            answer = yield from self._attempt(call, base, deadline)
            if isinstance(answer, NoAnswer):
                error: QueueyError = no_answer(answer)
            elif answer.status >= 300:
                error = error_of(answer)
            else:
                cut = success_error(call.method, answer)
                if cut is None:
                    return answer
                error = cut
            if call.method == "GET":
                error.applied = "no"
            error.attempts = attempts
            if isinstance(error, Unavailable) and error.status != 408:
                self.endpoints.failed(base, self.clock())
            unsure = unsure or error.applied == "unknown"
            if error.status == 401 and self.credentials.renewable and not renewed:
                renewed = True
                self.credentials.forget()
                continue
            wanted = self.retry.wanted(error, call.safe)
            if unsure and error.applied == "no":
                error.applied = "unknown"
            if not wanted:
                raise error
            yield from self._pause(attempts, deadline, error)

    def _attempt(self, call: Call, base: str, deadline: float) -> Steps[Answer | NoAnswer]:
        headers = {"User-Agent": self._agent, **trace_headers(), **call.headers, **self.credentials.headers()}
        url = base + self._root + call.path + query_text((*call.query, *self._signed))
        left = max(deadline - self.clock(), LEAST_TIMEOUT)
        timeout = self.timeout + call.wait
        if self.retry.deadline > 0:
            timeout = min(timeout, left)
        ask = Ask(call.method, url, headers, call.body, timeout, call.wait > 0 or call.streams)
        try:
            answer: Answer = yield Open(ask) if call.streams else Send(ask)
        except NoAnswer as lost:
            return lost
        return answer

    def pause(self, attempts: int, began: float, error: QueueyError) -> Steps[None]:
        """Wait before another attempt at something that began at that time, in steps of its own.

        :raise QueueyError: the error, if it would begin after the deadline.
        """
        yield from self._pause(attempts, began + self.retry.deadline, error)

    def _pause(self, attempts: int, deadline: float, error: QueueyError) -> Steps[None]:
        now = self.clock()
        pause = max(self.retry.pause(attempts, error.retry_after, self.random()), self._budget.take(now))
        if now + pause >= deadline:
            self._budget.give_back()
            raise error
        yield Sleep(pause)

    def promises(self) -> Steps[Mapping[str, Any]]:
        """Ask what the application is promised, at most once a minute."""
        known = self._promises
        if known is not None and self.clock() - known[0] < KEPT:
            return known[1]
        answer = yield from self.exchange(Call("GET", ""))
        found: Mapping[str, Any] = result_of(answer, dict)
        self._promises = (self.clock(), found)
        return found

    def takes_keys(self, what: str) -> bool:
        """Tell whether keys of the client's own are sent for a queue, or a group."""
        return what not in self._without_keys

    def refuses_keys(self, what: str) -> None:
        """Keep in mind that a queue, or a group, takes no keys; of the last thousand of them."""
        with self._lock:
            self._without_keys[what] = None
            while len(self._without_keys) > MAX_REMEMBERED:
                self._without_keys.pop(next(iter(self._without_keys)))
