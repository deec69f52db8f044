"""The interfaces between the parts of Queuey.

Every method that does I/O returns a Deferred. It fires with frozen values, or fails with a
:class:`queuey.errors.QueueyError`; any other failure is a defect of the provider. Each interface has a contract suite
in ``tests/contracts`` that every provider passes.

* :mod:`~queuey.interfaces.stores`: messages, queues, and a back end as a whole.
* :mod:`~queuey.interfaces.states`: small values that change by compare-and-set, and the states of consumer groups.
* :mod:`~queuey.interfaces.copying`: everything that a store holds, for ``queuey copy``.
* :mod:`~queuey.interfaces.callers`: who a caller is, and what an application may do.
* :mod:`~queuey.interfaces.outside`: documents from the web, and traces.
"""

from __future__ import annotations

from queuey.interfaces.callers import (
    Accepted,
    AwsRequest,
    AwsSigner,
    Credential,
    IAuthenticator,
    IAwsSignatures,
    IPolicies,
    ISignatures,
    Lasting,
    Signature,
)
from queuey.interfaces.copying import IExportSource, IImportTarget
from queuey.interfaces.outside import (
    BodyEnd,
    IPushSender,
    ISeals,
    ITraces,
    IWeb,
    NotHad,
    NotSent,
    PushAnswer,
    PushRequest,
    Unsealable,
    Unsent,
)
from queuey.interfaces.states import MAX_STATE, IGroupStore, IStateStore, Outcome, State
from queuey.interfaces.stores import AHEAD, Capabilities, IMessageStore, IQueueStore, IStore

__all__ = [
    "AHEAD",
    "MAX_STATE",
    "Accepted",
    "AwsRequest",
    "AwsSigner",
    "BodyEnd",
    "Capabilities",
    "Credential",
    "IAuthenticator",
    "IAwsSignatures",
    "IExportSource",
    "IGroupStore",
    "IImportTarget",
    "IMessageStore",
    "IPolicies",
    "IPushSender",
    "IQueueStore",
    "ISeals",
    "ISignatures",
    "IStateStore",
    "IStore",
    "ITraces",
    "IWeb",
    "Lasting",
    "NotHad",
    "NotSent",
    "Outcome",
    "PushAnswer",
    "PushRequest",
    "Signature",
    "State",
    "Unsealable",
    "Unsent",
]
