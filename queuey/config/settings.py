"""All settings of a daemon as frozen values, how they are shown, and what of them a running daemon can take over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from queuey.config.declarations import policies
from queuey.config.declarations.declared import RESTART, Key, in_force, reloaded, shown
from queuey.config.declarations.observed import LoggingSettings, MetricsSettings, TracingSettings
from queuey.config.declarations.pushes import PushSettings
from queuey.config.declarations.server import ServerSettings
from queuey.config.declarations.sqs import SqsSettings
from queuey.config.declarations.storage import BACKEND, BACKENDS, Storage
from queuey.config.declarations.users import IdentitySettings
from queuey.config.kinds.kinds import lines_text, size_text
from queuey.config.overrides import NONE, Overrides
from queuey.model.applications.policy import Policy


@attrs.frozen
class ApplicationSettings:
    """One application.

    :ivar digests: the SHA-256 digests of its keys.
    """

    name: str
    digests: frozenset[bytes] = attrs.field(repr=False)
    policy: Policy


@attrs.frozen
class Settings:
    """All settings of a daemon.

    :ivar source: the file they are from, ``None`` for the built-in ones.
    :ivar applications: by name.
    :ivar max_age: seconds for which applications of the store are cached.
    :ivar warnings: one line each, for the owner of the file.
    :ivar identities: the services that say who a user is.
    :ivar overrides: the options of the command line, which hold when the file is read again too.
    """

    source: Path | None
    server: ServerSettings
    storage: Storage
    applications: tuple[ApplicationSettings, ...]
    logging: LoggingSettings
    max_age: float
    warnings: tuple[str, ...] = ()
    identities: IdentitySettings = IdentitySettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    push: PushSettings = PushSettings()
    sqs: SqsSettings = SqsSettings()
    overrides: Overrides = NONE

    def describe(self) -> list[str]:
        """Return the settings in force as lines of an ini file; keys are shown by their digests only."""
        parts = [
            _section("server", shown(self.server)),
            _section("storage", _storage(self.storage)),
            _section("applications", [(policies.MAX_AGE, policies.MAX_AGE.kind.show(self.max_age))]),
            _section("logging", shown(self.logging)),
            _section("metrics", shown(self.metrics)),
            _section("tracing", shown(self.tracing)),
            _section("push", shown(self.push)),
            _section("sqs", shown(self.sqs)),
        ]
        if self.identities.browserid is not None:
            parts.append(_section("browserid", shown(self.identities.browserid)))
        parts += [_section(f"jwt:{issuer.name}", shown(issuer)) for issuer in self.identities.issuers]
        parts += [_section(f"application:{one.name}", _application(one)) for one in self.applications]
        return [line for number, part in enumerate(parts) for line in (*([""] if number else []), *part)]


Pairs = Iterator[tuple[Key[Any], str]] | list[tuple[Key[Any], str]]


def _section(name: str, pairs: Pairs) -> list[str]:
    lines = [f"[{name}]"]
    for key, text in pairs:
        lines += f"{key.name} = {text}".rstrip(" ").split("\n")
    return lines


def _storage(storage: Storage) -> Iterator[tuple[Key[Any], str]]:
    yield BACKEND, _backend(storage)
    yield from shown(storage)


def _backend(storage: Storage) -> str:
    return next(name for name, kind in BACKENDS.items() if isinstance(storage, kind))


def _application(application: ApplicationSettings) -> Iterator[tuple[Key[Any], str]]:
    policy = application.policy
    for attribute, key in {**policies.POLICY, **policies.LIMITS}.items():
        yield key, key.kind.show(getattr(policy, attribute))
    yield policies.MAX_BODY, size_text(policy.max_body)
    yield policies.KEYS, lines_text(sorted(f"sha256:{digest.hex()}" for digest in application.digests))


def needs_restart(old: Settings, new: Settings) -> tuple[str, ...]:
    """Return the settings that differ and cannot be taken over by a running daemon, as ``[section] key``."""
    before, after = _fixed(old), _fixed(new)
    # What only one of two backends has goes with the backend itself.
    return tuple(key.place for key in before if key in after and before[key] != after[key])


def _fixed(settings: Settings) -> dict[Key[Any], Any]:
    found: dict[Key[Any], Any] = {BACKEND: _backend(settings.storage)}
    for part in (
        settings.server,
        settings.storage,
        settings.logging,
        settings.metrics,
        settings.tracing,
        settings.push,
        settings.sqs,
    ):
        found.update({key: value for key, value in in_force(part) if key.change == RESTART})
    return found


def with_reloadable(old: Settings, new: Settings) -> Settings:
    """Return the settings that a running daemon has once it has taken over of ``new`` all that it can."""
    return attrs.evolve(
        new,
        server=reloaded(old.server, new.server),
        storage=old.storage,
        logging=reloaded(old.logging, new.logging),
        metrics=reloaded(old.metrics, new.metrics),
        tracing=old.tracing,
        push=reloaded(old.push, new.push),
        sqs=old.sqs,
    )
