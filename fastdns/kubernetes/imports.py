"""ServiceImports: the Services of several clusters (Multi-Cluster Services API), as the `multicluster` zones have them.

ServiceImports and the EndpointSlices that carry a ServiceImport's name come in, operations go out, by way of the TreeCache
that this is a part of: it knows the namespaces. An endpoint's name has its cluster in it, `endpoint.cluster.name.ns.svc`;
nothing here has a reverse name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fastdns.dns import deltas
from fastdns.kubernetes import nodes, objects, parts, records
from fastdns.kubernetes.objects import Kind

if TYPE_CHECKING:
    from fastdns.kubernetes import treecache

Key = tuple[str, str]
"""Namespace and name."""


class Slice:
    """An EndpointSlice as the groups that it adds to the ServiceImport `owner`."""

    __slots__ = ("generation", "groups", "owner", "uid")

    def __init__(self, owner: Key) -> None:
        self.owner = owner
        self.groups = records.NO_GROUPS
        self.uid = 0
        self.generation = 0


class Import:
    """A ServiceImport and its slices by name; `form` is ABSENT while only those are known."""

    __slots__ = ("form", "generation", "own", "slices", "uid")

    def __init__(self) -> None:
        self.form = nodes.ABSENT
        self.own = records.NO_GROUPS
        self.uid = 0
        self.generation = 0
        self.slices: dict[str, Slice] = {}


class Imports:
    """The ServiceImports of a TreeCache; `zones` are those that have them, none if the option isn't set."""

    def __init__(self, tree: treecache.TreeCache, zones: Sequence[bytes]) -> None:
        self.zones = zones
        self._tree = tree
        self._imports: dict[Key, Import] = {}
        self._slices: dict[Key, Slice] = {}
        self._dirty: dict[Key, None] = {}

    # --- changes that come in ----------------------------------------------------------------------------------------

    def apply(self, item: objects.ServiceImport, generation: int, complain: records.Complain) -> None:
        if not parts.are_labels(item.namespace, item.name, complain):
            return
        key = (item.namespace, item.name)
        known = self._import(key)
        known.uid, known.generation = nodes.short_uid(item.uid), generation
        self._set_import(key, *parts.import_parts(item, complain))

    def apply_slice(self, item: objects.EndpointSlice, generation: int, complain: records.Complain) -> None:
        """A slice's groups from now on, if it has a ServiceImport's name: else it is none of ours."""
        key, owner = (item.namespace, item.name), (item.namespace, item.import_name)
        known = self._slices.get(key)
        if known is not None and known.owner != owner:
            self._forget_slice(key)
        if not item.import_name or not parts.are_labels(*owner, complain):
            return
        cluster = parts.cluster_label(item.cluster, complain)
        pod_names = self._tree.config.endpoint_pod_names
        self._set_groups(key, owner, records.slice_groups(item, pod_names=pod_names, place=cluster, complain=complain))
        known = self._slices[key]
        known.uid, known.generation = nodes.short_uid(item.uid), generation

    def remove(self, kind: Kind, key: Key, uid: str) -> None:
        known = self._known(kind).get(key)
        if known is not None and not (uid and known.uid and known.uid != nodes.short_uid(uid)):
            self._forget(kind, key)

    def keep(self, kind: Kind, key: Key, generation: int) -> None:
        known = self._known(kind).get(key)
        if known is not None:
            known.generation = generation

    def end_list(self, kind: Kind, generation: int) -> int:
        """Remove what a list did not have; how many that were."""
        gone = [key for key, known in self._known(kind).items() if known.generation != generation]
        gone = [key for key in gone if kind is Kind.ENDPOINTSLICES or self._imports[key].form != nodes.ABSENT]
        for key in gone:
            self._forget(kind, key)
        return len(gone)

    def touch(self, namespace: str) -> None:
        """A namespace has appeared or gone."""
        self._dirty.update((key, None) for key in self._imports if key[0] == namespace)

    def entries(self) -> Iterator[tuple[Any, ...]]:
        """ServiceImports as plain values for a state file, with their slices; `restore` takes them."""
        for (namespace, name), known in list(self._imports.items()):
            slices = [(one, known.slices[one].groups) for one in known.slices]
            yield str(Kind.SERVICEIMPORTS), namespace, name, known.form, known.own, slices

    def restore(self, key: Key, form: int, own: bytes, slices: Iterable[tuple[str, bytes]]) -> None:
        self._set_import(key, form, own)
        for name, groups in slices:
            self._set_groups((key[0], name), key, groups)

    # --- what goes out -----------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many ServiceImports are known."""
        return sum(known.form != nodes.ABSENT for known in self._imports.values())

    def drain(self) -> Iterator[bytes]:
        """The operations since the last call."""
        taken = list(self._dirty)
        self._dirty.clear()
        for key in taken:
            known = self._imports.get(key)
            made = self._data(key, known) if known is not None else None
            if made is not None:
                yield from self._puts(key, made)
            else:
                yield from (deltas.remove(name) for name in self._names(key))

    def snapshot(self) -> Iterator[bytes]:
        """The operations that fill an empty table."""
        for key, known in list(self._imports.items()):
            made = self._data(key, known)
            if made is not None:
                yield from self._puts(key, made)

    def _puts(self, key: Key, made: bytes) -> Iterator[bytes]:
        return (deltas.put(name, made) for name in self._names(key))

    def _names(self, key: Key) -> list[bytes]:
        labels = _labels(key)
        return [labels + zone for zone in self.zones if len(labels) + len(zone) <= records.NAME_MAX]

    def _data(self, key: Key, known: Import) -> bytes | None:
        """What a ServiceImport's name holds; None: it is NXDOMAIN."""
        space = self._tree.namespaces.get(key[0])
        if space is None or not self._tree.is_exposed(space) or known.form == nodes.ABSENT:
            return None
        groups = [known.slices[name].groups for name in sorted(known.slices)]
        endpoints = [made for made in groups if made != records.NO_GROUPS]
        headless = known.form == nodes.HEADLESS
        if not endpoints and (headless or self._tree.config.ignore_empty_service or known.own == records.NO_GROUPS):
            return None
        made = records.service_set(
            _labels(key),
            headless=headless,
            own=known.own,
            endpoints=endpoints,
            ttl=self._tree.config.ttl,
            places=records.CLUSTERS,
        )
        return deltas.data(_flags(known), made)

    # --- the tables --------------------------------------------------------------------------------------------------

    def _known(self, kind: Kind) -> dict[Key, Any]:
        return self._slices if kind is Kind.ENDPOINTSLICES else self._imports

    def _import(self, key: Key) -> Import:
        known = self._imports.get(key)
        if known is None:
            known = self._imports[key] = Import()
        return known

    def _set_import(self, key: Key, form: int, own: bytes) -> None:
        known = self._import(key)
        if (known.form, known.own) != (form, own):
            known.form, known.own = form, own
            self._dirty[key] = None
        self._prune(key)

    def _set_groups(self, key: Key, owner: Key, made: records.Groups) -> None:
        known = self._slices.get(key)
        if known is None:
            known = self._slices[key] = self._import(owner).slices[key[1]] = Slice(owner)
        if known.groups != made:
            known.groups = made
            self._dirty[owner] = None

    def _forget(self, kind: Kind, key: Key) -> None:
        if kind is Kind.ENDPOINTSLICES:
            self._forget_slice(key)
        else:
            self._set_import(key, nodes.ABSENT, records.NO_GROUPS)

    def _forget_slice(self, key: Key) -> None:
        known = self._slices.pop(key)
        del self._imports[known.owner].slices[key[1]]
        self._dirty[known.owner] = None
        self._prune(known.owner)

    def _prune(self, key: Key) -> None:
        known = self._imports[key]
        if known.form == nodes.ABSENT and not known.slices:
            del self._imports[key]


def _labels(key: Key) -> bytes:
    """`name.ns.svc` as labels, without root."""
    return records.label(key[1]) + records.label(key[0]) + b"\3svc"


def _flags(known: Import) -> int:
    """CoreDNS's answer to TXT where there is no address, or no port of a ServiceImport with endpoints."""
    if known.form == nodes.HEADLESS:
        return 0
    if known.own == records.NO_GROUPS:
        return deltas.ONLY_THESE
    return 0 if any(True for _ in records.read_endpoints(known.own)) else deltas.TXT_NXDOMAIN
