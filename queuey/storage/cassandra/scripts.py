"""The numbered CQL files that create the tables.

Every statement can be run again without harm, because the process that ran a file may have died in the middle of it.
The exception is a statement that adds a column: it is refused if the column exists (``IF NOT EXISTS`` came with version
4.1), and the refusal is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import UUID, uuid5

import attrs

from queuey.config.kinds.clusters import Replication

STATE_TABLE: Final = "schema_state"

_SPACE: Final = UUID("8f0e2b1c-52a4-4c6e-9d37-0a6c1f5d7e00")
"""The namespace of the ids of tables."""

_FOLDER: Final = Path(__file__).parent / "schema"
_COMMENT: Final = re.compile(r"--[^\n]*")
_TABLE_ID: Final = re.compile(r"\{id of (\w+)\}")
_ADDS: Final = re.compile(r"ALTER TABLE \w+\.(\w+) ADD (\w+) .*")


@attrs.frozen
class Script:
    """One file.

    :ivar number: the version of the schema that it makes of the one before; 0 for what comes before all versions.
    :ivar text: of the file, with its comments.
    """

    number: int
    text: str

    def statements(self, names: Mapping[str, str]) -> tuple[str, ...]:
        """Its statements, with names put in."""
        parts = _COMMENT.sub("", put_in(self.text, names)).split(";")
        return tuple(part.strip() for part in parts if part.strip())


def scripts() -> tuple[Script, ...]:
    """All files, in their order."""
    files = sorted(_FOLDER.glob("[0-9][0-9]_*.cql"))
    return tuple(Script(int(file.name[:2]), file.read_text(encoding="utf-8")) for file in files)


def column_added(statement: str) -> tuple[str, str] | None:
    """The table and the column that a statement adds; ``None`` for any other statement."""
    match = _ADDS.fullmatch(statement)
    return (match[1], match[2]) if match else None


def put_in(text: str, names: Mapping[str, str]) -> str:
    """Fill in names that stand in braces in a text. CQL has other braces too."""
    text = _TABLE_ID.sub(lambda match: str(table_id(names["keyspace"], match[1])), text)
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def table_id(keyspace: str, table: str) -> UUID:
    """Return the id of a table: the same in whichever process creates it, and unique in the cluster."""
    return uuid5(_SPACE, f"{keyspace}.{table}")


def names(keyspace: str, replication: str) -> dict[str, str]:
    """Return the values to insert into the files."""
    return {"keyspace": keyspace, "replication": replication}


def replication_cql(replication: Replication, centres: tuple[str, ...] = ()) -> str:
    """Return the replication of a keyspace in CQL.

    :param centres: the data centres, if the cluster is too old to find them itself.
    """
    if isinstance(replication, int):
        pairs = tuple((centre, replication) for centre in centres) or (("replication_factor", replication),)
    else:
        pairs = replication
    return "{'class': 'NetworkTopologyStrategy', " + ", ".join(f"'{name}': {number}" for name, number in pairs) + "}"


def whole(keyspace: str, replication: Replication) -> str:
    """All files as one text for those who run it by hand; statements between them say which were run."""
    parts: list[str] = []
    before = "null"
    for each in scripts():
        parts.append(put_in(each.text, names(keyspace, replication_cql(replication))))
        if each.number:
            parts.append(_STANDS + _version_cql(keyspace, each.number, before))
            before = str(each.number)
    return "\n".join(parts)


_STANDS: Final = (
    "-- Front ends begin to use the tables once this stands there. A second run of all of it reports columns\n"
    "-- that are there already, which does no harm.\n"
)


def _version_cql(keyspace: str, number: int, before: str) -> str:
    return f"UPDATE {keyspace}.{STATE_TABLE} SET version = {number} WHERE k = 'version' IF version = {before};\n"
