"""TLS towards upstreams: certificates are always checked, and there is no way back to plain text."""

from __future__ import annotations

import ssl

from fastdns.config import model


def make_context(tls: model.Tls | None) -> ssl.SSLContext:
    """What a client needs: the system's authorities unless `ca` names others, a certificate of our own if there is one.

    Raises OSError (ssl.SSLError is one): a file can't be read or used.
    """
    tls = tls or model.Tls()
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key or None)
    return context


def server_name(upstream: model.Upstream, tls: model.Tls | None) -> str:
    """The name that the certificate must be for: the upstream's own, else the block's, else the address itself."""
    return upstream.server_name or (tls.server_name if tls else "") or upstream.address.partition("%")[0]


def describe(error: ssl.SSLError) -> str:
    """As CoreDNS's log has it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {error.verify_message}"
    return f"tls: {error.reason or error}"
