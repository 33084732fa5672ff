"""TLS towards upstreams: certificates are always checked, and there is no way back to plain text."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from fastdns.config import model

HTTPS_PORT = 443


class _ResumingContext(ssl.SSLContext):
    """A connection begins with the session of the one before it to the same server name, if that left a ticket.

    Then the handshake takes no certificates and no signature (RFC 8446 section 2.2); the server may always insist on a
    whole one.
    """

    def __init__(self, protocol: int) -> None:
        self._last: dict[str | None, ssl.SSLObject] = {}  # whose ticket may come any time after its handshake
        self._sessions: dict[str | None, ssl.SSLSession] = {}

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As the event loop calls it, which knows of no sessions."""
        name = server_hostname.decode() if isinstance(server_hostname, bytes) else server_hostname
        last = self._last.get(name)
        if last is not None and last.version() is not None:  # its handshake is through
            known = last.session
            if known is not None and known.has_ticket:
                self._sessions[name] = known
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session or self._sessions.get(name))
        self._last[name] = made
        return made


def make_context(tls: model.Tls | None, *, alpn: Sequence[str] = ()) -> ssl.SSLContext:
    """What a client needs: the system's authorities unless `ca` names others, a certificate of our own if there is one.

    `alpn` are the protocols that it speaks inside. Raises OSError (ssl.SSLError is one): a file can't be read or used.
    """
    tls = tls or model.Tls()
    context = _ResumingContext(ssl.PROTOCOL_TLS_CLIENT)  # which checks certificates and names
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca:
        context.load_verify_locations(tls.ca)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key or None)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def server_name(upstream: model.Upstream, tls: model.Tls | None) -> str:
    """The name that the certificate must be for: the upstream's own, else the block's, else the address itself."""
    return upstream.server_name or (tls.server_name if tls else "") or upstream.address.partition("%")[0]


def authority(upstream: model.Upstream, tls: model.Tls | None) -> str:
    """The host that a request over HTTPS is for (RFC 9110 section 7.2): without the port if that is the scheme's own."""
    name = server_name(upstream, tls)
    host = f"[{name}]" if ":" in name else name
    return host if upstream.port == HTTPS_PORT else f"{host}:{upstream.port}"


def describe(error: ssl.SSLError) -> str:
    """As CoreDNS's log has it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {error.verify_message}"
    return f"tls: {error.reason or error}"
