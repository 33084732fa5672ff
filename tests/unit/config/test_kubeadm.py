"""The Corefile that kubeadm writes, as it stands there."""

from fastdns.config import model
from fastdns.server import configuration

COREFILE = """.:53 {
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
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
"""


def test_kubeadm_default(tmp_path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("search example.org\nnameserver 192.0.2.53\n")
    config = configuration.parse(COREFILE.replace("/etc/resolv.conf", str(resolv)))
    (block,) = config.blocks
    assert (block.zone, block.listeners) == (".", (model.Listener("", 53),))
    side = model.CacheSide(9984, 30)
    assert block.plugins == (
        model.Reload(30.0, 15.0),
        model.Ready("", 8181),
        model.Health("", 8080, 5.0),
        model.Prometheus("", 9153),
        model.Errors(),
        model.Loadbalance(),
        model.Cache((".",), side, side, disable_success=("cluster.local.",), disable_denial=("cluster.local.",)),
        model.Kubernetes(
            ("cluster.local.", "in-addr.arpa.", "ip6.arpa."),
            pods="insecure",
            ttl=30,
            fallthrough=model.Fallthrough(("in-addr.arpa.", "ip6.arpa.")),
        ),
        model.Loop(),
        model.Forward(".", (model.Upstream("192.0.2.53", 53),), max_concurrent=1000, max_connect_attempts=2),
    )
