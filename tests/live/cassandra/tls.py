"""What a node needs to speak TLS: a key of its own in a keystore, and the keystore of those that it trusts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import attrs

from tests.live.cassandra.nodes import ROOT

PASSWORD = "queuey-test"


@attrs.frozen
class Identity:
    """A key and its certificate, which is its own authority.

    :ivar keystore: for Java, under :data:`PASSWORD`.
    :ivar certificate: in PEM, for clients that are to trust it.
    """

    keystore: Path
    certificate: Path

    def settings(self, clients: Path | None = None) -> dict[str, Any]:
        """The setting ``client_encryption_options`` of a node with this identity.

        :param clients: a keystore with certificates of clients, who have to show one of them then.
        """
        wanted = {} if clients is None else {"truststore": str(clients), "truststore_password": PASSWORD}
        return {
            "enabled": True,
            "optional": False,
            "keystore": str(self.keystore),
            "keystore_password": PASSWORD,
            "require_client_auth": clients is not None,
            **wanted,
        }


def make_identity(folder: Path) -> Identity:
    """Make the identity of nodes on 127.0.0.1 to 127.0.0.3, also called localhost."""
    made = Identity(folder / "node.p12", folder / "node.pem")
    names = "san=dns:localhost,ip:127.0.0.1,ip:127.0.0.2,ip:127.0.0.3"
    key = ("-keyalg", "RSA", "-keysize", "2048", "-validity", "30", "-dname", "CN=localhost", "-ext", names)
    _keytool("-genkeypair", made.keystore, "-alias", "node", *key, "-ext", "bc:critical=ca:true")
    _keytool("-exportcert", made.keystore, "-alias", "node", "-rfc", "-file", str(made.certificate))
    return made


def make_truststore(folder: Path, certificate: Path) -> Path:
    """Make a keystore that trusts a certificate in PEM."""
    made = folder / "trusted.p12"
    _keytool("-importcert", made, "-noprompt", "-alias", "client", "-file", str(certificate))
    return made


def _keytool(action: str, keystore: Path, *more: str) -> None:
    found = subprocess.run(["sh", ROOT / "etc" / "cassandra" / "java.sh"], capture_output=True, text=True, check=True)
    keytool = Path(found.stdout.strip()).with_name("keytool")
    store = ("-keystore", str(keystore), "-storetype", "PKCS12", "-storepass", PASSWORD)
    subprocess.run([keytool, action, *store, *more], check=True, capture_output=True)
