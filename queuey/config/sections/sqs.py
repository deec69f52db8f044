"""Clients of Amazon SQS: the section ``[sqs]``."""

from __future__ import annotations

from collections.abc import Sequence

from queuey.config.declarations.declared import key_of, keys_of
from queuey.config.declarations.server import ServerSettings
from queuey.config.declarations.sqs import Signatures, SqsSettings
from queuey.config.kinds.endpoints import local
from queuey.config.mistakes import Report
from queuey.config.sections.reader import Reader
from queuey.config.settings import ApplicationSettings


def sqs(reader: Reader) -> SqsSettings:
    """The section."""
    reader.refuse_unknown(tuple(key.name for key in keys_of(SqsSettings)))
    return reader.section(SqsSettings)


def refuse_shared_endpoints(found: SqsSettings, server: ServerSettings, report: Report) -> None:
    """Report endpoints that are those of the clients' port too: one of the two could not listen."""
    for shared in [one for one in found.listen if one in server.http]:
        place = key_of(SqsSettings, "listen").place
        report.problem(place, f"{shared} stands in [server] http too, where SQS is served as well")


def refuse_ignored_signatures(
    found: SqsSettings, server: ServerSettings, applications: Sequence[ApplicationSettings], report: Report
) -> None:
    """Report signatures that are ignored on a port that others reach, or for no application that uses SQS."""
    place = key_of(SqsSettings, "signatures").place
    if found.signatures is not Signatures.IGNORE:
        if found.application is not None:
            report.problem(key_of(SqsSettings, "application").place, "has no effect without signatures = ignore")
        return
    open_to_others = [one for one in (*server.http, *found.listen) if not local(one)]
    if open_to_others:
        text = f"cannot be ignored on {open_to_others[0]}, which others than this machine may reach"
        report.problem(place, text)
    named = [one.name for one in applications if one.policy.sqs]
    if found.application is None or found.application not in named:
        report.problem(
            key_of(SqsSettings, "application").place,
            "has to be an application of this file with sqs = true if signatures are ignored",
        )
    else:
        what = f"are not checked, so everyone on this machine may use the application {found.application}"
        report.warn(place, what)
