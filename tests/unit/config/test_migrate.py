"""Arguments and keys in, a Corefile out: each one is read by the real parser, and looked at as configuration."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from fastdns import errors
from fastdns.cli import migrate as command
from fastdns.config import model
from fastdns.config.migrate import plan, pod, writing
from fastdns.server import configuration

KUBEDNS = ["--domain=cluster.local.", "--dns-port=10053", "--config-dir=/kube-dns-config", "--v=2"]
OWN = [f"--server=/{zone}/127.0.0.1#10053" for zone in ("cluster.local", "in-addr.arpa", "ip6.arpa")]
NANNY = ["-v=2", "-logtostderr", "-configDir=/etc/k8s/dns/dnsmasq-nanny", "-restartDnsmasq=true", "--"]
DNSMASQ = ["-k", "--cache-size=1000", "--no-negcache", "--dns-loop-detect", "--log-facility=-", *OWN]


def deployment(kubedns: Sequence[str] = KUBEDNS, dnsmasq: Sequence[str] | None = DNSMASQ) -> dict[str, Any]:
    containers: list[dict[str, Any]] = [{"name": "kubedns", "args": list(kubedns)}]
    if dnsmasq is not None:
        containers.append({"name": "dnsmasq", "args": [*NANNY, *dnsmasq]})
    containers.append({"name": "sidecar", "args": ["--v=2", "--probe=dnsmasq,127.0.0.1:53,a.b,5,SRV"]})
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": containers}}}}


def keys(**data: object) -> dict[str, Any]:
    texts = {key: text if isinstance(text, str) else json.dumps(text) for key, text in data.items()}
    return {"kind": "ConfigMap", "metadata": {"name": "kube-dns"}, "data": texts}


class Result:
    def __init__(self, *manifests: object) -> None:
        made = plan.make_plan(pod.read_pod(manifests))
        self.text, self.notes = writing.write(made), made.notes
        self.config = configuration.parse(self.text)
        self.blocks = {block.zone: block for block in self.config.blocks}

    def plugin(self, kind: type, zone: str = ".") -> Any:
        return next((one for one in self.blocks[zone].plugins if isinstance(one, kind)), None)

    def upstreams(self, zone: str = ".") -> list[str]:
        forward = self.plugin(model.Forward, zone)
        return [] if forward is None else [f"{one.address}:{one.port}" for one in forward.upstreams]


STOCK = """.:53 {
    errors
    health {
        lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
        max_concurrent 1000
    }
    cache {
        success 9984 3600 0
        disable success cluster.local
        disable denial
    }
    loop
    reload
    loadbalance
}
"""


def test_stock_deployment() -> None:
    result = Result(deployment())
    assert (result.text, result.notes) == (STOCK, [])


def test_configmap_alone_goes_with_the_stock_deployment() -> None:
    assert Result(keys()).text == STOCK


def test_lists_and_null_documents_are_passed_through() -> None:
    listed = {"kind": "List", "items": [deployment(), keys(upstreamNameservers=["192.0.2.1"])]}
    assert "forward . 192.0.2.1 {" in Result(None, listed).text


def test_stub_domains_are_blocks_of_their_own() -> None:
    result = Result(deployment(), keys(stubDomains={"acme.local": ["192.0.2.3", "192.0.2.4:5300"], "b.local": []}))
    assert list(result.blocks) == [".", "acme.local."]
    assert result.upstreams("acme.local.") == ["192.0.2.3:53", "192.0.2.4:5300"]


def test_upstream_nameservers_take_the_place_of_resolv_conf() -> None:
    assert Result(deployment(), keys(upstreamNameservers=["192.0.2.1", "192.0.2.2:54"])).upstreams() == [
        "192.0.2.1:53",
        "192.0.2.2:54",
    ]


def test_name_as_a_server_is_told_and_left_out() -> None:
    result = Result(deployment(), keys(stubDomains={"acme.local": ["ns.acme.local", "192.0.2.3"]}))
    assert result.upstreams("acme.local.") == ["192.0.2.3:53"]
    assert result.notes == ["stubDomains: acme.local: ns.acme.local is a name, not carried over: its address is needed"]


def test_stub_domain_of_the_cluster_itself_is_told_and_left_out() -> None:
    result = Result(deployment(), keys(stubDomains={"cluster.local": ["192.0.2.3"], "x.cluster.local": ["192.0.2.4"]}))
    assert list(result.blocks) == [".", "x.cluster.local."]
    assert "stub domain cluster.local" in result.notes[0]


def test_federations_are_told() -> None:
    result = Result(deployment([*KUBEDNS, "--federations=a=example.org"]), keys(federations="b=example.org"))
    assert [note.split(":")[0] for note in result.notes] == ["federations", "federations"]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--domain=Example.COM"], "kubernetes example.com"),
        (["--domain", "example.com."], "kubernetes example.com"),
        (["--kubecfg-file=/dev/null"], "kubeconfig /dev/null"),
        (["--kubecfg_file", "/dev/null", "--v=2"], "kubeconfig /dev/null"),
        (["--kube-master-url=http://127.0.0.1:8080"], "endpoint http://127.0.0.1:8080"),
    ],
)
def test_flags_of_kube_dns(flags: list[str], line: str) -> None:
    assert f"    {line}" in Result(deployment([*KUBEDNS, *flags])).text


def test_kube_dns_without_dnsmasq_serves_its_own_port_and_caches_nothing() -> None:
    result = Result(deployment(["--domain=cluster.local.", "--nameservers=192.0.2.1,192.0.2.2:54"], None))
    (listener,) = result.blocks["."].listeners
    assert listener.port == 53
    assert result.upstreams() == ["192.0.2.1:53", "192.0.2.2:54"]
    assert result.plugin(model.Cache) is None


def test_nameservers_do_not_count_beside_a_configmap() -> None:
    assert "forward . /etc/resolv.conf" in Result(deployment([*KUBEDNS, "--nameservers=192.0.2.1"], None)).text


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--port=5353"], ".:5353 {"),
        (["-p", "5353"], ".:5353 {"),
        (["--cache-size=20000"], "success 20000 3600 0"),
        (["-c20000"], "success 20000 3600 0"),
        (["--max-cache-ttl=60", "--min-cache-ttl=10"], "success 9984 60 10"),
        (["--dns-forward-max=150"], "max_concurrent 150"),
        (["--strict-order"], "policy sequential"),
        (["-q"], "log"),
        (["--server=192.0.2.1#54"], "forward . 192.0.2.1:54 /etc/resolv.conf {"),
        (["--server", "192.0.2.1", "-R"], "forward . 192.0.2.1 {"),
        (["-S", "fd00::1#54", "--no-resolv"], "forward . [fd00::1]:54 {"),
        (["--resolv-file=/etc/other.conf"], "forward . /etc/other.conf {"),
        (["--server=/a.local/b.local/192.0.2.9"], "forward . 192.0.2.9 {"),
        (["--addn-hosts=/etc/more"], "hosts /etc/more {"),
        (["--host-record=a.local,b.local,192.0.2.7"], "192.0.2.7 a.local b.local"),
    ],
)
def test_options_of_dnsmasq(
    options: list[str], line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    for path in ("/etc/other.conf",):
        (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\n")
        options = [option.replace(path, str(tmp_path / "resolv.conf")) for option in options]
        line = line.replace(path, str(tmp_path / "resolv.conf"))
    result = Result(deployment(dnsmasq=[*DNSMASQ, *options]))
    assert line in [text.strip() for text in result.text.splitlines()]
    assert not result.notes


def test_denials_are_cached_where_dnsmasq_does() -> None:
    options = [option for option in DNSMASQ if option != "--no-negcache"]
    assert "disable denial cluster.local\n" in Result(deployment(dnsmasq=options)).text


def test_no_cache_is_no_cache() -> None:
    assert Result(deployment(dnsmasq=[*DNSMASQ, "--cache-size=0"])).plugin(model.Cache) is None


def test_each_domain_of_a_server_is_a_stub_domain() -> None:
    result = Result(deployment(dnsmasq=[*DNSMASQ, "--server=/a.local/b.local/192.0.2.9"]))
    assert result.upstreams("a.local.") == result.upstreams("b.local.") == ["192.0.2.9:53"]


@pytest.mark.parametrize(
    "option",
    [
        "--address=/ads.example/0.0.0.0",
        "--server=/local/",
        "--server=/d/#",
        "--server=192.0.2.1@eth0",
        "--server=ns.example",
        "--rev-server=10.0.0.0/8,192.0.2.1",
        "--conf-file=/etc/dnsmasq.conf",
        "--servers-file=/etc/servers",
        "--cname=a,b",
        "--bogus-priv",
        "--neg-ttl=30",
        "--host-record=a.local,192.0.2.1,60",
    ],
)
def test_what_a_corefile_does_not_have_is_told(option: str) -> None:
    result = Result(deployment(dnsmasq=[*DNSMASQ, option]))
    assert result.notes == [f"{option}: not carried over"]
    assert result.text == STOCK


def test_no_servers_at_all_are_told() -> None:
    result = Result(deployment(dnsmasq=[*DNSMASQ, "--no-resolv"]))
    assert result.plugin(model.Forward) is None
    assert result.notes == ["there are no upstream servers: names outside of the cluster are refused"]


def test_reverse_zones_that_dnsmasq_does_not_send_to_kube_dns_are_not_the_clusters() -> None:
    result = Result(deployment(dnsmasq=["-k", "--server=/cluster.local/127.0.0.1#10053"]))
    assert result.plugin(model.Kubernetes).zones == ("cluster.local.",)


def test_path_with_odd_letters_is_quoted() -> None:
    options = ['--addn-hosts=/a "b" {c}']
    result = Result(deployment(dnsmasq=[*DNSMASQ, *options]))
    assert result.plugin(model.Hosts).path == '/a "b" {c}'


def test_containers_of_another_deployment_are_not_taken() -> None:
    other = {"name": "dnsmasq", "args": ["--server=192.0.2.1"]}
    others = {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [other]}}}}
    assert Result(others, deployment(), others).text == STOCK


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"kind": "Pod", "spec": {"containers": "x"}}, "containers of a pod is no list: 'x'"),
        (
            {"kind": "Pod", "spec": {"containers": [{"name": "kubedns", "args": "-v"}]}},
            "args of kubedns is no list: '-v'",
        ),
        (
            {"kind": "ConfigMap", "metadata": {"name": "kube-dns"}, "data": [1]},
            "data of ConfigMap kube-dns is no object",
        ),
    ],
)
def test_manifest_of_another_shape_is_told(manifest: object, message: str) -> None:
    with pytest.raises(errors.ManifestError) as caught:
        pod.read_pod([manifest])
    assert message in str(caught.value)


def test_command_and_variables_of_a_container_are_taken() -> None:
    manifest = {
        "kind": "Pod",
        "spec": {
            "containers": [
                {
                    "name": "dns",
                    "image": "registry.k8s.io/dns/k8s-dns-kube-dns:1.26.4",
                    "command": ["/kube-dns", "--domain=$(DOMAIN)"],
                    "args": ["--dns-port=53", "--v=$(UNKNOWN)"],
                    "env": [{"name": "DOMAIN", "value": "example.com."}],
                }
            ]
        },
    }
    assert pod.read_pod([manifest]).kubedns == ["--domain=example.com.", "--dns-port=53", "--v=$(UNKNOWN)"]
    assert "kubernetes example.com " in Result(manifest).text


# --- the command ---


def test_command_prints_the_corefile_and_tells_the_rest(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pod.json").write_text(json.dumps(deployment(dnsmasq=[*DNSMASQ, "--bogus-priv"])))
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "upstreamNameservers").write_text('["192.0.2.1"]')
    assert command.main(["--config-dir", str(tmp_path / "keys"), str(tmp_path / "pod.json")]) == 0
    told = capsys.readouterr()
    assert told.out == STOCK.replace("/etc/resolv.conf", "192.0.2.1")
    assert told.err == "fastdns migrate: --bogus-priv: not carried over\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: [", "manifest.yaml: while parsing"),
        ("hello", "a manifest is an object with a kind, not 'hello'"),
        (
            "kind: ConfigMap\nmetadata: {name: other}",
            "neither a Deployment with a container of kube-dns nor a ConfigMap",
        ),
        ("kind: Deployment\nspec: {}", "neither a Deployment"),
        (json.dumps(keys(stubDomains="{")), "stubDomains"),
        (json.dumps(keys(upstreamNameservers=["x"])), "upstreamNameservers"),
        (json.dumps(keys(federations="x")), "federations"),
    ],
)
def test_what_makes_no_sense_is_told(
    text: str, message: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.yaml").write_text(text)
    assert command.main([str(tmp_path / "manifest.yaml")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("fastdns migrate: ") and message in told.err


def test_command_needs_something_to_read(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main([])
    assert caught.value.code == 2
    assert command.main([str(tmp_path / "nowhere")]) == 1
    assert command.main(["--config-dir", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.count("No such file") == 2


def test_file_that_only_the_pod_has_is_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pod.json").write_text(json.dumps(deployment([*KUBEDNS, "--kubecfg-file=/nowhere"])))
    assert command.main([str(tmp_path / "pod.json")]) == 0
    told = capsys.readouterr()
    assert "        kubeconfig /nowhere\n" in told.out
    assert "on this machine it could not be served: Corefile:8 - Error during parsing: stat /nowhere" in told.err
