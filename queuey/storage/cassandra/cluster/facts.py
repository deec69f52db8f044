"""Facts that a cluster reports about itself, and the guarantees that follow from them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from queuey.errors import Unavailable
from queuey.interfaces import Capabilities
from queuey.storage.cassandra.cluster.port import ICQLSession, Kind, Level, Statement, StatementRefused

_RELEASE: Final = Statement("SELECT release_version FROM system.local", Kind.READ)
_SETTINGS: Final = Statement("SELECT name, value FROM system_views.settings", Kind.READ)
_REPLICATION: Final = Statement("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", Kind.READ)

_SIZE: Final = re.compile(r"(\d+)(B|KiB|MiB|GiB)")
_UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@attrs.frozen
class Facts:
    """The facts of a cluster.

    :ivar release: such as ``5.0.8``.
    :ivar replicas: of each row, in all data centres together.
    :ivar syncs: how the nodes that were asked sync their commit logs; empty if they do not show it.
    :ivar batch_bytes: the limit of one batch on every node; ``None`` if they do not show it.
    :ivar mutation_bytes: the limit of what goes to one partition; ``None`` if they do not show it.
    :ivar far_expiry: whether data may expire after January 2038.
    """

    release: str
    replicas: int
    syncs: frozenset[str]
    batch_bytes: int | None
    mutation_bytes: int | None
    far_expiry: bool

    def refusal(self, keyspace: str) -> str | None:
        """Why an acknowledged write would not be durable; ``None`` if it is."""
        if self.replicas > 1 or not self.syncs & {"periodic"}:
            return None
        return (
            f"The keyspace {keyspace} keeps one copy of each row, and Cassandra's commitlog_sync is periodic: what is "
            "acknowledged would be lost with a node that dies. Set commitlog_sync: batch in cassandra.yaml, or a "
            "replication of 3."
        )

    def capabilities(self) -> Capabilities:
        """Return the guarantees for acknowledged writes."""
        power = "periodic" not in self.syncs and bool(self.syncs)
        copies = "1 copy" if self.replicas == 1 else f"{self.replicas} copies"
        synced = f"commit logs are synced by: {', '.join(sorted(self.syncs))}" if self.syncs else "no word of its syncs"
        disk = "An acknowledged write is on the disks of the nodes that acknowledged it"
        if not power:
            disk = "An acknowledged write is with the nodes that acknowledged it, which may lose it when they die"
        levels = "a majority of the copies for strong and very_strong queues, one for weak queues"
        return Capabilities(f"{disk}: {levels}. Cassandra {self.release}, {copies} of each row, {synced}.", power)


async def release_of(session: ICQLSession) -> str:
    """The release of a cluster."""
    rows = await session.execute(_RELEASE, (), Level.ONE)
    return str(rows[0][0])


async def find_out(session: ICQLSession, release: str, keyspace: str) -> Facts:
    """Ask every node that is up for its settings, and the cluster for the replication of a keyspace."""
    asked = [dict(await _settings(session, node)) for node in session.nodes()]
    return Facts(
        release=release,
        replicas=await _replicas(session, keyspace),
        syncs=frozenset(str(each["commitlog_sync"]) for each in asked if each.get("commitlog_sync")),
        batch_bytes=_least(asked, "batch_size_fail_threshold"),
        mutation_bytes=_least(asked, "max_mutation_size"),
        far_expiry=bool(asked) and all(each.get("storage_compatibility_mode") == "NONE" for each in asked),
    )


async def _settings(session: ICQLSession, node: Any) -> Any:
    """Read the settings of a node; empty if it is too old to show them, or is not reachable."""
    try:
        return await session.execute_on(node, _SETTINGS, ())
    except (StatementRefused, Unavailable):
        return ()


async def _replicas(session: ICQLSession, keyspace: str) -> int:
    rows = await session.execute(_REPLICATION, (keyspace,), Level.ONE)
    options = dict(rows[0][0]) if rows else {}
    return sum(int(str(value).split("/")[0]) for name, value in options.items() if name != "class")


def _least(asked: Sequence[Mapping[str, Any]], name: str) -> int | None:
    found = [size for each in asked if (size := _size(each.get(name))) is not None]
    return min(found, default=None)


def _size(text: object) -> int | None:
    match = _SIZE.fullmatch(str(text))
    return int(match[1]) * _UNITS[match[2]] if match else None
