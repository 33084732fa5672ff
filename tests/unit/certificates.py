"""Certificates for servers of tests, made by openssl; each is its own authority."""

from __future__ import annotations

import pathlib
import subprocess

Files = tuple[pathlib.Path, pathlib.Path]  # certificate, key


def make_certificate(folder: pathlib.Path, name: str, subject: str) -> Files:
    """A good one, for a subject alternative name (`DNS:dns.example`, `IP:127.0.0.1`)."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"),
        *(
            "-subj",
            f"/CN={name}",
            "-addext",
            f"subjectAltName={subject}",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ),
    )
    return certificate, key


def expire_certificate(files: Files) -> Files:
    """The same one, of yesterday."""
    certificate, key = files
    past = certificate.with_suffix(".past")
    openssl("x509", "-in", str(certificate), "-signkey", str(key), "-days", "-1", "-out", str(past))
    return past, key


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], capture_output=True, check=True)
