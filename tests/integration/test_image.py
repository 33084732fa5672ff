"""The image as a Pod runs it: read-only root, a user who is not root, no new privileges, NET_BIND_SERVICE and nothing else.

Built once for this file, without docker; its size, its time to the first answer and its memory are printed (pytest -rA).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

import fastdns
from tests.peers import image, manifests, pod
from tests.peers.apiserver import ApiServer
from tests.peers.container import Container, Spec
from tests.peers.namespaces import Namespace
from tests.peers.servers import ROOT

pytestmark = pytest.mark.peers("buildah", "mmdebstrap", "ip", "nsenter", "unshare")

MB = 1_000_000
USER = (65532, 65532)
REVISION = "0123456789abcdef"
OWN_SIZE_MAX = 120 * MB
COREFILE = """.:53 {
    errors
    health {
       lameduck 1s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       manifests /cluster
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    cache 30
    loop
    reload
    loadbalance
}
"""
URLS = ("http://127.0.0.1:8080/health", "http://127.0.0.1:8181/ready", "http://127.0.0.1:9153/metrics")


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A name of the image, and arguments with which it answers on port 53 for the example cluster; what says it is well."""

    name: str
    arguments: tuple[str, ...] = ("-conf", "/etc/coredns/Corefile")
    urls: tuple[str, ...] = URLS


RECORDS = (
    "--address=/web.shop.svc.cluster.local/10.96.0.20",
    "--ptr-record=20.0.96.10.in-addr.arpa,web.shop.svc.cluster.local",
)
"""What is_example_answered asks for, as dnsmasq's options."""
SERVERS = (
    Server("/coredns"),
    Server("/fastdns", ("-conf", "/etc/coredns/Corefile", "--workers", "1")),
    Server("/usr/sbin/dnsmasq", ("-k", "--no-resolv", "--no-hosts", "--log-facility=-", *RECORDS), urls=()),
)
# Each target's entry point; all names are in each of them.
ENTRY_POINTS = {
    "fastdns": "/coredns",
    "kube-dns": "/kube-dns",
    "dnsmasq-nanny": "/dnsmasq-nanny",
    "sidecar": "/sidecar",
    "node-cache": "/node-cache",
}
NAMES = {*ENTRY_POINTS.values(), "/usr/sbin/dnsmasq", "/fastdns"}
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "test",
    "clusters": [{"name": "test", "cluster": {"server": "https://192.0.2.1:6443"}}],
    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    "users": [{"name": "test", "user": {"token": "secret"}}],
}


@pytest.fixture(scope="module")
def built() -> Iterator[image.Image]:
    with image.built(VERSION=fastdns.__version__, REVISION=REVISION) as made:
        yield made


@pytest.fixture
def network(tmp_path: pathlib.Path) -> Iterator[Namespace]:
    with Namespace("pod", folder=tmp_path) as made:
        yield made


@pytest.fixture
def run(built: image.Image, network: Namespace, tmp_path: pathlib.Path) -> Callable[..., Container]:
    """Start a command of the image for its user, with COREFILE, KUBECONFIG and the example cluster at hand."""
    (tmp_path / "Corefile").write_text(COREFILE)
    (tmp_path / "kubeconfig").write_text(json.dumps(KUBECONFIG))
    for name in ("Corefile", "kubeconfig"):
        (tmp_path / name).chmod(0o644)
    volumes = {
        "/etc/coredns/Corefile": tmp_path / "Corefile",
        "/etc/kubernetes/dns.conf": tmp_path / "kubeconfig",
        "/cluster": ROOT / "examples" / "cluster",
    }
    env = dict(setting.split("=", 1) for setting in built.configs["fastdns"]["Env"])

    def start(*arguments: str) -> Container:
        spec = Spec(built.root, arguments, env, *USER, volumes=volumes)
        return Container(spec, network=network, log=tmp_path / f"{os.path.basename(arguments[0])}.log")

    return start


def ask(
    name: str, kind: str = "A", *, tcp: bool = False, server: str = "127.0.0.1", port: int = 53
) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    if tcp:
        return dns.query.tcp(query, server, port=port, timeout=5)
    return dns.query.udp(query, server, port=port, timeout=0.25)


def addresses(message: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in message.answer for record in rrset]


def is_answered(name: str, address: str, *, server: str = "127.0.0.1") -> bool:
    try:
        return addresses(ask(name, server=server)) == [address]
    except (dns.exception.Timeout, OSError):
        return False


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_entry_point_answers_and_ends(server: Server, network: Namespace, run: Callable[..., Container]) -> None:
    began = time.monotonic()
    with run(server.name, *server.arguments) as container:
        container.process.wait_until(lambda: network.inside(is_example_answered), what="its first answer")
        took = time.monotonic() - began
        reverse = network.inside(functools.partial(ask, "20.0.96.10.in-addr.arpa", "PTR", tcp=True))
        assert addresses(reverse) == ["web.shop.svc.cluster.local."]
        for url in server.urls:
            is_well = functools.partial(network.inside, functools.partial(pod.is_well, url))
            container.process.wait_until(is_well, what=url)
        assert_confined(container)
        memory, processes = container.pss() / MB, len(container.pids())
        print(f"{server.name}: first answer {took:.2f} s, PSS {memory:.0f} MB in {processes} processes")
        assert container.terminate() == 0, container.log()


def is_example_answered() -> bool:
    return is_answered("web.shop.svc.cluster.local", "10.96.0.20")


def test_sidecar_finds_the_server_well(network: Namespace, run: Callable[..., Container]) -> None:
    probe = "--probe=dnsmasq,127.0.0.1:53,web.shop.svc.cluster.local,1,A"
    with run("/coredns", *SERVERS[0].arguments), run("/sidecar", "--v=2", "--logtostderr", probe) as sidecar:
        url = "http://127.0.0.1:10054/healthcheck/dnsmasq"
        sidecar.process.wait_until(lambda: network.inside(lambda: pod.is_well(url)), what=url)
        assert_confined(sidecar)
        print(f"/sidecar: PSS {sidecar.pss() / MB:.0f} MB")
        assert sidecar.terminate() == 0, sidecar.log()


def assert_confined(container: Container) -> None:
    """Nobody in it may more than a Pod with kubeadm's securityContext."""
    assert container.status("Uid") == {"\t".join([str(USER[0])] * 4)}
    assert container.status("NoNewPrivs") == {"1"}
    assert container.status("CapBnd") == {f"{1 << 10:016x}"}
    assert container.status("CapAmb") == container.status("CapInh") == {f"{0:016x}"}
    assert container.status("CapPrm") <= {f"{0:016x}", f"{1 << 10:016x}"}


def test_size(built: image.Image) -> None:
    own = built.size - built.base_size
    print(f"image {built.size / MB:.0f} MB, of it the base {built.base_size / MB:.0f} MB and fastdns {own / MB:.0f} MB")
    assert own < OWN_SIZE_MAX


def test_names_are_links_to_one_command(built: image.Image) -> None:
    assert {os.readlink(f"{built.root}{name}") for name in NAMES} == {"/opt/fastdns/bin/fastdns"}
    assert {target: config["Entrypoint"] for target, config in built.configs.items()} == {
        target: [name] for target, name in ENTRY_POINTS.items()
    }


def test_there_is_no_shell_and_no_settings_of_the_build(built: image.Image) -> None:
    places = ("bin", "usr/bin", "usr/local/bin", "opt/fastdns/bin")
    programs = {path.name for place in places for path in (built.root / place).glob("*")}
    assert programs.isdisjoint({"sh", "bash", "dash", "busybox", "pip", "pip3"}) and "python3" in programs
    assert image.settings_in(built.root) == []


def test_only_the_interpreter_of_fastdns_has_a_capability(built: image.Image) -> None:
    found = {path for path in built.root.rglob("*") if is_privileged(path)}
    assert found == {built.root / "opt/fastdns/bin/python3"}


def is_privileged(path: pathlib.Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    return bool(path.stat().st_mode & 0o6000) or "security.capability" in os.listxattr(path)


def test_configuration(built: image.Image) -> None:
    assert {target: config["User"] for target, config in built.configs.items()} == {
        target: "0:0" if target == "node-cache" else "65532:65532" for target in ENTRY_POINTS
    }
    for config in built.configs.values():
        labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
        assert labels["title"] == "fastdns" and labels["licenses"] == "Apache-2.0"
        assert (labels["version"], labels["revision"]) == (fastdns.__version__, REVISION)
        assert config["StopSignal"] == "SIGTERM"
        assert not [setting for setting in config["Env"] if setting.startswith(("PIP_", "SSL_"))]


@pytest.mark.parametrize("python, code", [("/opt/fastdns/bin/python3", 0), ("/usr/bin/python3", 1)])
def test_port_53_is_for_the_interpreter_of_fastdns(python: str, code: int, run: Callable[..., Container]) -> None:
    """Which also shows that these tests give a program no more than a container runtime does."""
    with run(python, "-I", "-c", "import socket; socket.socket().bind(('127.0.0.1', 53))") as container:
        assert container.process.wait(60) == code, container.log()
    assert ("Permission denied" in container.log()) == bool(code)


def test_nothing_can_be_written(run: Callable[..., Container]) -> None:
    write = "import os; open(os.path.join(PLACE, 'new'), 'w')"
    for place in ("/", "/tmp", "/opt/fastdns", "/etc/coredns"):
        with run("/opt/fastdns/bin/python3", "-I", "-c", write.replace("PLACE", repr(place))) as container:
            assert container.process.wait(60) == 1
        assert "Read-only file system" in container.log() or "Permission denied" in container.log()


def test_kubeconfig_is_read(run: Callable[..., Container]) -> None:
    """By what is left of the Kubernetes client."""
    command = "from fastdns.kubernetes import client; client.print_access()"
    with run("/opt/fastdns/bin/python3", "-I", "-c", command, "/etc/kubernetes/dns.conf", "") as container:
        assert container.process.wait(60) == 0, container.log()
        access = json.loads(container.log())
    assert (access["server"], access["authorization"]) == ("https://192.0.2.1:6443", "Bearer secret")


# --- what deploy/ says, run as it stands against a real API server -------------------------------------------------------


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A folder of deploy/, the address at which its Pod answers, and what it says of kubernetes.default."""

    folder: str
    server: str = "127.0.0.1"
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    addresses: tuple[str, ...] = ("10.96.0.1",)
    port: int = 53
    links: tuple[str, ...] = ()

    def is_served(self) -> bool:
        """True if it says that."""
        try:
            said = ask("kubernetes.default.svc.cluster.local", server=self.server, port=self.port)
        except (dns.exception.Timeout, OSError):
            return False
        return said.rcode() == self.rcode and tuple(addresses(said)) == self.addresses


PODS = (
    Case("coredns"),
    Case("fastdns"),
    Case("kube-dns"),
    # There is no cluster's DNS behind it in this network. Its link is there before where the kernel has no dummy links.
    Case("node-local", "169.254.20.10", rcode=dns.rcode.SERVFAIL, addresses=(), links=("nodelocaldns",)),
)


@pytest.mark.peers("kube-apiserver", "etcd", "openssl", "kustomize")
@pytest.mark.parametrize("case", PODS, ids=lambda case: case.folder)
def test_pod_of_deploy(
    case: Case, built: image.Image, api: ApiServer, network: Namespace, tmp_path: pathlib.Path
) -> None:
    for link in () if network.has_link_kind("dummy") else case.links:
        network.run("ip", "link", "add", link, "type", "bridge")
    made = manifests.kustomize(ROOT / "deploy" / case.folder)
    manifests.create_all(api, made)
    try:
        began = time.monotonic()
        with pod.Pod(built, made, api=api, network=network, folder=tmp_path) as running:
            running.wait_until(lambda: network.inside(case.is_served), what="its first answer")
            took = time.monotonic() - began
            running.wait_until(lambda: not running.failing_probes(), what="its probes")
            print(f"Pod of {case.folder}: first answer {took:.2f} s, PSS {running.pss() / MB:.0f} MB")
            assert set(running.terminate().values()) == {0}, running.log()
    finally:
        manifests.delete_all(api, made)
