"""The plugins that take a word or two."""

import pathlib

import pytest

from fastdns import errors
from fastdns.config import model
from tests.unit.certificates import make_certificate


@pytest.mark.parametrize(
    ("line", "plugin"),
    [
        ("whoami", model.Whoami()),
        ("whoami {\n}", model.Whoami()),
        ("loop", model.Loop()),
        ("debug", model.Debug()),
        ("cancel", model.Cancel(5.001)),
        ("cancel 1s", model.Cancel(1.0)),
        ("bufsize", model.Bufsize(1232)),
        ("bufsize 512", model.Bufsize(512)),
        ("bufsize 4096", model.Bufsize(4096)),
        ("reload", model.Reload(30.0, 15.0)),
        ("reload 2s 1s", model.Reload(2.0, 1.0)),
        ("reload 10s 0s", model.Reload(10.0, 0.0)),
        ("reload 10s", model.Reload(10.0, 5.0)),
        ("health", model.Health("", 8080, 0.0)),
        ("health 127.0.0.1:8081", model.Health("127.0.0.1", 8081, 0.0)),
        ("health [::1]:8081 {\n lameduck 1m\n}", model.Health("::1", 8081, 60.0)),
        ("ready", model.Ready("", 8181, "until-ready")),
        ("ready :8182 {\n monitor continuously\n}", model.Ready("", 8182, "continuously")),
        ("prometheus", model.Prometheus("localhost", 9153)),
        ("prometheus :9153", model.Prometheus("", 9153)),
        ("prometheus {\n runtime_metrics\n}", model.Prometheus("localhost", 9153, True)),
    ],
)
def test_one_line(read, line: str, plugin: model.Plugin) -> None:
    assert read(line) == (plugin,)


@pytest.mark.parametrize(
    ("lines", "plugin"),
    [
        ("health :1\nhealth :2", model.Health("", 2)),
        ("cancel 1s\ncancel 2s", model.Cancel(2.0)),
        ("bufsize 512\nbufsize 1024", model.Bufsize(512)),
        ("reload 5s\nreload 7s", model.Reload(5.0, 2.5)),
        ("whoami\nwhoami", model.Whoami()),
        ("debug\ndebug", model.Debug()),
    ],
)
def test_several_lines(read, lines: str, plugin: model.Plugin) -> None:
    assert read(lines) == (plugin,)


def test_prometheus_over_tls(read, tmp_path: pathlib.Path) -> None:
    certificate, key = make_certificate(tmp_path, "page", "IP:127.0.0.1")
    (tmp_path / "web.yaml").write_text("tls_server_config:\n  cert_file: page.pem\n  key_file: page.key\n")
    line = f"prometheus :9153 {{\n tls {tmp_path}/web.yaml\n}}"
    assert read(line) == (model.Prometheus("", 9153, tls=model.WebTls(str(certificate), str(key))),)
    certificate.unlink()
    with pytest.raises(errors.ConfigError, match=r"Invalid TLS config: .*page.pem: No such file or directory"):
        read(line)
