"""The option `zonal`: below a headless Service `ZONE.pin._zone` and `ZONE.prefer._zone`, the endpoints of one zone.

Slices' zones come in, operations go out, by way of the TreeCache that this is a part of. Endpoints are kept a second time,
by zones: nobody pays for it without the option.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastdns.dns import deltas
from fastdns.kubernetes import nodes, objects, records

if TYPE_CHECKING:
    from fastdns.kubernetes import treecache

ZONE_LABEL = b"\5_zone"


class Zonal:
    """Endpoints by zones, of the slices that have ready ones. `is_on` tells whether the option is set."""

    def __init__(self, tree: treecache.TreeCache) -> None:
        self.is_on = tree.config.zonal
        self._tree = tree
        self._groups: dict[nodes.Slice, records.Groups] = {}

    def groups_of(self, known: nodes.Slice) -> records.Groups:
        return self._groups.get(known, records.NO_GROUPS)

    def apply(self, known: nodes.Slice, item: objects.EndpointSlice | objects.Endpoints) -> bool:
        """A slice's zones from now on; whether they are others than before. Endpoints, the older kind, have none."""
        pod_names = self._tree.config.endpoint_pod_names
        if isinstance(item, objects.EndpointSlice):
            return self.set(known, records.zoned_groups(item, pod_names=pod_names))
        made = records.endpoints_groups(item, pod_names=pod_names, complain=records.say_nothing, place=b"")
        return self.set(known, made)

    def set(self, known: nodes.Slice, made: records.Groups) -> bool:
        """As `apply`, of what `groups_of` once gave."""
        if self.groups_of(known) == made:
            return False
        if made == records.NO_GROUPS:
            del self._groups[known]
        else:
            self._groups[known] = made
        return True

    def forget(self, known: nodes.Slice) -> None:
        self._groups.pop(known, None)

    def operation(self, service: nodes.Service) -> tuple[bytes, bytes | None]:
        """The labels of the Service's `_zone`, and what it holds: a headless one has every zone, also without endpoints."""
        labels = ZONE_LABEL + service.labels
        if service.form != nodes.HEADLESS or not self._tree.is_exposed(service.space):
            return labels, None
        made = records.service_set(
            service.labels,
            headless=True,
            own=records.NO_GROUPS,
            endpoints=self._endpoints(service.slices),
            ttl=self._tree.config.ttl,
            places=records.ZONES,
        )
        return labels, deltas.data(deltas.ONLY_THESE, made)

    def _endpoints(self, slices: Sequence[nodes.Slice]) -> list[records.Groups]:
        return [self._groups[one] for one in slices if one in self._groups]
