"""Certificates for tests, by the machine's openssl: an authority and its certificates."""

import ssl
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

OPENSSL_CONFIG = """
[ca]
default_ca = here
[here]
new_certs_dir = {folder}
database = {folder}/index.txt
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
"""
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, both PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority; clients trust `certificate`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.certificate = folder / "ca.crt"
        (folder / "index.txt").touch()
        (folder / "ca.cnf").write_text(OPENSSL_CONFIG.format(folder=folder))
        self._openssl(
            *("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.crt", "-days", "3650"),
            *("-subj", "/CN=an authority of a test", "-addext", "keyUsage=keyCertSign,cRLSign"),
        )

    def sign(self, name: str, *alternatives: str, expired: bool = False) -> Signed:
        """Return a certificate for `name`, valid for the alternatives, such as "DNS:localhost"."""
        extensions = ["-addext", f"subjectAltName={','.join(alternatives)}"] if alternatives else []
        self._openssl(
            *(
                "req",
                *_KEY,
                "-keyout",
                f"{name}.key",
                "-out",
                f"{name}.csr",
                "-subj",
                f"/CN={name}",
            ),
            *extensions,
        )
        until = datetime.now(UTC) + timedelta(days=-1 if expired else 365)
        begins = until - timedelta(days=400)
        self._openssl(
            *("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", "ca.crt", "-keyfile"),
            *("ca.key", "-in", f"{name}.csr", "-out", f"{name}.crt"),
            *("-startdate", f"{begins:%Y%m%d%H%M%SZ}", "-enddate", f"{until:%Y%m%d%H%M%SZ}"),
        )
        return Signed(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


def server_context(signed: Signed, clients_of: Path | None = None) -> ssl.SSLContext:
    """Return a server's context; if an authority is given, clients need one of its certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    if clients_of is not None:
        context.load_verify_locations(clients_of)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
