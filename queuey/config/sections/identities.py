"""Identity providers: the sections ``[browserid]`` and ``[jwt:NAME]``, and the keys of applications for them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from queuey.config.declarations.declared import Key, key_of, keys_of
from queuey.config.declarations.users import BrowserIDSettings, IdentitySettings, IssuerSettings
from queuey.config.mistakes import Report, nearest, plain
from queuey.config.reading import Section
from queuey.config.sections.reader import APPLICATION_PREFIX, ISSUER_PREFIX, Reader
from queuey.config.settings import ApplicationSettings

BROWSERID: Final = "browserid"

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,50}")
_ALLOWED_NAME: Final = f"1 to 50 letters, digits, dots, underscores and hyphens, and not {BROWSERID}"


def identities(sections: Mapping[str, Section], base: Path, report: Report) -> IdentitySettings:
    """Everybody that the file names."""
    browserid = (
        _browserid(Reader(BROWSERID, sections[BROWSERID].values, base, report)) if BROWSERID in sections else None
    )
    issuers = [
        _issuer(title, Reader(title, section.values, base, report))
        for title, section in sections.items()
        if title.startswith(ISSUER_PREFIX)
    ]
    for name, count in Counter(issuer.name for issuer in issuers).items():
        if count > 1:
            report.problem(f"[{ISSUER_PREFIX}{plain(name)}]", "stands twice")
    found = IdentitySettings(browserid, tuple(issuers))
    if found.names:
        _refuse_missing_libraries(report)
    return found


def refuse_unknown_identities(named: Iterable[ApplicationSettings], known: tuple[str, ...], report: Report) -> None:
    """Report every application that names an identity provider without a section."""
    for application in named:
        for name in application.policy.identities:
            if name not in known:
                place = f"[{APPLICATION_PREFIX}{application.name}] identities"
                allowed = ", ".join(known) or "names of sections [browserid] and [jwt:NAME], of which there is none"
                report.problem(place, f"{plain(name)} has no section", allowed=allowed, meant=nearest(name, known))


def _browserid(reader: Reader) -> BrowserIDSettings:
    reader.refuse_unknown(tuple(key.name for key in keys_of(BrowserIDSettings)))
    _refuse_empty(reader, key_of(BrowserIDSettings, "verifier"), key_of(BrowserIDSettings, "audience"))
    return reader.section(BrowserIDSettings)


def _issuer(title: str, reader: Reader) -> IssuerSettings:
    name = title.removeprefix(ISSUER_PREFIX).strip()
    if name == BROWSERID or _NAME.fullmatch(name) is None:
        reader.report.problem(f"[{plain(title)}]", "is not a name of an issuer", allowed=_ALLOWED_NAME)
    reader.refuse_unknown(tuple(key.name for key in keys_of(IssuerSettings)))
    _refuse_empty(reader, key_of(IssuerSettings, "issuer"), key_of(IssuerSettings, "audience"))
    return reader.section(IssuerSettings, name=name)


def _refuse_empty(reader: Reader, *needed: Key[Any]) -> None:
    for key in needed:
        if not reader.values.get(key.name):
            reader.report.problem(f"[{plain(reader.name)}]", f"needs {key.name}", allowed=key.allowed)


def _refuse_missing_libraries(report: Report) -> None:
    missing = [name for name in ("treq", "jwt", "cryptography") if find_spec(name) is None]
    if missing:
        what = "need libraries that are not installed; pip install 'queuey[identities]' installs them"
        report.problem("[browserid] and [jwt:NAME]", what)
