"""The secrets of a push: sealed in the store with the keys of the settings, and opened for requests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import attrs

from queuey.errors import InvalidRequest
from queuey.interfaces import ISeals, Unsealable
from queuey.model.pushes.settings import (
    MASK,
    MAX_HEADER_BYTES,
    Push,
    closed_push,
    header_bytes,
    masked,
    open_push,
    private_part,
)

Fields = tuple[tuple[str, str], ...]

NO_LIBRARIES: Final = "The libraries for pushes are not installed."

_ELSEWHERE: Final = f'"{MASK}" keeps a value for the same scheme, host and port; give the values again for another one.'


@attrs.frozen
class OpenPush:
    """A push with everything that a request needs.

    :ivar push: open.
    :ivar secrets: that sign.
    """

    push: Push
    secrets: tuple[bytes, ...] = attrs.field(repr=False)


@attrs.frozen
class PushSealing:
    """Opens and closes pushes.

    :ivar current: returns what seals now; the result changes with the keys. ``None``: the libraries are missing.
    """

    current: Callable[[], ISeals | None]

    @property
    def usable(self) -> bool:
        """Whether secrets can be sealed."""
        seals = self.current()
        return seals is not None and seals.usable

    def seal(self, secret: bytes) -> bytes:
        """Seal a secret.

        :raise Unsealable: there is no key.
        """
        return self._seals().seal(secret)

    def opened(self, push: Push) -> Push:
        """Return a push with its URL and the values of its header fields.

        :raise Unsealable: they cannot be opened.
        """
        return push if push.sealed is None else open_push(push, self._seals().unseal(push.sealed))

    def opened_whole(self, push: Push) -> OpenPush:
        """Return a push with all its secrets.

        :raise Unsealable: they cannot be opened.
        """
        seals = self._seals()
        return OpenPush(self.opened(push), tuple(seals.unseal(one.sealed) for one in push.secrets))

    def shown(self, push: Push) -> Push:
        """Return a push as its application sees it: with its URL, and with masks for the values of its header fields.
        If it cannot be opened, only the scheme, host and port of the URL are shown."""
        try:
            found = self.opened(push)
        except Unsealable:
            found = push
        return masked(found)

    def edited(self, current: Push | None, edit: Callable[[Push | None], Push]) -> tuple[Push, Push]:
        """Change a push.

        :param current: the push that is there, as it is stored.
        :param edit: is called with that push, open if it can be opened, but with masks for the values of its header
            fields. A value that is ``MASK`` afterwards stays as it is.
        :return: the new push as it may be sent, and as it is stored. What was not changed stays sealed as it is.
        :raise InvalidRequest: a value is to stay, and there is none, or the push is to be sent to another scheme, host
            or port: the value may be a credential of the endpoint that it was given for.
        :raise Unsealable: there is no key, or what is to stay cannot be opened.
        """
        base = current
        if current is not None:
            with suppress(Unsealable):  # which is no problem if the change gives the URL and all values
                base = self.opened(current)
        found = edit(None if base is None else masked(base))
        keeps = MASK in dict(found.headers).values()
        if base is not None:
            if keeps and _origin(found) != _origin(base):
                raise InvalidRequest({"headers": _ELSEWHERE})
            if base.sealed is not None:
                if _private(found) == _private(base):
                    return found, found
                if found.url == base.url or keeps:
                    self.opened(base)  # raises the reason
        found = attrs.evolve(found, headers=_kept(found.headers, base), sealed=None)
        unchanged = base is not None and _private(found) == _private(base)
        if unchanged and current is not None and current.sealed is not None:
            return found, attrs.evolve(found, url=current.url, headers=current.headers, sealed=current.sealed)
        return found, closed_push(found, self.seal(private_part(found)))

    def resealed(self, push: Push) -> Push | None:
        """Seal everything secret of a push with the first key.

        :param push: as it is stored.
        :return: ``None`` if it is sealed with that key already.
        :raise Unsealable: there is no key, or something cannot be opened.
        """
        seals = self._seals()
        private = seals.seal(private_part(push)) if push.sealed is None else seals.resealed(push.sealed)
        secrets = [(one, seals.resealed(one.sealed)) for one in push.secrets]
        if private is None and all(sealed is None for _, sealed in secrets):
            return None
        found = closed_push(push, private) if push.sealed is None and private is not None else push
        return attrs.evolve(
            found,
            sealed=private or push.sealed,
            secrets=tuple(one if sealed is None else attrs.evolve(one, sealed=sealed) for one, sealed in secrets),
        )

    def _seals(self) -> ISeals:
        seals = self.current()
        if seals is None:
            raise Unsealable(NO_LIBRARIES)
        return seals


def _origin(push: Push) -> tuple[str, str, int]:
    target = push.target
    return target.scheme, target.host, target.port


def _private(push: Push) -> tuple[str, Fields]:
    return push.url, push.headers


def _kept(headers: Fields, base: Push | None) -> Fields:
    """Return header fields with the values of ``base`` where they are masked."""
    stored = {} if base is None else {name.lower(): value for name, value in base.headers}
    found = []
    for name, value in headers:
        if value == MASK:
            if name.lower() not in stored:
                raise InvalidRequest({"headers": f'"{name}" is "{MASK}", which keeps a value, and the push has none.'})
            value = stored[name.lower()]
        found.append((name, value))
    if header_bytes(found) > MAX_HEADER_BYTES:
        problem = f"The fields have more than {MAX_HEADER_BYTES} bytes with the values that stay."
        raise InvalidRequest({"headers": problem})
    return tuple(found)
