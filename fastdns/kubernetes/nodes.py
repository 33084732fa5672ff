"""The nodes of TreeCache's tree, as small as they can be.

A cluster of 100,000 Services has 500,000 endpoints: an endpoint is an entry of the index of addresses (`reverse`) and about
six octets of its slice's groups, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastdns.kubernetes import records

ABSENT, CLUSTER, HEADLESS, EXTERNAL, UNUSABLE = range(5)
"""A Service's form. ABSENT: only its slices are known. UNUSABLE: it is known, but has no answer."""
_IPV6_KEY = 1 << 128


class Namespace:
    """A namespace, known as an object (`exists`) or only by what is in it."""

    __slots__ = ("exists", "generation", "name", "pods", "served", "services", "slices", "suffix", "uid")

    def __init__(self, name: str) -> None:
        self.name = name
        self.suffix = records.label(name) + b"\3svc"
        self.exists = False
        self.served = False
        self.uid = 0
        self.generation = 0
        self.services: dict[str, Service] = {}
        self.slices: dict[str, Slice] = {}
        self.pods: dict[str, Pod] = {}

    @property
    def is_empty(self) -> bool:
        return not (self.exists or self.services or self.slices or self.pods)


class Service:
    """A Service and the slices that carry its name."""

    __slots__ = ("created", "form", "generation", "name", "own", "served", "slices", "space", "uid")

    def __init__(self, space: Namespace, name: str) -> None:
        self.space = space
        self.name = name
        self.form = ABSENT
        self.own: bytes = records.NO_GROUPS  # EXTERNAL: the target's wire name
        self.created = ""
        self.uid = 0
        self.generation = 0
        self.slices: tuple[Slice, ...] = ()  # by name
        self.served = False

    @property
    def addresses(self) -> tuple[int, ...]:
        """The cluster IPs as keys, which its octets have anyway."""
        if self.form != CLUSTER:
            return ()
        return tuple(dict.fromkeys(key_of(address) for address, _ in records.read_endpoints(self.own)))

    @property
    def labels(self) -> bytes:
        """`name.ns.svc` as labels, without root."""
        return records.label(self.name) + self.space.suffix


class Slice:
    """An EndpointSlice, or an Endpoints object, as the groups that it adds to its Service."""

    __slots__ = ("generation", "groups", "name", "service", "uid")

    def __init__(self, service: Service, name: str) -> None:
        self.service = service
        self.name = name
        self.groups = records.NO_GROUPS
        self.uid = 0
        self.generation = 0


class Pod:
    __slots__ = ("addresses", "generation", "uid")

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ()
        self.uid = 0
        self.generation = 0


def key_of(address: bytes) -> int:
    """A packed address as a small object: 4 octets as they are, 16 above every IPv4 address."""
    return int.from_bytes(address, "big") | (_IPV6_KEY if len(address) == 16 else 0)


def address_of(key: int) -> bytes:
    return (key ^ _IPV6_KEY).to_bytes(16, "big") if key & _IPV6_KEY else key.to_bytes(4, "big")


def short_uid(text: str) -> int:
    """Enough of a uid to tell two objects of one name apart; 0: unknown."""
    return hash(text) & 0xFFFFFFFF if text else 0


def targets_of(cache: dict[Slice, dict[int, list[bytes]]], one: Slice) -> dict[int, list[bytes]]:
    """A slice's endpoints' names (labels without the zone) by address, read once for a run of addresses."""
    known = cache.get(one)
    if known is None:
        if len(cache) > 256:
            cache.clear()
        known = cache[one] = {}
        labels = one.service.labels
        for endpoint in records.read_endpoints(one.groups):
            name = records.label_octets(records.endpoint_label(endpoint)) + labels
            known.setdefault(key_of(endpoint[0]), []).append(name)
    return known


def keys_in(space: Namespace) -> Iterator[int]:
    for service in space.services.values():
        yield from service.addresses
    for one in space.slices.values():
        for address, _ in records.read_endpoints(one.groups):
            yield key_of(address)
