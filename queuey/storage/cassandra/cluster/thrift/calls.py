"""The calls of Cassandra's Thrift interface that are needed here, and their bytes.

The definition below has these calls alone, with the field numbers of Cassandra's published interface; fields that are
not looked at are left out, and what a node sends of them is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, Final

import attrs
import thriftpy2
from thriftpy2.protocol import TCyBinaryProtocol
from thriftpy2.thrift import TApplicationException, TMessageType
from thriftpy2.transport import TCyBufferedTransport, TCyMemoryBuffer, TMemoryBuffer

from queuey.storage.cassandra.cluster.port import Level

_DEFINITION: Final = """
enum ConsistencyLevel { ONE = 1, QUORUM = 2, LOCAL_QUORUM = 3, EACH_QUORUM = 4, SERIAL = 9, LOCAL_ONE = 11 }
enum Compression { NONE = 2 }
enum CqlResultType { ROWS = 1, VOID = 2 }

exception InvalidRequestException { 1: required string why }
exception UnavailableException { }
exception TimedOutException {
  1: optional i32 acknowledged_by
  2: optional bool acknowledged_by_batchlog
  3: optional bool paxos_in_progress
}
exception AuthenticationException { 1: required string why }
exception AuthorizationException { 1: required string why }
exception SchemaDisagreementException { }

struct AuthenticationRequest { 1: required map<string, string> credentials }
struct EndpointDetails { 1: string host, 2: string datacenter }
struct TokenRange {
  3: required list<string> endpoints
  4: optional list<string> rpc_endpoints
  5: optional list<EndpointDetails> endpoint_details
}
struct Column { 1: required binary name, 2: optional binary value }
struct CqlRow { 2: required list<Column> columns }
struct CqlMetadata { 2: required map<binary, string> value_types }
struct CqlResult { 1: required CqlResultType type, 2: optional list<CqlRow> rows, 4: optional CqlMetadata schema }
struct CqlPreparedResult { 1: required i32 itemId, 2: required i32 count, 3: optional list<string> variable_types }

service Cassandra {
  void login(1: required AuthenticationRequest auth_request)
    throws (1: AuthenticationException authnx, 2: AuthorizationException authzx),
  string describe_cluster_name(),
  map<string, list<string>> describe_schema_versions() throws (1: InvalidRequestException ire),
  list<TokenRange> describe_ring(1: required string keyspace) throws (1: InvalidRequestException ire),
  CqlResult execute_cql3_query(
    1: required binary query, 2: required Compression compression, 3: required ConsistencyLevel consistency)
    throws (1: InvalidRequestException ire, 2: UnavailableException ue, 3: TimedOutException te,
      4: SchemaDisagreementException sde),
  CqlPreparedResult prepare_cql3_query(1: required binary query, 2: required Compression compression)
    throws (1: InvalidRequestException ire),
  CqlResult execute_prepared_cql3_query(
    1: required i32 itemId, 2: required list<binary> values, 3: required ConsistencyLevel consistency)
    throws (1: InvalidRequestException ire, 2: UnavailableException ue, 3: TimedOutException te,
      4: SchemaDisagreementException sde)
}
"""

api: Final[Any] = thriftpy2.load_fp(StringIO(_DEFINITION), "queuey_cassandra_thrift")
"""The types of the definition."""

UNREACHABLE: Final = "UNREACHABLE"
"""The version of the schema of nodes that do not show theirs."""

_SPREAD: Final = "system_traces"
"""A keyspace that every cluster has, and that is on all of its nodes."""

_UNCOMPRESSED: Final = api.Compression.NONE


class Garbled(Exception):
    """The data that arrived is not a Thrift answer, or not the expected one."""


@attrs.frozen
class ThriftCall:
    """One call of a node.

    :ivar name: as the definition has it.
    :ivar arguments: by the names that the definition gives them.
    """

    name: str
    arguments: Mapping[str, Any] = attrs.field(repr=False)


def login(username: str, password: str) -> ThriftCall:
    """Say who we are; fires with ``None``."""
    credentials = {"username": username, "password": password}
    return ThriftCall("login", {"auth_request": api.AuthenticationRequest(credentials=credentials)})


def cluster_name() -> ThriftCall:
    """Ask for a sign of life; fires with a text."""
    return ThriftCall("describe_cluster_name", {})


def schema_versions() -> ThriftCall:
    """Ask which nodes have which schema; fires with addresses by version, or by :data:`UNREACHABLE`."""
    return ThriftCall("describe_schema_versions", {})


def ring() -> ThriftCall:
    """Ask for all nodes; fires with ``TokenRange`` values."""
    return ThriftCall("describe_ring", {"keyspace": _SPREAD})


def execute(text: str, level: Level) -> ThriftCall:
    """Execute a statement without values; fires with a ``CqlResult``."""
    arguments = {"query": text.encode(), "compression": _UNCOMPRESSED, "consistency": _level(level)}
    return ThriftCall("execute_cql3_query", arguments)


def prepare(text: str) -> ThriftCall:
    """Prepare a statement at that node; fires with a ``CqlPreparedResult``."""
    return ThriftCall("prepare_cql3_query", {"query": text.encode(), "compression": _UNCOMPRESSED})


def execute_prepared(number: int, values: Sequence[bytes], level: Level) -> ThriftCall:
    """Execute what that node has prepared under a number; fires with a ``CqlResult``."""
    arguments = {"itemId": number, "values": values, "consistency": _level(level)}
    return ThriftCall("execute_prepared_cql3_query", arguments)


def _level(level: Level) -> Any:
    return getattr(api.ConsistencyLevel, level.value)


def encode(call: ThriftCall, number: int) -> bytes:
    """The bytes of a call.

    :param number: which its answer will have too.
    """
    buffer = TCyMemoryBuffer()
    protocol = TCyBinaryProtocol(buffer)
    protocol.write_message_begin(call.name, TMessageType.CALL, number)
    protocol.write_struct(getattr(api.Cassandra, f"{call.name}_args")(**call.arguments))
    protocol.write_message_end()
    written: bytes = buffer.getvalue()
    return written


def decode(frame: bytes, name: str, number: int) -> Any:
    """Return the result of a call: a value, or the exception that was answered.

    :param name: of the call.
    :param number: that it was sent with.
    :raise Garbled: it is not the answer to this call.
    """
    # Buffered, because the plain memory buffer returns arbitrary memory if a frame ends too early.
    protocol = TCyBinaryProtocol(TCyBufferedTransport(TMemoryBuffer(frame)))
    try:
        found, kind, answers = protocol.read_message_begin()
        if (found, answers) != (name, number):
            raise Garbled(f"an answer to {found} number {answers}, where {name} number {number} is due")
        if kind == TMessageType.EXCEPTION:
            return protocol.read_struct(TApplicationException())
        return _result(protocol.read_struct(getattr(api.Cassandra, f"{name}_result")()))
    except Garbled:
        raise
    except Exception as error:
        raise Garbled(f"this is no answer of Thrift: {error}") from error


def _result(value: Any) -> Any:
    """Return the field of a result that is set; ``None`` if the call returns no value."""
    found = (getattr(value, field[1]) for field in value.thrift_spec.values())
    return next((each for each in found if each is not None), None)
