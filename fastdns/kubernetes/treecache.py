"""TreeCache: the tree of names that the cluster's objects make, and the only maker of record deltas.

Object changes come in (`apply`, `remove`, or a whole list between `begin_list` and `end_list`), operations for the name
tables go out (`drain`; `snapshot` for an empty table). A change is encoded once, when it comes in: an EndpointSlice
becomes the octets of its group, and a changed Service is the join of its slices' groups. Nothing goes out for a change
that alters no answer. What an object was is forgotten, so that an endpoint costs an index entry and about six octets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fastdns.config import model
from fastdns.dns import deltas
from fastdns.kubernetes import apex, imports, nodes, objects, parts, questions, records, reverse, zonal
from fastdns.kubernetes.objects import Kind

logger = logging.getLogger(__name__)

IMPORTED = (Kind.SERVICEIMPORTS, Kind.ENDPOINTSLICES)
"""Kinds that `Imports` keeps too."""


class TreeCache:
    """One cluster's names, as one `kubernetes` plugin serves them.

    `local_ips` are the server's own addresses, for the zones' NS; `clock` gives the unix time of SOA serials;
    `complain` takes one line for each thing that makes no sense in an object.
    """

    def __init__(
        self,
        config: model.Kubernetes,
        *,
        local_ips: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
        complain: Callable[[str], None] = logger.warning,
    ) -> None:
        self.config = config
        self.is_synced = False
        self.serial = 0
        self._clock = clock
        self._complain = complain
        self.zones = [records.wire_name(zone.lower()) for zone in config.zones]
        self.forward = [zone for zone in self.zones if not records.is_reverse_zone(zone)]
        multicluster = [records.wire_name(zone) for zone in config.multicluster]
        importing = [zone for zone in self.forward if any(records.is_below(zone, one) for one in multicluster)]
        self.imports = imports.Imports(self, importing)
        self.zonal = zonal.Zonal(self)
        self._service_zones = [zone for zone in self.forward if zone not in importing]
        self.reverse = reverse.Reverse(self)
        self._labels_max = records.NAME_MAX - max((len(zone) for zone in self.forward), default=0)
        self.primary = records.wire_name(records.primary_zone([zone.lower() for zone in config.zones]))
        self._exposed = frozenset(config.namespaces)
        parsed = (records.parse_address(text) for text in local_ips)
        self.local = tuple(dict.fromkeys(address for address in parsed if address))
        self._local_keys = frozenset(nodes.key_of(address) for address in self.local)
        self.namespaces: dict[str, nodes.Namespace] = {}
        self.pod_count: dict[tuple[str, str], int] = {}
        self._counts = dict.fromkeys(Kind, 0)
        self._dirty_spaces: dict[nodes.Namespace, None] = {}
        self._dirty_services: dict[nodes.Service, None] = {}
        self._dirty_pods: dict[tuple[str, str], None] = {}
        self._apex_dirty = False
        self._sent_synced = False
        self._complaints: dict[tuple[Kind, str], tuple[str, ...]] = {}
        self._generations = dict.fromkeys(Kind, 0)

    # --- changes that come in ----------------------------------------------------------------------------------------

    def apply(self, kind: Kind, item: objects.AnyObject) -> None:
        """An object as it is from now on. What makes no sense in it is complained about once, the rest is used."""
        found: list[str] = []
        if isinstance(item, objects.Service):
            self._apply_service(item, found.append)
        elif isinstance(item, objects.EndpointSlice | objects.Endpoints):
            self._apply_endpoints(kind, item, found.append)
        elif isinstance(item, objects.ServiceImport):
            self.imports.apply(item, self._generations[kind], found.append)
        elif isinstance(item, objects.Namespace):
            self._apply_namespace(item, found.append)
        else:
            self._apply_pod(item, found.append)
        if found or self._complaints:
            self._report(kind, objects.qualified(item.namespace, item.name), tuple(found))

    def remove(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> None:
        """An object that is gone. With a uid: only if it is the one that is known, so that old news do no harm."""
        if kind in IMPORTED:
            self.imports.remove(kind, (namespace, name), uid)
        space = self.namespaces.get(name if kind is Kind.NAMESPACES else namespace)
        known = self._known(kind, space, name) if space else None
        if space is None or known is None or (uid and known.uid and known.uid != nodes.short_uid(uid)):
            return
        self._complaints.pop((kind, objects.qualified(namespace, name)), None)
        self._forget(kind, space, name)

    def begin_list(self, kind: Kind) -> None:
        """A whole list comes: what isn't applied until `end_list` is gone."""
        self._generations[kind] = (self._generations[kind] + 1) & 0xFF

    def end_list(self, kind: Kind) -> int:
        """Remove what the list did not have; how many objects that were."""
        generation = self._generations[kind]
        gone = [
            (space, name)
            for space in self.namespaces.values()
            for name, known in self._all_known(kind, space)
            if known.generation != generation
        ]
        for space, name in gone:
            self._complaints.pop((kind, objects.qualified(space.name if name != space.name else "", name)), None)
            self._forget(kind, space, name)
        imported = self.imports.end_list(kind, generation) if kind in IMPORTED else 0
        return max(len(gone), imported)

    def keep(self, kind: Kind, namespace: str, name: str) -> None:
        """The list at hand has this object, but in a form that can't be read: what is known of it stays."""
        space = self.namespaces.get(name if kind is Kind.NAMESPACES else namespace)
        known = self._known(kind, space, name) if space else None
        if known is not None:
            known.generation = self._generations[kind]
        if kind in IMPORTED:
            self.imports.keep(kind, (namespace, name), self._generations[kind])

    def entries(self, kind: Kind) -> Iterator[tuple[Any, ...]]:
        """Everything known of a kind, as plain values for a state file; `restore` takes them."""
        if kind is Kind.SERVICEIMPORTS:
            yield from self.imports.entries()
            return
        for space in list(self.namespaces.values()):
            for name, known in list(self._all_known(kind, space)):
                zoned = (self.zonal.groups_of(known),) if isinstance(known, nodes.Slice) else ()
                yield (str(kind), space.name, name, *_plain(known), *zoned)

    def restore(self, entry: Sequence[Any]) -> None:
        """An entry of `entries`, unless that object is known. The next list takes it away or confirms it."""
        kind, namespace, name, *rest = entry
        if kind == Kind.SERVICEIMPORTS:
            self.imports.restore((namespace, name), *rest)
            return
        kind, space = Kind(kind), self._space(namespace)
        if self._known(kind, space, name) is not None:
            return
        if kind is Kind.NAMESPACES:
            self.apply(kind, objects.Namespace(metadata=objects.Metadata(name=name)))
        elif kind is Kind.SERVICES:
            self._counts[kind] += 1
            self._set_service(self._service(space, name), *rest)
        elif kind is Kind.PODS:
            pod = space.pods[name] = nodes.Pod()
            self._counts[kind] += 1
            self._set_pod_addresses(namespace, pod, tuple(rest[0]))
        else:
            made = self._new_slice(kind, self._service(space, rest[0]), name)
            self._set_groups(made, rest[1])
            self.zonal.set(made, rest[2])

    def Records(self, name: str) -> list[questions.Record] | None:
        """All records of a name as text; empty if it exists without any, None if it doesn't exist (NXDOMAIN)."""
        return questions.records_of(self, name)

    def ReverseRecord(self, address: str) -> list[questions.Record]:
        """PTR records of an address, empty if it has none."""
        return questions.reverse_of(self, address)

    def dump(self) -> dict[str, Any]:
        """The tree as JSON's own types: `ChildNodes` by label from the root down, `Entries`."""
        return questions.dump(self)

    def reverse_names(self, key: int) -> list[bytes]:
        """What an address, as `nodes.key_of` makes it a key, is called: labels without the primary zone."""
        return self.reverse.names(key)

    def count(self, kind: Kind) -> int:
        """How many objects of a kind are known."""
        return self.imports.count if kind is Kind.SERVICEIMPORTS else self._counts[kind]

    def is_headless(self, namespace: str, name: str) -> bool | None:
        """Whether a Service is headless; None: it isn't known."""
        space = self.namespaces.get(namespace)
        service = space.services.get(name) if space else None
        return None if service is None or service.form == nodes.ABSENT else service.form == nodes.HEADLESS

    # --- what goes out -----------------------------------------------------------------------------------------------

    def drain(self) -> bytes:
        """The operations since the last call, empty if no answer changed."""
        return b"".join(self._drain())

    def drain_frames(self) -> list[bytes]:
        """As `drain`, in runs of at most deltas.FRAME_MAX octets, except for one larger operation."""
        return list(deltas.pack(self._drain()))

    def snapshot(self) -> Iterator[bytes]:
        """Operations that fill an empty table, in runs of at most deltas.FRAME_MAX octets.

        Changes may come in between two runs: what `drain` gives afterwards makes the table right.
        """
        return deltas.pack(self._snapshot())

    def set_synced(self, is_synced: bool) -> None:
        """Whether every list is complete: until then a name that isn't known is SERVFAIL, not NXDOMAIN."""
        self.is_synced = is_synced

    def _drain(self) -> list[bytes]:
        operations: list[bytes] = []
        for space in _taken(self._dirty_spaces):
            operations += self._namespace_operations(space)
        for service in _taken(self._dirty_services):
            operations += self._service_operations(service)
        operations += self.imports.drain()
        for namespace, label in _taken(self._dirty_pods):
            operations += self._pod_operations(namespace, label, always=True)
        operations += self.reverse.drain()
        if self._apex_dirty:
            self._apex_dirty = False
            operations += apex.operations(self)
        if operations:
            self.serial = max(int(self._clock()), self.serial)  # never back, whatever the clock does
            operations.append(deltas.serial(self.serial))
        if self.is_synced != self._sent_synced:
            self._sent_synced = self.is_synced
            operations.append(deltas.synced(self.is_synced))
        return operations

    def _snapshot(self) -> Iterator[bytes]:
        yield deltas.primary(self.primary)
        for zone in self.zones:
            yield records.zone(zone, self.config.ttl)
        yield deltas.serial(self.serial)
        yield deltas.synced(self.is_synced)
        yield from apex.operations(self)
        for zone in self.zones:
            yield from self._fixed_operations(zone)
        for space in list(self.namespaces.values()):
            if self.is_exposed(space):
                yield from self._namespace_nodes(space)
            for service in list(space.services.values()):
                made = self._service_data(service)
                if made is not None:
                    yield from self._service_puts(service.labels, made)
                yield from self._zonal_operations(service, always=False)
        yield from self.imports.snapshot()
        for namespace, label in list(self.pod_count):
            yield from self._pod_operations(namespace, label, always=False)
        yield from self.reverse.snapshot()

    def _puts(self, labels: bytes, made: bytes) -> Iterator[bytes]:
        """The same data below every forward zone; a name over 255 octets is left out."""
        return (deltas.put(name, made) for name in _names(labels, self.forward))

    def _removes(self, labels: bytes) -> Iterator[bytes]:
        return (deltas.remove(name) for name in _names(labels, self.forward))

    def _service_puts(self, labels: bytes, made: bytes) -> Iterator[bytes]:
        """As `_puts`, below the zones that have this cluster's own Services."""
        return (deltas.put(name, made) for name in _names(labels, self._service_zones))

    def _service_removes(self, labels: bytes) -> Iterator[bytes]:
        return (deltas.remove(name) for name in _names(labels, self._service_zones))

    # --- fixed names, namespaces, Services ---------------------------------------------------------------------------

    def _fixed_operations(self, zone: bytes) -> Iterator[bytes]:
        """`dns-version` (specification 2.1), and the inner names that are NODATA: svc, pod."""
        text = deltas.text_set(records.DNS_VERSION, records.DNS_VERSION_TTL)
        yield deltas.put(b"\x0bdns-version" + zone, deltas.data(deltas.ONLY_THESE, text))
        for inner in (b"\3svc", b"\3pod"):
            yield deltas.put(inner + zone, deltas.data(deltas.TXT_NXDOMAIN))

    def is_exposed(self, space: nodes.Namespace) -> bool:
        return space.exists and (not self._exposed or space.name in self._exposed)

    def _namespace_nodes(self, space: nodes.Namespace) -> Iterator[bytes]:
        name = records.label(space.name)
        yield from self._puts(name + b"\3svc", deltas.data(deltas.TXT_NXDOMAIN))
        if self.config.pods != "disabled":
            flags = deltas.TXT_NXDOMAIN | (deltas.POD_ADDRESSES if self.config.pods == "insecure" else 0)
            yield from self._puts(name + b"\3pod", deltas.data(flags))

    def _namespace_operations(self, space: nodes.Namespace) -> Iterator[bytes]:
        """A namespace that appears or goes; its Services and pods are marked, since they appear and go with it."""
        exposed = self.is_exposed(space)
        if exposed == space.served:
            return
        space.served = exposed
        self._dirty_services.update(dict.fromkeys(space.services.values()))
        self.imports.touch(space.name)
        self._dirty_pods.update((key, None) for key in self.pod_count if key[0] == space.name)
        if self._exposed:
            self.reverse.touch(nodes.keys_in(space))
        if exposed:
            yield from self._namespace_nodes(space)
            return
        name = records.label(space.name)
        yield from self._removes(name + b"\3svc")
        if self.config.pods != "disabled":
            yield from self._removes(name + b"\3pod")

    def _service_data(self, service: nodes.Service) -> bytes | None:
        """What a Service's name holds; None: it is NXDOMAIN."""
        if not self.is_exposed(service.space) or service.form in (nodes.ABSENT, nodes.UNUSABLE):
            return None
        if service.form == nodes.EXTERNAL:
            return deltas.data(0, deltas.cname_set(service.own, self.config.ttl))
        endpoints = [one.groups for one in service.slices if one.groups != records.NO_GROUPS]
        headless = service.form == nodes.HEADLESS
        if not endpoints and (headless or self.config.ignore_empty_service):
            return None
        made = records.service_set(
            service.labels, headless=headless, own=service.own, endpoints=endpoints, ttl=self.config.ttl
        )
        return deltas.data(0, made)

    def _service_operations(self, service: nodes.Service) -> Iterator[bytes]:
        made = self._service_data(service)
        was_served, service.served = service.served, made is not None
        if made is not None:
            yield from self._service_puts(service.labels, made)
        elif was_served:
            yield from self._service_removes(service.labels)
        yield from self._zonal_operations(service, always=True)

    def _zonal_operations(self, service: nodes.Service, *, always: bool) -> Iterator[bytes]:
        if not self.zonal.is_on:
            return
        labels, made = self.zonal.operation(service)
        if made is not None:
            yield from self._service_puts(labels, made)
        elif always:
            yield from self._service_removes(labels)

    def _apply_service(self, item: objects.Service, complain: records.Complain) -> None:
        if not parts.are_labels(item.namespace, item.name, complain):
            return
        space = self._space(item.namespace)
        service = self._service(space, item.name)
        self._counts[Kind.SERVICES] += service.form == nodes.ABSENT
        form, own = parts.service_parts(item, complain)
        if len(service.labels) > self._labels_max:
            complain(f"its name has {len(service.labels)} octets below the zone, {self._labels_max} are possible")
        service.uid, service.generation = nodes.short_uid(item.uid), self._generations[Kind.SERVICES]
        if (service.form, service.own, service.created) != (form, own, item.created):
            self._set_service(service, form, own, item.created)

    def _set_service(self, service: nodes.Service, form: int, own: bytes, created: str) -> None:
        before = service.addresses
        service.form, service.own, service.created = form, own, created
        for key in before:
            self.reverse.by_cluster_ip.remove(key, service)
        for key in service.addresses:
            self.reverse.by_cluster_ip.add(key, service)
        self.reverse.touch((*before, *service.addresses))
        self._touch(service)

    def _touch(self, service: nodes.Service) -> None:
        self._dirty_services[service] = None
        if self._local_keys and not self._apex_dirty:
            self._apex_dirty = any(service is one.service for one in apex.local_slices(self))

    # --- slices and reverse names ------------------------------------------------------------------------------------

    def _apply_endpoints(
        self, kind: Kind, item: objects.EndpointSlice | objects.Endpoints, complain: records.Complain
    ) -> None:
        pod_names = self.config.endpoint_pod_names
        if isinstance(item, objects.Endpoints):
            made = records.endpoints_groups(item, pod_names=pod_names, complain=complain)
            self._apply_slice(kind, item, item.name, made, complain)
            return
        if self.imports.zones:
            self.imports.apply_slice(item, self._generations[kind], complain)
        if not self.config.noendpoints:
            made = records.slice_groups(item, pod_names=pod_names, complain=complain)
            self._apply_slice(kind, item, item.service_name, made, complain)

    def _apply_slice(
        self,
        kind: Kind,
        item: objects.EndpointSlice | objects.Endpoints,
        owner: str,
        made: records.Groups,
        complain: records.Complain,
    ) -> None:
        """A slice's groups from now on. One without a Service's name belongs to nobody and is left out."""
        known_space = self.namespaces.get(item.namespace)
        known = known_space.slices.get(item.name) if known_space else None
        if known is not None and known.service.name != owner:
            self._forget(kind, known.service.space, item.name)
            known = None
        if not owner or not parts.are_labels(item.namespace, owner, complain):
            return
        if known is None:
            known = self._new_slice(kind, self._service(self._space(item.namespace), owner), item.name)
        known.uid, known.generation = nodes.short_uid(item.uid), self._generations[kind]
        self._set_groups(known, made)
        if self.zonal.is_on and self.zonal.apply(known, item):
            self._touch(known.service)

    def _new_slice(self, kind: Kind, service: nodes.Service, name: str) -> nodes.Slice:
        made = nodes.Slice(service, name)
        service.space.slices[name] = made
        service.slices = tuple(sorted((*service.slices, made), key=lambda one: one.name))
        self._counts[kind] += 1
        return made

    def _set_groups(self, known: nodes.Slice, made: records.Groups) -> None:
        if known.groups == made:
            return
        if self._local_keys or known.groups != records.NO_GROUPS:
            self._exchange_groups(known, made)
        else:
            known.groups = made
            keys = list(dict.fromkeys(nodes.key_of(address) for address, _ in records.read_endpoints(made)))
            for key in keys:
                self.reverse.by_ip.add(key, known)
            self.reverse.touch(keys)
        self._touch(known.service)

    def _exchange_groups(self, known: nodes.Slice, made: records.Groups) -> None:
        """Take a slice's old addresses out of the index and put the new ones in; what both have is left alone."""
        before = set(records.read_endpoints(known.groups))
        after = set(records.read_endpoints(made))
        known.groups = made
        old, new = {address for address, _ in before}, {address for address, _ in after}
        for address in old - new:
            self.reverse.by_ip.remove(nodes.key_of(address), known)
        for address in new - old:
            self.reverse.by_ip.add(nodes.key_of(address), known)
        changed = [nodes.key_of(address) for address, _ in before ^ after]
        self.reverse.touch(changed)
        if not self._local_keys.isdisjoint(changed):
            self._apex_dirty = True

    # --- namespaces and pods -----------------------------------------------------------------------------------------

    def _apply_namespace(self, item: objects.Namespace, complain: records.Complain) -> None:
        if not parts.are_labels(item.name, item.name, complain):
            return
        space = self._space(item.name)
        space.uid, space.generation = nodes.short_uid(item.uid), self._generations[Kind.NAMESPACES]
        if not space.exists:
            space.exists = True
            self._counts[Kind.NAMESPACES] += 1
            self._dirty_spaces[space] = None

    def _apply_pod(self, item: objects.Pod, complain: records.Complain) -> None:
        """A pod's addresses. One that is being deleted stays as it is known, or unknown, as in CoreDNS."""
        if self.config.pods != "verified" or not parts.are_labels(item.namespace, "x", complain):
            return
        space = self.namespaces.get(item.namespace)
        pod = space.pods.get(item.name) if space else None
        if item.is_terminating:
            if pod is not None:
                pod.generation = self._generations[Kind.PODS]
            return
        if pod is None:
            pod = self._space(item.namespace).pods[item.name] = nodes.Pod()
            self._counts[Kind.PODS] += 1
        pod.uid, pod.generation = nodes.short_uid(item.uid), self._generations[Kind.PODS]
        self._set_pod_addresses(item.namespace, pod, parts.pod_addresses(item, complain))

    def _set_pod_addresses(self, namespace: str, pod: nodes.Pod, addresses: tuple[str, ...]) -> None:
        if pod.addresses == addresses:
            return
        for text in pod.addresses:
            left = self.pod_count[namespace, text] - 1
            if left:
                self.pod_count[namespace, text] = left
            else:
                del self.pod_count[namespace, text]
        for text in addresses:
            self.pod_count[namespace, text] = self.pod_count.get((namespace, text), 0) + 1
        self._dirty_pods.update(((namespace, text), None) for text in (*pod.addresses, *addresses))
        pod.addresses = addresses

    def _pod_operations(self, namespace: str, text: str, *, always: bool) -> Iterator[bytes]:
        """`a-b-c-d.ns.pod.Z` of `pods verified`."""
        space = self.namespaces.get(namespace)
        pods = self.pod_count.get((namespace, text), 0)
        labels = records.label(text.replace(".", "-").replace(":", "-")) + records.label(namespace) + b"\3pod"
        address = records.parse_address(text)
        if ":" in text and "." in text:
            address = None  # no label leads back to an address that is spelt both ways
        if address is not None and pods and space is not None and self.is_exposed(space):
            made = records.pod_set(labels, address, pods=pods, ttl=self.config.ttl)
            yield from self._puts(labels, deltas.data(0, made))
        elif always:
            yield from self._removes(labels)

    # --- the tree itself ---------------------------------------------------------------------------------------------

    def _space(self, name: str) -> nodes.Namespace:
        space = self.namespaces.get(name)
        if space is None:
            space = self.namespaces[name] = nodes.Namespace(name)
        return space

    def _service(self, space: nodes.Namespace, name: str) -> nodes.Service:
        service = space.services.get(name)
        if service is None:
            service = space.services[name] = nodes.Service(space, name)
        return service

    def _known(
        self, kind: Kind, space: nodes.Namespace, name: str
    ) -> nodes.Service | nodes.Slice | nodes.Namespace | nodes.Pod | None:
        if kind is Kind.NAMESPACES:
            return space if space.exists else None
        if kind is Kind.SERVICES:
            service = space.services.get(name)
            return service if service and service.form != nodes.ABSENT else None
        if kind is Kind.SERVICEIMPORTS:
            return None  # `imports` has them
        return space.pods.get(name) if kind is Kind.PODS else space.slices.get(name)

    def _all_known(
        self, kind: Kind, space: nodes.Namespace
    ) -> Iterator[tuple[str, nodes.Service | nodes.Slice | nodes.Namespace | nodes.Pod]]:
        # slices and Endpoints share a place: an API server has the one or the other for us
        if kind is Kind.NAMESPACES:
            names: Iterable[str] = (space.name,)
        elif kind is Kind.SERVICES:
            names = space.services
        else:
            names = space.pods if kind is Kind.PODS else space.slices
        for name in names:
            known = self._known(kind, space, name)
            if known is not None:
                yield name, known

    def _forget(self, kind: Kind, space: nodes.Namespace, name: str) -> None:
        """Take an object that is known out of the tree."""
        self._counts[kind] -= 1
        if kind is Kind.NAMESPACES:
            space.exists = False
            self._dirty_spaces[space] = None
        elif kind is Kind.PODS:
            self._set_pod_addresses(space.name, space.pods.pop(name), ())
        elif kind is Kind.SERVICES:
            self._forget_service(space.services[name])
        else:
            self._forget_slice(space.slices[name])
        if space.is_empty:
            del self.namespaces[space.name]

    def _forget_service(self, service: nodes.Service) -> None:
        self._set_service(service, nodes.ABSENT, records.NO_GROUPS, "")
        service.uid = 0
        self._prune(service)

    def _forget_slice(self, known: nodes.Slice) -> None:
        self._set_groups(known, records.NO_GROUPS)
        self.zonal.forget(known)
        service = known.service
        service.slices = tuple(one for one in service.slices if one is not known)
        del service.space.slices[known.name]
        self._prune(service)

    def _prune(self, service: nodes.Service) -> None:
        if service.form == nodes.ABSENT and not service.slices:
            del service.space.services[service.name]

    def _report(self, kind: Kind, name: str, found: tuple[str, ...]) -> None:
        """Complain about an object when what is wrong with it is new."""
        known = self._complaints.pop((kind, name), ())
        if not found:
            return
        self._complaints[kind, name] = found
        shown = name if name.isprintable() else ascii(name)
        for sentence in dict.fromkeys(found):
            if sentence not in known:
                self._complain(f"{kind} {shown}: {sentence}")


# --- helpers ---------------------------------------------------------------------------------------------------------


def _plain(known: nodes.Service | nodes.Slice | nodes.Namespace | nodes.Pod) -> tuple[Any, ...]:
    """What `TreeCache.restore` needs besides names."""
    if isinstance(known, nodes.Service):
        return known.form, known.own, known.created
    if isinstance(known, nodes.Slice):
        return known.service.name, known.groups
    return (known.addresses,) if isinstance(known, nodes.Pod) else ()


def _names(labels: bytes, zones: Iterable[bytes]) -> list[bytes]:
    """The name below each zone; one over 255 octets is left out."""
    return [labels + zone for zone in zones if len(labels) + len(zone) <= records.NAME_MAX]


def _taken(dirty: dict[Any, None]) -> list[Any]:
    taken = list(dirty)
    dirty.clear()
    return taken
