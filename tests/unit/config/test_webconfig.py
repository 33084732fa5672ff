import pathlib

import pytest

from fastdns.config import model, webconfig

FILES = "cert_file: c.pem\n  key_file: /k.pem\n"


def read(folder: pathlib.Path, text: str) -> model.WebTls | None:
    (folder / "web.yaml").write_text(text)
    return webconfig.read(str(folder / "web.yaml"))


@pytest.mark.parametrize("text", ["", "{}\n", "# nothing\n", "http_server_config:\n  http2: false\n"])
def test_no_tls(tmp_path: pathlib.Path, text: str) -> None:
    assert read(tmp_path, text) is None


def test_files_are_relative_to_the_file(tmp_path: pathlib.Path) -> None:
    tls = read(tmp_path, f"tls_server_config:\n  {FILES}")
    assert tls == model.WebTls(str(tmp_path / "c.pem"), "/k.pem")


def test_everything(tmp_path: pathlib.Path) -> None:
    text = f"""tls_server_config:
  {FILES}  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  min_version: TLS13
  max_version: TLS13
  prefer_server_cipher_suites: false
"""
    expected = model.WebTls(str(tmp_path / "c.pem"), "/k.pem", str(tmp_path / "ca.pem"), True, "TLS13", "TLS13")
    assert read(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tls_server_config:\n  cert_file: c.pem\n", "missing key_file"),
        ("tls_server_config: {}\n", "missing cert_file"),
        (
            f"tls_server_config:\n  {FILES}  client_auth_type: RequestClientCert\n",
            "invalid ClientAuth: RequestClientCert",
        ),
        (f"tls_server_config:\n  {FILES}  client_ca_file: ca.pem\n", "without a Client Auth Policy"),
        (f"tls_server_config:\n  {FILES}  client_auth_type: VerifyClientCertIfGiven\n", "needs client_ca_file"),
        (f"tls_server_config:\n  {FILES}  min_version: TLS9\n", "unknown TLS version: TLS9"),
        (
            f"tls_server_config:\n  {FILES}  cipher_suites: [X]\n",
            "unknown field `cipher_suites` - at `$.tls_server_config`",
        ),
        (f"tls_server_config:\n  {FILES}  cert_file: [c.pem]\n", "Expected `str`, got `array`"),
        ("basic_auth_users:\n  alice: x\n", "unknown field `basic_auth_users`"),
        ("http_server_config:\n  headers: {}\n", "unknown field `headers`"),
        ("rate_limit: {}\n", "unknown field `rate_limit`"),
        ("tls_server_config: [\n", "expected"),
        ("just words\n", "Expected `object | null`, got `str`"),
    ],
)
def test_refused(tmp_path: pathlib.Path, text: str, message: str) -> None:
    with pytest.raises(webconfig.WebConfigError) as raised:
        read(tmp_path, text)
    assert message in str(raised.value)
