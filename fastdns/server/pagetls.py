"""TLS in front of the pages: certificates are read again when their files have changed, as Prometheus's exporters do."""

from __future__ import annotations

import logging
import os
import ssl

from fastdns.config import model

logger = logging.getLogger(__name__)

VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
Stamp = tuple[tuple[int, int, int], ...]


def load_context(tls: model.WebTls) -> ssl.SSLContext:
    """Raises OSError (ssl.SSLError is one): a file can't be read or used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[tls.min_version]
    context.maximum_version = VERSIONS[tls.max_version]
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_ca:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if tls.is_client_required else ssl.CERT_OPTIONAL
    return context


def serve_context(tls: model.WebTls) -> ssl.SSLContext:
    """One that gives each client what is in the files now; while they make no sense, what was in them before."""
    front = load_context(tls)
    current, stamp = front, _stamp_of(tls)

    def renew(client: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        nonlocal current, stamp
        found = _stamp_of(tls)
        if found != stamp:
            stamp = found
            try:
                current = load_context(tls)
            except OSError as error:
                logger.error("plugin/prometheus: the certificate of before is kept: %s", error)
        client.context = current

    front.sni_callback = renew
    return front


def _stamp_of(tls: model.WebTls) -> Stamp:
    """Changes when a file does; a missing one has a stamp of its own."""
    found = []
    for path in filter(None, (tls.certificate, tls.key, tls.client_ca)):
        try:
            status = os.stat(path)
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)
