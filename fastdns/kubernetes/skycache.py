"""SkyCache: kube-dns's TreeCache, and the only maker of its record deltas.

Object changes come in (`apply`, `remove`, or a whole list between `begin_list` and `end_list`), operations for the name
tables go out (`drain_frames`; `snapshot` for an empty table). A change is compared with what the Service's names held
before, so that nothing goes out for one that alters no answer.

kube-dns leaves records behind that no object has any more: PTR of a changed cluster IP, addresses of deleted Endpoints.
Here everything that goes out is made from the objects as they are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastdns.config import model
from fastdns.dns import constants, deltas
from fastdns.kubernetes import objects, records, skydns
from fastdns.kubernetes.objects import Kind

logger = logging.getLogger(__name__)

HOUR = 3600
Key = tuple[str, str]
"""Namespace and name."""


class _Known:
    """An object as it is used, and in which list it last was."""

    __slots__ = ("generation", "uid", "value")

    def __init__(self, value: Any, uid: str, generation: int) -> None:
        self.value = value
        self.uid = uid
        self.generation = generation


class SkyCache:
    """One cluster's names, as kube-dns serves them.

    `clock` gives the unix time of the SOA's serial; `complain` takes one line for each thing that makes no sense in an
    object.
    """

    def __init__(
        self,
        config: model.Kubernetes,
        *,
        clock: Callable[[], float] = time.time,
        complain: Callable[[str], None] = logger.warning,
    ) -> None:
        self.config = config
        self.is_synced = False
        self.serial = 0
        self.domain = config.zones[0]
        self.zone = records.wire_name(self.domain)
        self._clock = clock
        self._complain = complain
        self._services: dict[Key, _Known] = {}
        self._endpoints: dict[Key, _Known] = {}
        self._externals: dict[str, set[str]] = {}
        self._reverse: dict[bytes, dict[tuple[Key, bytes], None]] = {}
        self._place = ""
        self._sent_synced = False
        self._sent_place = ""
        self._before: dict[Key, skydns.Names] = {}  # what changed Services' names held when it was last told
        self._dirty_spaces: dict[str, bool] = {}  # and whether a namespace's own name held something
        self._generations = dict.fromkeys(Kind, 0)
        self._complaints: dict[tuple[Kind, Key], tuple[str, ...]] = {}

    # --- changes that come in ----------------------------------------------------------------------------------------

    def apply(self, kind: Kind, item: objects.AnyObject) -> None:
        """An object as it is from now on. What makes no sense in it is complained about once, the rest is used."""
        found: list[str] = []
        key = (item.namespace, item.name)
        if not all(map(skydns.is_object_name, key)):
            found.append("name or namespace is no DNS label in lower case")
        elif isinstance(item, objects.Service):
            self._set(kind, key, skydns.read_service(item, found.append), item.uid)
        elif isinstance(item, objects.Endpoints):
            self._set(kind, key, skydns.read_endpoints(item, found.append), item.uid)
        self._report(kind, key, tuple(found))

    def remove(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> None:
        """An object that is gone. With a uid: only if it is the one that is known, so that old news do no harm."""
        known = self._held(kind).get((namespace, name))
        if known is not None and not (uid and known.uid and known.uid != uid):
            self._forget(kind, (namespace, name))

    def begin_list(self, kind: Kind) -> None:
        """A whole list comes: what isn't applied until `end_list` is gone."""
        self._generations[kind] += 1

    def end_list(self, kind: Kind) -> int:
        """Remove what the list did not have; how many objects that were."""
        generation = self._generations[kind]
        gone = [key for key, known in self._held(kind).items() if known.generation != generation]
        for key in gone:
            self._forget(kind, key)
        return len(gone)

    def keep(self, kind: Kind, namespace: str, name: str) -> None:
        """The list at hand has this object, but in a form that can't be read: what is known of it stays."""
        known = self._held(kind).get((namespace, name))
        if known is not None:
            known.generation = self._generations[kind]

    def entries(self, kind: Kind) -> Iterator[tuple[Any, ...]]:
        """Nothing: kube-dns keeps no state over a restart."""
        del kind
        return iter(())

    def restore(self, entry: Sequence[Any]) -> None:
        del entry

    def count(self, kind: Kind) -> int:
        """How many objects of a kind are known."""
        return len(self._held(kind)) if kind in (Kind.SERVICES, Kind.ENDPOINTS) else 0

    def is_headless(self, namespace: str, name: str) -> bool | None:
        """Whether a Service is headless; None: it isn't known."""
        known = self._services.get((namespace, name))
        return None if known is None else known.value.is_headless

    def set_synced(self, is_synced: bool) -> None:
        """Whether every list is complete: until then every query is REFUSED."""
        self.is_synced = is_synced

    def set_place(self, place: str) -> None:
        """`ZONE.REGION` of a node, for names of federations."""
        self._place = place

    def _held(self, kind: Kind) -> dict[Key, _Known]:
        return self._services if kind is Kind.SERVICES else self._endpoints

    def _set(self, kind: Kind, key: Key, value: skydns.Service | tuple[skydns.Subset, ...], uid: str) -> None:
        held = self._held(kind)
        known = held.get(key)
        if known is None or known.value != value:
            self._touch(key)
            held[key] = _Known(value, uid, self._generations[kind])
        else:
            known.uid, known.generation = uid, self._generations[kind]
        if kind is Kind.SERVICES:
            self._set_external(key, held[key].value.external_name is not None)

    def _forget(self, kind: Kind, key: Key) -> None:
        self._touch(key)
        del self._held(kind)[key]
        self._complaints.pop((kind, key), None)
        if kind is Kind.SERVICES:
            self._set_external(key, False)

    def _touch(self, key: Key) -> None:
        """Remember what a Service's names hold before it changes."""
        if key not in self._before:
            self._before[key] = self._names_of(key)

    def _set_external(self, key: Key, is_external: bool) -> None:
        namespace, name = key
        names = self._externals.get(namespace, set())
        if (name in names) == is_external:
            return
        self._dirty_spaces.setdefault(namespace, bool(names))
        self._externals[namespace] = names ^ {name}
        if not self._externals[namespace]:
            del self._externals[namespace]

    def _report(self, kind: Kind, key: Key, found: tuple[str, ...]) -> None:
        """Complain about an object when what is wrong with it is new."""
        known = self._complaints.pop((kind, key), ())
        if found:
            self._complaints[kind, key] = found
        name = objects.qualified(*key)
        for sentence in dict.fromkeys(found):
            if sentence not in known:
                self._complain(f"{kind} {name if name.isprintable() else ascii(name)}: {sentence}")

    # --- what goes out -----------------------------------------------------------------------------------------------

    def drain(self) -> bytes:
        """The operations since the last call, empty if no answer changed."""
        return b"".join(self._drain())

    def drain_frames(self) -> list[bytes]:
        """As `drain`, in runs of at most deltas.FRAME_MAX octets, except for one larger operation."""
        return list(deltas.pack(self._drain()))

    def snapshot(self) -> Iterator[bytes]:
        """Operations that fill an empty table. Changes may come in between two runs: `drain` has them afterwards."""
        return deltas.pack(self._snapshot())

    def _names_of(self, key: Key) -> skydns.Names:
        service, endpoints = self._services.get(key), self._endpoints.get(key)
        return skydns.names_of(
            *key,
            service.value if service else None,
            endpoints.value if endpoints else None,
            zone=self.zone,
            domain=self.domain,
        )

    def _drain(self) -> list[bytes]:
        operations: list[bytes] = []
        before, self._before = self._before, {}
        changed: dict[bytes, None] = {}
        for key, old in before.items():
            new = self._names_of(key)
            for labels in old.data:
                if labels not in new.data:
                    operations.append(deltas.remove(labels + self.zone))
            for labels, data in new.data.items():
                if old.data.get(labels) != data:
                    operations.append(deltas.put(labels + self.zone, data))
            changed |= self._renew_reverse(key, old.reverse, new.reverse)
        operations += self._space_operations()
        operations += [self._reverse_operation(address) for address in changed]
        operations += self._own_operations()
        return operations

    def _own_operations(self) -> Iterator[bytes]:
        """The serial, which moves with the hour; where a node is; and whether all is known."""
        hour = int(self._clock()) // HOUR * HOUR
        if hour > self.serial:
            self.serial = hour
            yield deltas.serial(hour)
        if self._place != self._sent_place:
            self._sent_place = self._place
            yield deltas.put(constants.NODE_PLACE + self.zone, skydns.place_data(self._place))
        if self.is_synced != self._sent_synced:
            self._sent_synced = self.is_synced
            yield deltas.synced(self.is_synced)

    def _space_operations(self) -> Iterator[bytes]:
        spaces, self._dirty_spaces = self._dirty_spaces, {}
        for namespace, was_there in spaces.items():
            is_there = namespace in self._externals
            name = records.label(namespace) + b"\3svc" + self.zone
            if is_there and not was_there:
                yield deltas.put(name, skydns.namespace_data())
            elif was_there and not is_there:
                yield deltas.remove(name)

    def _renew_reverse(
        self, key: Key, old: dict[skydns.Reverse, None], new: dict[skydns.Reverse, None]
    ) -> dict[bytes, None]:
        """Take over a Service's PTR records; the addresses of those that changed. The last writer's is the answer."""
        changed: dict[bytes, None] = {}
        for one in old:
            if one not in new:
                owners = self._reverse[one.address]
                owners.pop((key, one.target), None)
                if not owners:
                    del self._reverse[one.address]
                changed[one.address] = None
        for one in new:
            if one not in old:
                self._reverse.setdefault(one.address, {})[key, one.target] = None
                changed[one.address] = None
        return changed

    def _reverse_operation(self, address: bytes) -> bytes:
        owners = self._reverse.get(address)
        name = records.reverse_name(address)
        if not owners:
            return deltas.remove(name)
        _, target = next(reversed(owners))
        return deltas.put(name, skydns.ptr_data(target, is_ipv6=len(address) == 16))

    def _snapshot(self) -> Iterator[bytes]:
        yield deltas.primary(self.zone)
        yield skydns.zone(self.zone)
        yield from map(skydns.reverse_zone, records.REVERSE_APEXES)
        yield deltas.serial(self.serial)
        yield deltas.synced(self.is_synced)
        yield deltas.put(b"\3pod" + self.zone, skydns.pods_data())
        yield deltas.put(constants.NODE_PLACE + self.zone, skydns.place_data(self._place))
        for namespace in list(self._externals):
            yield deltas.put(records.label(namespace) + b"\3svc" + self.zone, skydns.namespace_data())
        for key in list(self._services):
            for labels, data in self._names_of(key).data.items():
                yield deltas.put(labels + self.zone, data)
        for address in list(self._reverse):
            yield self._reverse_operation(address)

    # --- questions ---------------------------------------------------------------------------------------------------

    def Records(self, name: str) -> list[skydns.Entry]:
        """The entries that a name means, `*` for any; empty: it is NXDOMAIN."""
        tree = self.dump()
        path = [label for label in name.lower().removesuffix(".").split(".") if label]
        return [
            skydns.Entry(key, value["host"], value.get("port", 0))
            for key, value in find_entries(tree, list(reversed(path)))
        ]

    def ReverseRecord(self, address: str) -> str:
        """The name of an address; empty: it has none."""
        owners = self._reverse.get(records.parse_address(address) or b"")
        if not owners:
            return ""
        _, target = next(reversed(owners))
        return ".".join(split_labels(target)) + f".{self.domain}"

    def dump(self) -> dict[str, Any]:
        """The tree as kube-dns's page /cache shows it: `ChildNodes` by label from the root down, `Entries` by key."""
        root = make_node()
        domain = self.domain.removesuffix(".").split(".")
        for (namespace, name), known in self._services.items():
            if known.value.external_name is not None:
                space = descend(root, (namespace, "svc", *domain))
                space["Entries"][name] = show_entry(skydns.Entry(name, known.value.external_name))
                continue
            endpoints = self._endpoints.get((namespace, name))
            subsets = endpoints.value if endpoints else None
            for node in skydns.nodes_of(namespace, name, known.value, subsets, domain=self.domain):
                entries = {entry.key: show_entry(entry) for entry in node.entries}
                descend(root, (*node.path, *domain))["Entries"] = entries
        return sort_node(root)


def find_entries(tree: dict[str, Any], path: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk down the tree; `path` begins at the root. As the last label `*` means the entries of the node before."""
    if not path:
        yield from tree["Entries"].items()
        return
    label, rest = path[0], path[1:]
    if not rest and label == "*":
        yield from tree["Entries"].items()
        return
    if not rest and label in tree["Entries"]:
        yield label, tree["Entries"][label]
    for name, child in tree["ChildNodes"].items():
        if name == label or (label == "*" and not name.startswith("_")):
            yield from find_entries(child, rest)


def make_node() -> dict[str, Any]:
    return {"ChildNodes": {}, "Entries": {}}


def descend(node: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """The node that `path` (leftmost label first) leads to from `node`, made where it isn't there."""
    for label in reversed(path):
        node = node["ChildNodes"].setdefault(label, make_node())
    return node


def sort_node(node: dict[str, Any]) -> dict[str, Any]:
    """The node with everything below it by name, as Go writes maps."""
    children = {label: sort_node(child) for label, child in sorted(node["ChildNodes"].items())}
    return {"ChildNodes": children, "Entries": dict(sorted(node["Entries"].items()))}


def show_entry(entry: skydns.Entry) -> dict[str, Any]:
    """An entry as JSON has it: what is zero is left out."""
    shown: dict[str, Any] = {"host": entry.host}
    if entry.port:
        shown["port"] = entry.port
    return {**shown, "priority": skydns.PRIORITY, "weight": skydns.WEIGHT, "ttl": skydns.TTL}


def split_labels(labels: bytes) -> list[str]:
    found, at = [], 0
    while at < len(labels) and labels[at]:
        found.append(labels[at + 1 : at + 1 + labels[at]].decode())
        at += 1 + labels[at]
    return found
