"""The certificate of one simulator, made when it starts."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL


class Certificate:
    """An authority, and a certificate of it for localhost, 127.0.0.1 and ::1."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="ftp-simulator-"))
        self.ca_file = self._directory / "ca.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._issued = authority.issue_cert("localhost", "127.0.0.1", "::1")

    def context(self) -> Any:
        """What the server's side of a connection needs."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        key = load_pem_private_key(self._issued.private_key_pem.bytes(), None)
        context.use_privatekey(key)  # type: ignore[arg-type]
        chain = [x509.load_pem_x509_certificate(b.bytes()) for b in self._issued.cert_chain_pems]
        context.use_certificate(chain[0])
        context.set_session_id(b"ftp-simulator")
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        return context

    def remove(self) -> None:
        """Remove the file of the authority."""
        shutil.rmtree(self._directory, ignore_errors=True)


def was_resumed(connection: Any) -> bool:
    """Whether the TLS session of *connection* is one that the client had before.

    pyOpenSSL has no method for it; its binding of OpenSSL has the function.
    """
    binding: Any = SSL
    return bool(binding._lib.SSL_session_reused(connection._ssl))
