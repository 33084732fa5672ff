"""Certificates for upstreams over TLS and HTTPS."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.unit.forward.servers import Files


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """A good certificate for dns.example, and one that has expired; each is its own authority."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl")
    folder = tmp_path_factory.mktemp("tls")
    made = {name: (folder / f"{name}.pem", folder / f"{name}.key") for name in ("good", "expired")}
    for certificate, key in made.values():
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"),
            *("-subj", "/CN=dns.example", "-addext", "subjectAltName=DNS:dns.example"),
            *("-keyout", str(key), "-out", str(certificate)),
        )
    certificate, key = made["expired"]
    past = certificate.with_suffix(".past")
    openssl("x509", "-in", str(certificate), "-signkey", str(key), "-days", "-1", "-out", str(past))
    made["expired"] = (past, key)
    return made


@pytest.fixture(scope="session")
def files(certificates: dict[str, Files]) -> Files:
    return certificates["good"]


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], capture_output=True, check=True)
