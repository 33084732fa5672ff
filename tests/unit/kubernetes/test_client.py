"""How the API server is found, who we are to it, and how often we ask."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import pathlib
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fastdns import errors
from fastdns.kubernetes import client, metrics
from tests.unit.certificates import Files, make_certificate
from tests.unit.kubernetes import worlds
from tests.unit.kubernetes.fake_apiserver import LIST, FakeApiServer, Fault

PATH = "/api/v1/services"


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    made = FakeApiServer()
    yield made
    made.close()


def make(server: FakeApiServer, **options: Any) -> client.Client:
    counts = options.pop("counts", None) or metrics.Metrics()
    config = worlds.config(endpoint=server.url, **options.pop("config", {}))
    return client.Client(config, counts=counts, **options)


# --- access ----------------------------------------------------------------------------------------------------------


def account(folder: pathlib.Path, token: str = "secret") -> dict[str, str]:
    (folder / "token").write_text(token + "\n")
    (folder / "ca.crt").write_text("CA")
    return {
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "FASTDNS_SERVICE_ACCOUNT": str(folder),
    }


def test_in_a_cluster(tmp_path: pathlib.Path) -> None:
    access = client.load_access(worlds.config(), account(tmp_path))
    assert access == client.Access("https://10.96.0.1:443", ca="CA", authorization="Bearer secret")


def test_in_an_ipv6_cluster(tmp_path: pathlib.Path) -> None:
    environment = {**account(tmp_path), "KUBERNETES_SERVICE_HOST": "fd00::1"}
    assert client.load_access(worlds.config(), environment).server == "https://[fd00::1]:443"


def test_neither_in_a_cluster_nor_told_where() -> None:
    with pytest.raises(errors.ApiError, match=r"KUBERNETES_SERVICE_HOST .* not set; use `kubeconfig FILE`"):
        client.load_access(worlds.config(), {})


def test_a_missing_token_names_its_file(tmp_path: pathlib.Path) -> None:
    environment = account(tmp_path)
    (tmp_path / "token").unlink()
    with pytest.raises(errors.ApiError, match="token: No such file"):
        client.load_access(worlds.config(), environment)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), {}),
        (("ca",), {"ca": "ca"}),
        (("crt", "key"), {"certificate": "crt", "key": "key"}),
        (("crt", "key", "ca"), {"certificate": "crt", "key": "key", "ca": "ca"}),
    ],
)
def test_endpoint_and_tls(tmp_path: pathlib.Path, files: tuple[str, ...], expected: dict[str, str]) -> None:
    for name in files:
        (tmp_path / name).write_text(name)
    config = worlds.config(endpoint="https://api:6443", tls=tuple(str(tmp_path / name) for name in files))
    assert client.load_access(config) == client.Access("https://api:6443", **expected)


def kubeconfig(folder: pathlib.Path, user: dict[str, Any]) -> str:
    cluster = {"server": "https://one:6443", "certificate-authority-data": base64.b64encode(b"CA").decode()}
    other = {"server": "https://two:6443", "insecure-skip-tls-verify": True}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "one", "cluster": cluster}, {"name": "two", "cluster": other}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in ("one", "two")],
        "current-context": "one",
    }
    (folder / "config").write_text(json.dumps(config))
    return str(folder / "config")


def test_kubeconfig_with_a_token_and_its_current_context(tmp_path: pathlib.Path) -> None:
    path = kubeconfig(tmp_path, {"token": "t0ken"})
    access = client.load_access(worlds.config(kubeconfig=path))
    assert access == client.Access("https://one:6443", ca="CA", authorization="Bearer t0ken")
    assert "kubernetes" not in sys.modules


def test_kubeconfig_with_another_context(tmp_path: pathlib.Path) -> None:
    path = kubeconfig(tmp_path, {"token": "t0ken"})
    access = client.load_access(worlds.config(kubeconfig=path, context="two"))
    assert (access.server, access.verify) == ("https://two:6443", False)


def test_kubeconfig_with_a_client_certificate(tmp_path: pathlib.Path) -> None:
    data = {f"client-{part}-data": base64.b64encode(part.encode()).decode() for part in ("certificate", "key")}
    access = client.load_access(worlds.config(kubeconfig=kubeconfig(tmp_path, data)))
    assert (access.certificate, access.key, access.authorization) == ("certificate", "key", "")


def test_kubeconfig_with_an_exec_plugin(tmp_path: pathlib.Path) -> None:
    version = "client.authentication.k8s.io/v1"
    said = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": "from-exec"}}
    (tmp_path / "said.json").write_text(json.dumps(said))
    plugin = {
        "apiVersion": version,
        "command": "cat",
        "args": [str(tmp_path / "said.json")],
        "interactiveMode": "Never",
    }
    access = client.load_access(worlds.config(kubeconfig=kubeconfig(tmp_path, {"exec": plugin})))
    assert access.authorization == "Bearer from-exec"


def test_kubeconfig_that_is_missing_or_broken(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.ApiError, match=r"kubeconfig .*/none: "):
        client.load_access(worlds.config(kubeconfig=str(tmp_path / "none")))
    with pytest.raises(errors.ApiError, match=r"kubeconfig .*nowhere"):
        client.load_access(worlds.config(kubeconfig=kubeconfig(tmp_path, {}), context="nowhere"))


def test_certificates_that_are_none_are_an_error() -> None:
    with pytest.raises(errors.ApiError, match="CA, certificate or key"):
        client.make_pool(client.Access("https://api:6443", ca="nonsense"))


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("a." + base64.urlsafe_b64encode(b'{"exp": 1234}').decode().rstrip("=") + ".c", 1234.0),
        ("a." + base64.urlsafe_b64encode(b"{}").decode() + ".c", None),
        ("a.!!!.c", None),
        ("opaque", None),
    ],
)
def test_expiry_of_tokens(token: str, expected: float | None) -> None:
    assert client.expiry_of(f"Bearer {token}") == expected


# --- requests --------------------------------------------------------------------------------------------------------


def test_refusals_tell_status_reason_and_when_to_come_back(server: FakeApiServer) -> None:
    server.faults[LIST].append(Fault(429, "TooManyRequests", {"Retry-After": "3"}))
    with pytest.raises(errors.ApiError, match="HTTP 429: as the script says") as raised:
        make(server).get(PATH, {}, verb="LIST", timeout=1)
    assert (raised.value.status, raised.value.reason, raised.value.retry_after) == (429, "TooManyRequests", 3.0)


def test_unreachable_is_said_in_few_words() -> None:
    server = FakeApiServer()
    server.close()
    with pytest.raises(errors.ApiError, match=r"http://127.0.0.1:\d+: \[Errno 111\] Connection refused$"):
        make(server).get(PATH, {}, verb="LIST", timeout=1)


def test_requests_are_counted_by_code_and_timed(server: FakeApiServer) -> None:
    counts = metrics.Metrics()
    made = make(server, counts=counts)
    server.faults[LIST].extend([None, Fault(403)])
    made.get(PATH, {}, verb="LIST", timeout=1).read()
    with pytest.raises(errors.ApiError):
        made.get(PATH, {}, verb="LIST", timeout=1)
    host = server.url.removeprefix("http://")
    assert counts.value(metrics.REQUESTS, "200", "GET", host) == 1
    assert counts.value(metrics.REQUESTS, "403", "GET", host) == 1
    (found,) = [one for one in counts.as_json() if one["name"] == metrics.REQUEST_DURATION.name]
    labels, histogram = found["series"][0]  # type: ignore[index]
    assert labels == ["LIST", host]
    assert sum(histogram["buckets"]) == 2


def test_token_files_are_read_again_after_a_while(server: FakeApiServer) -> None:
    now, tokens = [0.0], iter(["one", "two"])
    made = make(
        server,
        monotonic=lambda: now[0],
        load=lambda config: client.Access(server.url, authorization=f"Bearer {next(tokens)}"),
    )
    for moment in (0.0, 59.0, 61.0):
        now[0] = moment
        made.get(PATH, {}, verb="LIST", timeout=1).read()
    assert [request.headers["authorization"] for request in server.requests] == [
        "Bearer one", "Bearer one", "Bearer two",
    ]  # fmt: skip


def test_a_kubeconfig_is_loaded_again_before_its_token_ends(server: FakeApiServer) -> None:
    claims = base64.urlsafe_b64encode(b'{"exp": 1000}').decode().rstrip("=")
    now, loads = [0.0], []

    def load(config: object) -> client.Access:
        loads.append(now[0])
        return client.Access(server.url, authorization=f"Bearer a.{claims}.c")

    made = make(server, monotonic=lambda: now[0], clock=lambda: now[0], load=load, config={"kubeconfig": "x"})
    for moment in (0.0, 900.0, 939.0, 941.0, 950.0):
        now[0] = moment
        made.get(PATH, {}, verb="LIST", timeout=1).read()
    assert loads == [0.0, 941.0]


def test_several_refusals_at_once_read_the_token_once(server: FakeApiServer) -> None:
    now, loads = [0.0], []

    def load(config: object) -> client.Access:
        loads.append(now[0])
        return client.Access(server.url)

    made = make(server, monotonic=lambda: now[0], load=load)
    for moment in (0.0, 10.0, 10.1, 10.2):
        now[0] = moment
        made.get(PATH, {}, verb="LIST", timeout=1).read()
        made.refresh()
    made.get(PATH, {}, verb="LIST", timeout=1).read()
    assert loads == [0.0, 10.1]


def test_qps_and_burst() -> None:
    now = [0.0]
    limiter = client.Limiter(2.0, 3, monotonic=lambda: now[0])
    assert [limiter.reserve() for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]
    now[0] = 10.0
    assert [limiter.reserve() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert client.Limiter(0.0, 0).reserve() == 0.0


def test_waiting_for_the_limiter(server: FakeApiServer) -> None:
    waited: list[float] = []
    made = make(server, config={"apiserver_qps": 1.0, "apiserver_burst": 1}, wait=waited.append, monotonic=lambda: 0.0)
    for _ in range(3):
        made.get(PATH, {}, verb="LIST", timeout=1).read()
    assert waited == [1.0, 2.0]


def test_max_inflight_lets_the_next_one_in_when_a_head_has_come(server: FakeApiServer) -> None:
    made = make(server, config={"apiserver_max_inflight": 1})
    responses = [made.get(PATH, {}, verb="LIST", timeout=1) for _ in range(3)]
    assert [response.status for response in responses] == [200] * 3


# --- certificates that change ------------------------------------------------------------------------------------------


class TlsApiServer(socketserver.ThreadingTCPServer):
    """It answers every request with an empty object, with the certificate that `files` names when a client comes."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, files: Files) -> None:
        super().__init__(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        self.files = files
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def finish_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.files)
        with contextlib.suppress(OSError), context.wrap_socket(request, server_side=True) as secure:
            if secure.recv(4096):
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")


def test_authority_that_is_renewed_is_read_without_a_restart(tmp_path: pathlib.Path) -> None:
    old, new = (make_certificate(tmp_path, name, "IP:127.0.0.1") for name in ("old", "new"))
    (tmp_path / "token").write_text("t0ken")
    (tmp_path / "ca.crt").write_text(old[0].read_text())
    now = 0.0
    with TlsApiServer(old) as server:
        environment = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(server.server_address[1]),
            "FASTDNS_SERVICE_ACCOUNT": str(tmp_path),
        }
        made = client.Client(
            worlds.config(),
            counts=metrics.Metrics(),
            monotonic=lambda: now,
            load=lambda config: client.load_access(config, environment),
        )

        def ask() -> int:
            with contextlib.closing(made.get(PATH, {}, verb="LIST", timeout=10)) as response:
                return response.status

        assert ask() == 200
        server.files = new
        now = 5.0
        with pytest.raises(errors.ApiError, match="certificate verify failed"):
            ask()
        (tmp_path / "ca.crt").write_text(new[0].read_text())
        now = 10.0
        assert ask() == 200
        made.close()
        server.shutdown()
