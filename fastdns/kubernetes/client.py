"""The door to the API server: how it is reached and who we are (`Access`), and HTTP requests to it (`Client`).

In a cluster, and with `endpoint` and `tls`, this needs files and the environment alone. A kubeconfig is loaded by the
`kubernetes` package, the only use that we make of it, in a process of its own that ends when it has printed what it
found: the package takes 50 MB and most of a second. Tokens are read again when the API server says 401, and before they
expire.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

import fastdns
from fastdns import errors
from fastdns.config import model
from fastdns.kubernetes import metrics

logger = logging.getLogger(__name__)

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
CONNECT_TIMEOUT = 5.0
LIST_TIMEOUT = 60.0
TOKEN_REFRESH = 60.0
"""A token file is read again after this time: the kubelet writes a new one well before the old one ends."""
EXPIRY_MARGIN = 60.0
REFRESH_PAUSE = 1.0
"""Several watches are told 401 at once: one of them reads the token, the others use it."""
KUBECONFIG_TIMEOUT = 60.0
"""Of the process that loads a kubeconfig, exec plugin included."""
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is, and who we are to it. Certificates and keys are PEM texts."""

    server: str
    ca: str = ""
    certificate: str = ""
    key: str = ""
    authorization: str = ""  # the whole header
    verify: bool = True
    server_name: str = ""
    proxy: str = ""


def load_access(config: model.Kubernetes, environment: Mapping[str, str] | None = None) -> Access:
    """Find the API server as CoreDNS does: `kubeconfig`, else `endpoint` with `tls`, else the cluster that we run in.

    Raises ApiError: there is none, or a file of it can't be read.
    """
    if config.kubeconfig:
        return _from_kubeconfig(config.kubeconfig, config.context)
    if config.endpoint:
        return _from_endpoint(config.endpoint, config.tls)
    return _in_cluster(os.environ if environment is None else environment)


def _in_cluster(environment: Mapping[str, str]) -> Access:
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise errors.ApiError(
            "not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; "
            "use `kubeconfig FILE`, `endpoint URL` or `manifests PATH`"
        )
    folder = environment.get("FASTDNS_SERVICE_ACCOUNT", SERVICE_ACCOUNT)
    token = _read(os.path.join(folder, "token")).strip()
    address = f"[{host}]" if ":" in host else host
    return Access(
        f"https://{address}:{port}", ca=_read(os.path.join(folder, "ca.crt")), authorization=f"Bearer {token}"
    )


def _from_endpoint(endpoint: str, tls: tuple[str, ...]) -> Access:
    """`tls CERT KEY CACERT`, or `tls CACERT`, or nothing: then the system's CAs are asked."""
    server = endpoint if "://" in endpoint else f"http://{endpoint}"
    if len(tls) == 3:
        certificate, key, ca = (_read(path) for path in tls)
        return Access(server, ca=ca, certificate=certificate, key=key)
    if len(tls) == 2:
        return Access(server, certificate=_read(tls[0]), key=_read(tls[1]))
    return Access(server, ca=_read(tls[0]) if tls else "")


def _from_kubeconfig(path: str, context: str) -> Access:
    command = [sys.executable, "-c", "from fastdns.kubernetes import client; client.print_access()", path, context]
    try:
        done = subprocess.run(command, capture_output=True, timeout=KUBECONFIG_TIMEOUT, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.ApiError(f"kubeconfig {path}: {error}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise errors.ApiError(f"kubeconfig {path}: {said[-1]}")
    return Access(**json.loads(done.stdout.splitlines()[-1]))


def print_access() -> None:
    """What the short-lived process does: load a kubeconfig, print an Access as JSON, with the contents of files."""
    from kubernetes import client as kubernetes_client
    from kubernetes import config as kubernetes_config

    path, context = sys.argv[1:3]
    loaded: Any = kubernetes_client.Configuration()
    try:
        kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=path, context=context or None, client_configuration=loaded, persist_config=False
        )
        access = Access(
            server=loaded.host,
            ca=_read(loaded.ssl_ca_cert) if loaded.ssl_ca_cert else "",
            certificate=_read(loaded.cert_file) if loaded.cert_file else "",
            key=_read(loaded.key_file) if loaded.key_file else "",
            authorization=_with_scheme(loaded.api_key.get("BearerToken") or loaded.api_key.get("authorization") or ""),
            verify=bool(loaded.verify_ssl),
            server_name=loaded.tls_server_name or "",
            proxy=loaded.proxy or "",
        )
    except Exception as error:  # the package raises whatever its parsers do
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
    print(json.dumps(dataclasses.asdict(access)))


def _with_scheme(token: str) -> str:
    return token if not token or token.startswith(("Bearer ", "Basic ")) else f"Bearer {token}"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.ApiError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def expiry_of(authorization: str) -> float | None:
    """The unix time at which a JWT says that it ends (RFC 7519 section 4.1.4); None: the token doesn't say."""
    parts = authorization.removeprefix("Bearer ").split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None


class Limiter:
    """A token bucket: `qps` requests a second, `burst` at once. Without a rate nobody waits."""

    def __init__(self, qps: float, burst: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._qps = qps
        self._burst = float(burst or max(int(qps), 1))
        self._tokens = self._burst
        self._monotonic = monotonic
        self._last = monotonic()
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take a token; how many seconds to wait before using it."""
        if self._qps <= 0:
            return 0.0
        with self._lock:
            now = self._monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._last) * self._qps) - 1
            self._last = now
            return max(0.0, -self._tokens / self._qps)


class Client:
    """Requests to one API server, for several threads. Access is loaded when first needed, and again when it fails.

    `wait` sleeps for some seconds and returns early when the client is to stop.
    """

    def __init__(
        self,
        config: model.Kubernetes,
        *,
        counts: metrics.Metrics,
        wait: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        load: Callable[[model.Kubernetes], Access] = load_access,
    ) -> None:
        self._config = config
        self._counts = counts
        self._wait = wait
        self._clock = clock
        self._monotonic = monotonic
        self._load = load
        self._limiter = Limiter(config.apiserver_qps, config.apiserver_burst, monotonic=monotonic)
        inflight = config.apiserver_max_inflight
        self._inflight = threading.BoundedSemaphore(inflight) if inflight > 0 else None
        self._lock = threading.Lock()
        self._access: Access | None = None
        self._loaded_at = 0.0
        self._pool: urllib3.PoolManager | None = None

    def get(self, path: str, query: Mapping[str, str], *, verb: str, timeout: float) -> urllib3.BaseHTTPResponse:
        """Ask; the response's body is not read yet. `timeout` bounds each wait for octets.

        Raises ApiError with the status: it isn't 200. With `retry_after` in seconds, if the API server said one.
        """
        access, pool = self._ready()
        host = urllib.parse.urlsplit(access.server).netloc
        waiting = self._limiter.reserve()
        self._counts.observe(metrics.LIMITER_DURATION, waiting, verb, host)
        if waiting:
            self._wait(waiting)
        response = self._send(pool, access, path, query, verb=verb, timeout=timeout)
        self._counts.increment(metrics.REQUESTS, str(response.status), "GET", host)
        if response.status != 200:
            raise _refusal(response, path)
        return response

    def refresh(self) -> None:
        """The API server doesn't know us any more: read tokens and certificates again before the next request."""
        with self._lock:
            if self._monotonic() - self._loaded_at >= REFRESH_PAUSE:
                self._access = None

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.clear()

    def _send(
        self,
        pool: urllib3.PoolManager,
        access: Access,
        path: str,
        query: Mapping[str, str],
        *,
        verb: str,
        timeout: float,
    ) -> urllib3.BaseHTTPResponse:
        host = urllib.parse.urlsplit(access.server).netloc
        headers = {"Accept": "application/json", "User-Agent": f"fastdns/{fastdns.__version__}"}
        if access.authorization:
            headers["Authorization"] = access.authorization
        if self._inflight is not None:
            self._inflight.acquire()
        started = self._monotonic()
        try:
            return pool.request(
                "GET",
                f"{access.server.rstrip('/')}{path}?{urllib.parse.urlencode(query)}",
                headers=headers,
                preload_content=False,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=timeout),
            )
        except urllib3.exceptions.HTTPError as error:
            self._counts.increment(metrics.REQUESTS, "<error>", "GET", host)
            if _is_tls(error):
                self.refresh()  # the CA or our certificate may have been renewed
            raise errors.ApiError(f"{access.server}: {cause_of(error)}", 0, "unreachable") from error
        finally:
            self._counts.observe(metrics.REQUEST_DURATION, self._monotonic() - started, verb, host)
            if self._inflight is not None:
                self._inflight.release()

    def _ready(self) -> tuple[Access, urllib3.PoolManager]:
        """Access that is fresh enough, and connections that were made with its certificates."""
        with self._lock:
            if self._access is None or self._is_old(self._access):
                before, self._access = self._access, None
                access = self._load(self._config)
                if self._pool is None or _tls_of(before) != _tls_of(access):
                    self._pool = make_pool(access)
                self._access, self._loaded_at = access, self._monotonic()
            assert self._pool is not None
            return self._access, self._pool

    def _is_old(self, access: Access) -> bool:
        """A token that is about to end, or whose file may have been written since."""
        if not access.authorization:
            return False
        if not self._config.kubeconfig:
            return self._monotonic() - self._loaded_at > TOKEN_REFRESH
        expiry = expiry_of(access.authorization)
        was_just_loaded = self._monotonic() - self._loaded_at < EXPIRY_MARGIN
        return expiry is not None and not was_just_loaded and expiry - self._clock() < EXPIRY_MARGIN


def _tls_of(access: Access | None) -> tuple[object, ...]:
    """What connections depend on."""
    if access is None:
        return ()
    return access.server, access.ca, access.certificate, access.key, access.verify, access.server_name, access.proxy


def make_pool(access: Access) -> urllib3.PoolManager:
    """Connections for an Access. Raises ApiError: a certificate or key is none."""
    options: dict[str, Any] = {"num_pools": 2, "maxsize": 8, "socket_options": list(_KEEPALIVE)}
    if access.server.startswith("https:"):
        try:
            options["ssl_context"] = _ssl_context(access)
        except (ssl.SSLError, ValueError) as error:
            raise errors.ApiError(f"{access.server}: CA, certificate or key: {error}") from error
        if access.server_name:
            options["server_hostname"] = options["assert_hostname"] = access.server_name
    if access.proxy:
        return urllib3.ProxyManager(access.proxy, **options)
    return urllib3.PoolManager(**options)


def _ssl_context(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=access.ca or None)
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if access.certificate:
        files = [_in_memory(text) for text in (access.certificate, access.key)]
        try:
            context.load_cert_chain(*(f"/proc/self/fd/{fd}" for fd in files))
        finally:
            for fd in files:
                os.close(fd)
    return context


def _in_memory(text: str) -> int:
    """A file that no disk ever sees: OpenSSL takes private keys by name only."""
    fd = os.memfd_create("pem", os.MFD_CLOEXEC)
    os.write(fd, text.encode())
    return fd


def _refusal(response: urllib3.BaseHTTPResponse, path: str) -> errors.ApiError:
    """The error that a Status body tells, with what Retry-After asks for."""
    try:
        text = response.read(65536, decode_content=True)
    except (urllib3.exceptions.HTTPError, OSError):
        text = b""
    finally:
        response.close()
    message, reason = "", ""
    try:
        status = json.loads(text)
        message, reason = str(status.get("message", "")), str(status.get("reason", ""))
    except (ValueError, AttributeError):
        message = text[:200].decode(errors="replace").strip()
    after = response.headers.get("Retry-After", "")
    seconds = float(after) if after.isdigit() else 0.0
    return errors.ApiError(f"GET {path}: HTTP {response.status}: {message}", response.status, reason, seconds)


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, (ssl.SSLError, urllib3.exceptions.SSLError)):
            return True
        error = error.__cause__ or error.__context__
    return False


def cause_of(error: BaseException) -> str:
    """The innermost reason of a failed request, without the objects that urllib3 shows around it."""
    while True:
        inner = getattr(error, "reason", None)
        inner = inner if isinstance(inner, BaseException) else error.__cause__
        if inner is None:
            return str(error).rpartition("object at ")[2].partition(">: ")[2] or str(error)
        error = inner
