"""Where a node is, as kube-dns's federations name it: `ZONE.REGION` from the labels of the first node that has both."""

from __future__ import annotations

import msgspec

from fastdns import errors
from fastdns.kubernetes import client, objects

ZONE_LABEL = "failure-domain.beta.kubernetes.io/zone"
REGION_LABEL = "failure-domain.beta.kubernetes.io/region"
"""kube-dns knows no others, whatever a node has today."""
PAGE = "500"
PAGES_MAX = 200
TIMEOUT = 30.0


class _Labels(objects.Struct, frozen=True):
    zone: str | None = msgspec.field(name=ZONE_LABEL, default=None)
    region: str | None = msgspec.field(name=REGION_LABEL, default=None)


class _Metadata(objects.Struct, frozen=True):
    labels: _Labels | None = None


class _Node(objects.Struct, frozen=True):
    metadata: _Metadata | None = None


class _ListMetadata(objects.Struct, frozen=True):
    continue_: str | None = msgspec.field(name="continue", default=None)


class _List(objects.Struct, frozen=True):
    items: list[_Node] | None = None
    metadata: _ListMetadata | None = None


def find_place(api: client.Client) -> str:
    """List nodes, and give the place of the first that tells it; empty: none does. Raises ApiError."""
    query = {"limit": PAGE, "resourceVersion": "0"}
    for _ in range(PAGES_MAX):
        response = api.get("/api/v1/nodes", query, verb="LIST", timeout=TIMEOUT)
        try:
            page = msgspec.json.decode(response.read(), type=_List)
        except msgspec.MsgspecError as error:
            raise errors.ApiError(f"nodes: {error}") from error
        finally:
            response.release_conn()
        for node in page.items or ():
            labels = node.metadata.labels if node.metadata else None
            if labels is not None and labels.zone and labels.region:
                return f"{labels.zone}.{labels.region}"
        if page.metadata is None or not page.metadata.continue_:
            break
        query = {"limit": PAGE, "continue": page.metadata.continue_}
    return ""
