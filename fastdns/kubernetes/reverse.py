"""Reverse names: which Services and slices have an address, and what it is therefore called.

The TreeCache that this is a part of says whose an address is and is no more; operations go out. A cluster of 100,000
Services has 700,000 addresses: an entry of the index is about ten octets, since neighbours share what they have in
common.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from fastdns.dns import deltas
from fastdns.kubernetes import nodes, records

if TYPE_CHECKING:
    from fastdns.kubernetes import treecache

Owner = TypeVar("Owner")
Decoded = dict[nodes.Slice, dict[int, list[bytes]]]
LOW_BITS = 8


class Index(Generic[Owner]):
    """The owners of addresses, as `nodes.key_of` makes them keys; an address may have several, in the order of `add`.

    Keys that differ in their last octet alone share a bucket: these octets, and an owner for each.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, tuple[bytearray, list[Owner]]] = {}

    def __bool__(self) -> bool:
        return bool(self._buckets)

    def __iter__(self) -> Iterator[int]:
        """The keys. Those that come or go meanwhile may be among them, or not."""
        for high in list(self._buckets):
            lows, _ = self._buckets.get(high, (b"", ()))
            yield from [high << LOW_BITS | low for low in dict.fromkeys(lows)]

    def __contains__(self, key: int) -> bool:
        return key & 0xFF in self._buckets.get(key >> LOW_BITS, (b"", ()))[0]

    def get(self, key: int) -> list[Owner]:
        bucket = self._buckets.get(key >> LOW_BITS)
        if bucket is None:
            return []
        lows, owners = bucket
        first = lows.find(key & 0xFF)
        if first < 0 or lows.find(key & 0xFF, first + 1) < 0:
            return [owners[first]] if first >= 0 else []
        return [owners[at] for at in _positions(lows, key & 0xFF)]

    def add(self, key: int, owner: Owner) -> None:
        """Add an owner that the address does not have yet: thousands of slices may have one address, so nobody looks."""
        lows, owners = self._buckets.setdefault(key >> LOW_BITS, (bytearray(), []))
        lows.append(key & 0xFF)
        owners.append(owner)

    def remove(self, key: int, owner: Owner) -> None:
        """Take an owner away, if it is one."""
        lows, owners = self._buckets.get(key >> LOW_BITS, (bytearray(), []))
        for at in _positions(lows, key & 0xFF):
            if owners[at] is owner:
                del lows[at], owners[at]
                break
        if not lows:
            self._buckets.pop(key >> LOW_BITS, None)


def _positions(lows: bytes | bytearray, low: int) -> Iterator[int]:
    at = lows.find(low)
    while at >= 0:
        yield at
        at = lows.find(low, at + 1)


class Reverse:
    """PTR of the addresses of a TreeCache: a cluster IP is its Service's, another every ready endpoint's."""

    def __init__(self, tree: treecache.TreeCache) -> None:
        self.by_cluster_ip: Index[nodes.Service] = Index()
        self.by_ip: Index[nodes.Slice] = Index()
        self._tree = tree
        self._dirty: dict[int, None] = {}
        self._apexes = tuple(zone for zone in tree.zones if zone in records.REVERSE_APEXES)
        self._parts = [zone for zone in tree.zones if zone not in records.REVERSE_APEXES]

    def touch(self, keys: Iterable[int]) -> None:
        """What these addresses are called may be different now."""
        self._dirty.update(dict.fromkeys(keys))

    def drain(self) -> Iterator[bytes]:
        """The operations since the last call."""
        taken = list(self._dirty)
        self._dirty.clear()
        return self._operations(taken, always=True)

    def snapshot(self) -> Iterator[bytes]:
        """The operations that fill an empty table."""
        yield from self._operations(self.by_cluster_ip, always=False)
        yield from self._operations((key for key in self.by_ip if key not in self.by_cluster_ip), always=False)

    def names(self, key: int) -> list[bytes]:
        """What an address is called: labels without the primary zone."""
        return self._targets(key, {})

    def _operations(self, keys: Iterable[int], *, always: bool) -> Iterator[bytes]:
        """PTR of each address (specification 2.3.3); `always`: also the removal of those without."""
        decoded: Decoded = {}
        for key in keys:
            name = records.reverse_name(nodes.address_of(key))
            if not self._is_served(name):
                continue
            targets = self._targets(key, decoded)
            if targets:
                yield deltas.put(name, deltas.ptr_data(targets, self._tree.config.ttl))
            elif always:
                yield deltas.remove(name)

    def _is_served(self, name: bytes) -> bool:
        """Whether a reverse name is in one of our zones: mostly those are in-addr.arpa and ip6.arpa as a whole."""
        return name.endswith(self._apexes) or any(records.is_below(name, zone) for zone in self._parts)

    def _targets(self, key: int, decoded: Decoded) -> list[bytes]:
        """The names that an address has, without the primary zone: its Service's, else every ready endpoint's."""
        services = [service for service in self.by_cluster_ip.get(key) if self._has_reverse(service)]
        if services:
            newest = max(services, key=lambda service: (service.created, service.space.name, service.name))
            return self._short_enough([newest.labels])
        slices = self.by_ip.get(key)
        if len(slices) > 1:
            slices.sort(key=lambda one: (one.service.space.name, one.name))
        found: list[bytes] = []
        for one in slices:
            if self._has_reverse(one.service):
                found += nodes.targets_of(decoded, one).get(key, ())
        return self._short_enough(dict.fromkeys(found) if len(found) > 1 else found)

    def _has_reverse(self, service: nodes.Service) -> bool:
        """`namespaces` filters PTR too; a namespace that is gone or filtered by its labels doesn't, as in CoreDNS."""
        return not self._tree.config.namespaces or self._tree.is_exposed(service.space)

    def _short_enough(self, targets: Iterable[bytes]) -> list[bytes]:
        return [target for target in targets if len(target) + len(self._tree.primary) <= records.NAME_MAX]
