"""The file that `tls` of plugin prometheus names: the web configuration of Prometheus's exporters, as far as TLS goes.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. What else such a file may hold
(users and their passwords, limits, headers, cipher suites) is refused by name: none of it is passed over.
"""

from __future__ import annotations

import os

import msgspec

from fastdns.config import model

CLIENT_AUTH = ("NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")


class WebConfigError(ValueError):
    """A file that can't be used, with the field that is wrong."""


class _TlsServer(msgspec.Struct, forbid_unknown_fields=True):
    cert_file: str = ""
    key_file: str = ""
    client_auth_type: str = ""
    client_ca_file: str = ""
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    prefer_server_cipher_suites: bool = True  # which has had no meaning there for long either


class _HttpServer(msgspec.Struct, forbid_unknown_fields=True):
    http2: bool = True  # offered, never insisted on


class _File(msgspec.Struct, forbid_unknown_fields=True):
    tls_server_config: _TlsServer | None = None
    http_server_config: _HttpServer | None = None


def read(path: str) -> model.WebTls | None:
    """None: the file asks for no TLS. Names in it are relative to its folder. Raises WebConfigError and OSError."""
    with open(path, "rb") as file:
        octets = file.read()
    try:
        tls = (msgspec.yaml.decode(octets, type=_File | None) or _File()).tls_server_config
    except msgspec.MsgspecError as error:
        raise WebConfigError(str(error)) from error
    return None if tls is None else _check(tls, os.path.dirname(path))


def _check(tls: _TlsServer, folder: str) -> model.WebTls:
    for name in ("cert_file", "key_file"):
        if not getattr(tls, name):
            raise WebConfigError(f"missing {name}")
    if tls.client_auth_type not in ("", *CLIENT_AUTH):
        raise WebConfigError(f"invalid ClientAuth: {tls.client_auth_type} (one of {', '.join(CLIENT_AUTH)})")
    is_asked = tls.client_auth_type not in ("", "NoClientCert")
    if tls.client_ca_file and not is_asked:
        raise WebConfigError("client CA's have been configured without a Client Auth Policy")
    if is_asked and not tls.client_ca_file:
        raise WebConfigError(f"client_auth_type {tls.client_auth_type} needs client_ca_file")
    for version in (tls.min_version, tls.max_version):
        if version not in VERSIONS:
            raise WebConfigError(f"unknown TLS version: {version} (one of {', '.join(VERSIONS)})")
    certificate, key, ca = (
        os.path.join(folder, name) if name else "" for name in (tls.cert_file, tls.key_file, tls.client_ca_file)
    )
    is_required = tls.client_auth_type == "RequireAndVerifyClientCert"
    return model.WebTls(certificate, key, ca, is_required, tls.min_version, tls.max_version)
