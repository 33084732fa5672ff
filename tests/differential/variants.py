"""The Corefiles that both servers get.

{$PORT}, {$HEALTH}, {$READY} and {$METRICS} are each server's own; the others are of the run.
"""

from __future__ import annotations

import dataclasses

PAGES = """
    errors
    health 127.0.0.1:{$HEALTH} {
        lameduck 0s
    }
    ready 127.0.0.1:{$READY}
    prometheus 127.0.0.1:{$METRICS}
    bind 127.0.0.1
"""
FORWARD = "    forward . 127.0.0.1:{$UPSTREAM}\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """`caches_cluster`: CoreDNS answers cluster names from its cache, so that changes show late there.

    `imports` is the zone of ServiceImports, and `zonal` whether the names of zones are asked for.
    """

    name: str
    corefile: str
    zones: tuple[str, ...] = ("cluster.local",)
    caches_cluster: bool = False
    caches_upstream: bool = False
    imports: str = ""
    zonal: bool = False


def _variant(
    name: str,
    kubernetes: str,
    *,
    pages: str = PAGES,
    before: str = "",
    after: str = FORWARD,
    more: str = "",
    **other: object,
) -> Variant:
    """A server block of the root with a kubernetes plugin: `kubernetes` is its zones, then a line for each option.

    `before` and `after` are other plugins of the block, `more` other blocks.
    """
    zones, *options = kubernetes.strip().splitlines()
    lines = "".join(f"        {option.strip()}\n" for option in ["kubeconfig {$KUBECONFIG}", *options])
    block = f"    kubernetes {zones} {{\n{lines}    }}\n"
    return Variant(name, f".:{{$PORT}} {{{pages}{before}{block}{after}}}\n{more}", **other)  # type: ignore[arg-type]  # its fields


KUBEADM = """    cache 30 {
        disable success cluster.local
        disable denial cluster.local
    }
    loop
    reload
    loadbalance
"""

CACHE = """    cache 100 . {
        success 1000 40 25
        denial 1000 20 7
        servfail 1s
        disable success cluster.local
        disable denial cluster.local
    }
"""
BLOCKS = """example.test:{$PORT} {
    bind 127.0.0.1
    forward . 127.0.0.1:{$UPSTREAM}
}
10.1.0.0/24:{$PORT} a.svc.cluster.local:{$PORT} {
    bind 127.0.0.1
    hosts {$HOSTS} {
        no_reverse
    }
}
wild.example.test:{$PORT} {
    bind 127.0.0.1
    whoami
}
"""

VARIANTS = (
    _variant(
        "kubeadm",
        """cluster.local in-addr.arpa ip6.arpa
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30""",
        after="    forward . 127.0.0.1:{$UPSTREAM} {\n        max_concurrent 1000\n    }\n" + KUBEADM,
        caches_upstream=True,
    ),
    _variant(
        "older kubeadm",
        """cluster.local in-addr.arpa ip6.arpa
        pods insecure
        fallthrough in-addr.arpa ip6.arpa""",
        after=FORWARD + "    cache 30\n    loadbalance\n",
        caches_cluster=True,
        caches_upstream=True,
    ),
    _variant(
        "pods verified, endpoint_pod_names",
        """cluster.local in-addr.arpa ip6.arpa
        pods verified
        endpoint_pod_names
        ttl 0""",
    ),
    _variant(
        "pods disabled, fallthrough everywhere",
        """cluster.local in-addr.arpa ip6.arpa
        fallthrough""",
    ),
    _variant(
        "noendpoints",
        """cluster.local in-addr.arpa ip6.arpa
        pods insecure
        noendpoints
        ttl 3600""",
    ),
    _variant(
        "ignore empty_service",
        """cluster.local in-addr.arpa ip6.arpa
        ignore empty_service
        fallthrough cluster.local""",
    ),
    _variant(
        "namespaces",
        """cluster.local in-addr.arpa ip6.arpa
        namespaces default a svc
        pods verified
        fallthrough a.svc.cluster.local ip6.arpa""",
    ),
    _variant(
        "labels",
        """cluster.local 10.96.0.0/16 10.1.0.0/24 fd00:10:96::/112
        namespace_labels tier=gold
        labels app=x
        pods insecure""",
    ),
    _variant(
        "two zones, bufsize",
        """example.org cluster.local in-addr.arpa ip6.arpa
        pods insecure""",
        before="    bufsize 800\n",
        zones=("cluster.local", "example.org"),
    ),
    _variant(
        "hosts first, no upstream",
        """cluster.local in-addr.arpa ip6.arpa
        fallthrough""",
        before="    hosts {$HOSTS} {\n        192.0.2.99 inline.example.test\n        ttl 77\n        fallthrough\n    }\n",
        after="",
    ),
    _variant(
        "every address",
        """cluster.local in-addr.arpa ip6.arpa
        pods insecure""",
        pages=PAGES.replace("    bind 127.0.0.1\n", ""),
    ),
    _variant(
        "cache with bounds",
        """cluster.local in-addr.arpa ip6.arpa
        fallthrough""",
        after=FORWARD + CACHE,
        caches_cluster=True,
        caches_upstream=True,
    ),
    _variant(
        "forward with exceptions",
        """cluster.local in-addr.arpa ip6.arpa
        fallthrough in-addr.arpa""",
        after="    forward example.test 127.0.0.1:{$UPSTREAM} {\n        except www.example.test wild.example.test\n    }\n",
    ),
    _variant(
        "multicluster",
        """cluster.local clusterset.local in-addr.arpa ip6.arpa
        multicluster clusterset.local
        pods insecure
        fallthrough in-addr.arpa""",
        zones=("cluster.local", "clusterset.local"),
        imports="clusterset.local",
    ),
    _variant(
        "multicluster, noendpoints, ignore empty_service",
        """clusterset.local cluster.local in-addr.arpa
        multicluster clusterset.local
        noendpoints
        namespace_labels tier=gold
        labels app=x
        ignore empty_service""",
        zones=("cluster.local", "clusterset.local"),
        imports="clusterset.local",
    ),
    _variant(
        "zonal",
        """cluster.local in-addr.arpa ip6.arpa
        zonal
        ttl 60""",
        zonal=True,
    ),
    _variant(
        "zonal, multicluster, endpoint_pod_names",
        """cluster.local clusterset.local
        multicluster clusterset.local
        zonal
        endpoint_pod_names
        fallthrough""",
        zones=("cluster.local", "clusterset.local"),
        imports="clusterset.local",
        zonal=True,
    ),
    _variant(
        "several blocks",
        """cluster.local in-addr.arpa ip6.arpa
        fallthrough""",
        more=BLOCKS,
    ),
)
HOSTS = """192.0.2.90 www.example.test WWW2.example.test
2001:db8::90 www.example.test
192.0.2.91 web.a.svc.cluster.local
10.1.0.3 three.example.test
"""
