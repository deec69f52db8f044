"""The tables in Cassandra, made by hand."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react
from twisted.python.failure import Failure

from queuey import config
from queuey.config import CassandraStorage
from queuey.deferreds import bounded, deferred
from queuey.errors import ConfigurationError, Unavailable
from queuey.storage.cassandra.assembly import make_session, schema_settings, where
from queuey.storage.cassandra.cluster.facts import release_of
from queuey.storage.cassandra.cluster.port import AccessRefused
from queuey.storage.cassandra.schema import Schema, SchemaSettings
from queuey.storage.cassandra.scripts import scripts, whole

_LIMIT: Final = 120.0
"""Seconds that it may take to create all tables, including the wait for another process that does so."""


def settings(file: Path | None) -> CassandraStorage:
    """Read the settings of the cluster, or take the defaults.

    :raise ConfigurationError: the file has mistakes, or names another backend.
    """
    storage = config.defaults("cassandra") if file is None else config.load(file).storage
    if not isinstance(storage, CassandraStorage):
        raise ConfigurationError((f"{file}: [storage] backend: only cassandra has tables that are made by hand",))
    return storage


def text(storage: CassandraStorage) -> str:
    """All of it in CQL."""
    return whole(storage.keyspace, storage.replication)


def apply(storage: CassandraStorage) -> str:
    """Create the tables, or bring them up to date.

    :return: what was done, in one line.
    :raise QueueyError: that is not possible.
    """
    ended: list[Failure | None] = []

    def main(reactor: Any) -> Deferred[None]:
        work = bounded(
            _apply(storage, reactor),
            _LIMIT,
            reactor,
            lambda: Unavailable(f"Cassandra at {where(storage)}: the tables were not made in {_LIMIT:g} s"),
        )
        return work.addBoth(ended.append)

    with suppress(SystemExit):  # which is how it says that the work is over
        react(main)
    if ended and ended[0] is not None:
        ended[0].raiseException()
    return f"the keyspace {storage.keyspace} has the tables of version {scripts()[-1].number}"


@deferred
async def _apply(storage: CassandraStorage, reactor: Any) -> None:
    session = make_session(storage, reactor)
    settings_of_schema = schema_settings(storage)
    mine = SchemaSettings(settings_of_schema.keyspace, settings_of_schema.replication, True)
    schema = Schema(session, mine, uuid.uuid4(), lambda seconds: deferLater(reactor, seconds), lambda text: None)
    try:
        await session.connect()
        await schema.ensure(await release_of(session))
    except AccessRefused as error:
        raise ConfigurationError((f"Cassandra at {where(storage)}: {error.text}",)) from None
    except Unavailable as error:
        raise Unavailable(f"Cassandra at {where(storage)}: {error.text}") from None
    finally:
        await session.close()
