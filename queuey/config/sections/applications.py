"""The applications of a file: their policies, and the digests of their keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from queuey.config.declarations import policies
from queuey.config.declarations.storage import CassandraStorage, Storage
from queuey.config.kinds.kinds import size_text
from queuey.config.mistakes import Mistake, Report, each, nearest, plain
from queuey.config.reading import Section
from queuey.config.sections.reader import APPLICATION_KEYS, APPLICATION_PREFIX, Reader
from queuey.config.settings import ApplicationSettings
from queuey.model.applications.application import ALLOWED_NAME, digest_of, name_is_good
from queuey.model.applications.policy import COUNTED, Policy
from queuey.model.queues.queue import Consistency, Guarantee

MIN_KEY: Final = 8
"""Characters below which a key is warned of."""

_DIGEST: Final = re.compile(r"sha256:([0-9A-Fa-f]{64})")
_UNSENDABLE: Final = re.compile(r"[^!-~]|[;,]")


def digest_line(name: str, key: str) -> str:
    """The line of an ini file that lets an application in by a key, without telling the key."""
    return f"{name} = sha256:{digest_of(key).hex()}"


def applications(
    sections: Mapping[str, Section], max_body: int, base: Path, report: Report
) -> tuple[ApplicationSettings, ...]:
    """Every application that the file names, by name.

    :param max_body: that of the server, which no application may exceed.
    """
    found: dict[str, Policy] = {}
    digests: dict[str, set[bytes]] = {}
    for name, reader in _readers(sections, base, report):
        found[name] = _policy(name, reader, max_body)
        digests[name] = _digests(reader.values.get("keys", ""), reader.place("keys"), report)
    for name, text in _application_keys(sections, report):
        found.setdefault(name, Policy(name, max_body))
        digests.setdefault(name, set()).update(_digests(text, f"[{APPLICATION_KEYS}] {name}", report))
    _refuse_shared_keys(digests, report)
    _warn_of_missing_keys(digests, report)
    return tuple(ApplicationSettings(name, frozenset(digests[name]), found[name]) for name in sorted(found))


def refuse_counting(named: Iterable[ApplicationSettings], report: Report) -> None:
    """Report every application whose messages would have to be counted, for a backend that cannot."""
    for one in named:
        for name in COUNTED:
            if getattr(one.policy, name) is not None:
                place = f"[{APPLICATION_PREFIX}{one.name}] {name}"
                counted = "bytes" if name.endswith("bytes") else "messages"
                report.problem(
                    place, f"cannot be had with backend = cassandra: a cluster does not count {counted} exactly"
                )


def refuse_guarantees(named: Iterable[ApplicationSettings], storage: Storage, report: Report) -> None:
    """Report every application that promises more than the storage can keep, or than its own queues can."""
    for one in named:
        reason = _not_kept(one.policy, storage)
        if reason:
            place = f"[{APPLICATION_PREFIX}{one.name}] guarantee"
            report.problem(place, f"{one.policy.guarantee.value} cannot be kept {reason}")


def _not_kept(policy: Policy, storage: Storage) -> str:
    """Return why a guarantee cannot be kept; empty if it can."""
    if policy.guarantee is Guarantee.AT_LEAST_ONCE:
        return ""
    if isinstance(storage, CassandraStorage):
        if storage.protocol == "thrift":
            return "with protocol = thrift, over which there are no consumer groups"
        if storage.multi_dc and policy.consistency is not Consistency.VERY_STRONG:
            return "with multi_dc unless consistency = very_strong"
    if policy.guarantee is Guarantee.EXACTLY_ONCE and policy.consistency is Consistency.WEAK:
        return "with consistency = weak"
    return ""


def _readers(sections: Mapping[str, Section], base: Path, report: Report) -> list[tuple[str, Reader]]:
    known = tuple(key.name for key in policies.APPLICATION)
    found: dict[str, Reader] = {}
    for title, section in sections.items():
        if not title.startswith(APPLICATION_PREFIX):
            continue
        name = title.removeprefix(APPLICATION_PREFIX).strip()
        reader = Reader(title, section.values, base, report)
        reader.refuse_unknown(known)
        if not name_is_good(name):
            report.problem(f"[{plain(title)}]", "is not a name of an application", allowed=ALLOWED_NAME)
        elif name in found:
            report.problem(f"[{plain(title)}]", f"is the same application as [{found[name].name}]")
        else:
            found[name] = reader
    return list(found.items())


def _application_keys(sections: Mapping[str, Section], report: Report) -> list[tuple[str, str]]:
    section = sections.get(APPLICATION_KEYS, Section(0))
    for name in section.values:
        if not name_is_good(name):
            place = f"[{APPLICATION_KEYS}] {plain(name)}"
            report.problem(place, "is not a name of an application", allowed=ALLOWED_NAME)
    return [(name, text) for name, text in section.values.items() if name_is_good(name)]


def _policy(name: str, reader: Reader, max_body: int) -> Policy:
    own_max_body = reader.value(policies.MAX_BODY)
    if own_max_body is not None and own_max_body > max_body:
        what = f"is above that of [server], which is {size_text(max_body)}"
        reader.report.problem(reader.place("max_body"), what, allowed=policies.MAX_BODY.allowed)
    for rate, burst in policies.BURSTS:
        if reader.values.get(burst.name) and not reader.values.get(rate.name):
            reader.report.problem(reader.place(burst.name), f"has no effect without {rate.name}")
    return Policy(
        application=name,
        max_body=max_body if own_max_body is None else own_max_body,
        **{attribute: reader.value(key) for attribute, key in {**policies.POLICY, **policies.LIMITS}.items()},
    )


def _digests(text: str, place: str, report: Report) -> set[bytes]:
    lines = [line for line in text.split("\n") if line]
    if any(len(line) < MIN_KEY for line in lines):
        report.warn(place, f"has a key shorter than {MIN_KEY} characters, which can be guessed")
    try:
        return set(each(lines, _digest))
    except* Mistake as group:
        report.mistakes(place, group, policies.KEYS.allowed)
    return set()


def _digest(key: str) -> bytes:
    """Return the digest of a key. Errors do not repeat the key, since they are logged."""
    match = _DIGEST.fullmatch(key)
    if match is not None:
        return bytes.fromhex(match[1])
    if key.lower().startswith("sha256:"):
        raise Mistake("a digest is not 64 hex digits after sha256:")
    if _UNSENDABLE.search(key) is not None:
        raise Mistake("a key has a space, a comma, a semicolon or a character outside ASCII, and cannot be sent")
    return digest_of(key)


def _refuse_shared_keys(digests: Mapping[str, set[bytes]], report: Report) -> None:
    owners: dict[bytes, str] = {}
    for name in sorted(digests):
        others = {owners.setdefault(digest, name) for digest in digests[name]} - {name}
        for other in sorted(others):
            report.problem(f"application {name}", f"has the same key as application {other}; each needs its own")


def _warn_of_missing_keys(digests: Mapping[str, set[bytes]], report: Report) -> None:
    for name in sorted(digests):
        if not digests[name]:
            meant = nearest(name, (other for other in digests if digests[other]))
            what = "has no key, so no client can write to it"
            report.warn(f"application {name}", f"{what}; did you mean {meant}?" if meant else what)
    if not digests:
        report.warn(
            f"[{APPLICATION_KEYS}]", "names no application, so only applications of the store can use the daemon"
        )
