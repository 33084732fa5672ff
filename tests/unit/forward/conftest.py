"""Certificates for upstreams over TLS and HTTPS."""

from __future__ import annotations

import pytest

from fastdns.forward import exchange
from tests.unit.certificates import Files, expire_certificate, make_certificate


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """A good certificate for dns.example, and one that has expired."""
    folder = tmp_path_factory.mktemp("tls")
    good, bad = (make_certificate(folder, name, "DNS:dns.example") for name in ("good", "expired"))
    return {"good": good, "expired": expire_certificate(bad)}


@pytest.fixture(scope="session")
def files(certificates: dict[str, Files]) -> Files:
    return certificates["good"]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers and clients share one busy processor here: tests of the limits set them themselves."""
    monkeypatch.setattr(exchange, "DEADLINE", 50.0)
    monkeypatch.setattr(exchange, "DIAL_TIMEOUT", 30.0)
