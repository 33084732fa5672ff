"""Certificates and keys for TLS to upstreams: tried when the configuration is read, so that a wrong file is told then."""

from __future__ import annotations


def check_files(*, certificate: str, key: str, ca: str) -> None:
    """Raise OSError when a file can't be read or holds no certificate or key. Empty names are passed over."""
    import ssl  # here, since few configurations need it and it costs every process memory

    for path in filter(None, (certificate, key, ca)):
        with open(path, "rb"):
            pass  # ssl's own error doesn't name the file
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if certificate:
        context.load_cert_chain(certificate, key)
    if ca:
        context.load_verify_locations(ca)
