"""`make demo`: a real API server with the objects of examples/cluster in it, and fastdns beside it with kubeadm's Corefile.

What README's transcript shows, for anyone to repeat. Everything is on loopback, in build/demo, and ends with Ctrl-C.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from tests.peers.apiserver import ApiServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "demo"
ORDER = ("Namespace", "Service", "EndpointSlice", "Pod")
COREFILE = """.:1053 {
    bind 127.0.0.1
    errors
    health 127.0.0.1:8080 {
        lameduck 5s
    }
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %s
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus 127.0.0.1:9153
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


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with ApiServer(FOLDER) as server:
        for manifest in sorted(read_manifests(), key=lambda one: ORDER.index(one["kind"])):
            server.create(manifest)
        (FOLDER / "Corefile").write_text(COREFILE % server.kubeconfig)
        print(f"kube-apiserver at {server.url}; kubectl --kubeconfig build/demo/kubeconfig", flush=True)
        print("fastdns at 127.0.0.1:1053 with build/demo/Corefile; Ctrl-C ends both", flush=True)
        try:
            return subprocess.call([sys.executable, "-m", "fastdns", "-conf", str(FOLDER / "Corefile")], cwd=ROOT)
        except KeyboardInterrupt:
            return 0


def read_manifests() -> Iterator[dict[str, Any]]:
    """The objects of examples/cluster, `List`s opened, without those that an API server makes itself."""
    for path in sorted((ROOT / "examples" / "cluster").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            for manifest in document["items"] if document["kind"] == "List" else [document]:
                if manifest["metadata"]["name"] not in ("default", "kube-system", "kubernetes"):
                    yield manifest


if __name__ == "__main__":
    raise SystemExit(main())
