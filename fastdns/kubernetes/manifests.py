"""Objects from files instead of an API server: the `manifests PATH...` option of the kubernetes plugin.

Files or folders come in (*.yaml, *.yml, *.json; several documents in a file, `List` objects as `kubectl get -o yaml`
writes them), objects by kind go out. The files are looked at again at each `poll`. A file that can't be parsed, and an
object that can't be read, are reported with file and line, and what was last read of them stays.

Where an API server would have filled something in: no namespace is `default`, no protocol is TCP. If no file has a
Namespace, the namespaces that are used exist (and have no labels). Endpoints are used only if no file has an
EndpointSlice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import yaml

from fastdns import errors
from fastdns.kubernetes import objects, selector
from fastdns.kubernetes.objects import Kind

SUFFIXES = (".yaml", ".yml", ".json")
FINISHED_PHASES = frozenset({"Succeeded", "Failed", "Unknown"})
Key = tuple[Kind, str, str]
"""Kind, namespace and name."""
Found = dict[Key, objects.AnyObject]
_Signature = tuple[int, int, int]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as Kubernetes reads it: a time is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Manifests:
    """The objects of some files. `complain` takes one line for each thing that is wrong, once."""

    def __init__(
        self,
        paths: Iterable[str],
        *,
        labels: str = "",
        namespace_labels: str = "",
        complain: Callable[[str], None],
    ) -> None:
        self._paths = tuple(paths)
        self._labels = selector.parse(labels)
        self._namespace_labels = selector.parse(namespace_labels)
        self._without_labels_exist = not namespace_labels
        self._complain = complain
        self._files: dict[str, tuple[_Signature | None, Found]] = {}
        self._missing: set[str] = set()

    def poll(self) -> bool:
        """Read what changed since the last time; whether anything may be different now."""
        listed = {path: self._signature(path) for path in self._list()}
        changed = False
        for path in [known for known in self._files if known not in listed]:
            del self._files[path]
            changed = True
        for path, signature in listed.items():
            known = self._files.get(path, (None, {}))
            if signature is not None and signature != known[0]:
                self._files[path] = (signature, self._read(path, known[1]))
                changed = True
        return changed

    def current(self) -> dict[Kind, list[objects.AnyObject]]:
        """All objects, by kind; what a later file says of an object is right."""
        found: Found = {}
        for path in sorted(self._files):
            found.update(self._files[path][1])
        by_kind: dict[Kind, list[objects.AnyObject]] = {kind: [] for kind in Kind}
        for (kind, _, _), item in found.items():
            by_kind[kind].append(item)
        if by_kind[Kind.ENDPOINTSLICES]:
            by_kind[Kind.ENDPOINTS] = []
        if not any(key[0] is Kind.NAMESPACES for _, read in self._files.values() for key in read):
            by_kind[Kind.NAMESPACES] = self._used_namespaces(found)
        return by_kind

    def _used_namespaces(self, found: Found) -> list[objects.AnyObject]:
        if not self._without_labels_exist:
            return []
        names = dict.fromkeys(namespace for _, namespace, _ in found)
        return [objects.Namespace(metadata=objects.Metadata(name=name)) for name in names]

    def _list(self) -> Iterator[str]:
        """The files that the paths mean now. A path that is gone keeps what was read of it."""
        for path in self._paths:
            try:
                names = sorted(os.listdir(path))
            except NotADirectoryError:
                self._missing.discard(path)
                yield path
            except OSError as error:
                self._once_missing(path, error)
                yield from (known for known in self._files if known == path or os.path.dirname(known) == path)
            else:
                self._missing.discard(path)
                yield from (os.path.join(path, name) for name in names if _is_manifest(name))

    def _signature(self, path: str) -> _Signature | None:
        try:
            status = os.stat(path)
        except OSError as error:
            self._once_missing(path, error)
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _once_missing(self, path: str, error: OSError) -> None:
        if path not in self._missing:
            self._missing.add(path)
            self._complain(f"{path}: {error.strerror}; what was read of it before stays")

    def _read(self, path: str, before: Found) -> Found:
        """What a file says now; `before`, where it can't be read."""
        try:
            with open(path, "rb") as file:
                text = file.read()
            documents = list(_parse(text, path))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            self._complain(f"{_place_of(path, error)}: {reason}; what was read of it before stays")
            return before
        found: Found = {}
        for line, tree in documents:
            self._add(found, f"{path}:{line}" if line else path, tree, before)
        return found

    def _add(self, found: Found, place: str, tree: object, before: Found) -> None:
        """One object of a file. One that is broken stays as it was before."""
        if not isinstance(tree, dict):
            self._complain(f"{place}: a {type(tree).__name__} where a Kubernetes object is expected")
            return
        kind = objects.KIND_NAMES.get(str(tree.get("kind")))
        if kind is None:
            return
        key = _key(kind, tree)
        try:
            item = objects.convert(kind, _defaulted(kind, tree))
        except errors.ManifestError as error:
            self._complain(f"{place}: {error}")
            if key in before:
                found[key] = before[key]
            return
        if not item.name:
            self._complain(f"{place}: a {tree.get('kind')} without metadata.name")
        elif self._is_selected(kind, tree):
            if key in found:
                self._complain(
                    f"{place}: {kind} {objects.qualified(key[1], key[2])} is in this file twice; the later one is used"
                )
            found[key] = item

    def _is_selected(self, kind: Kind, tree: dict[str, Any]) -> bool:
        """What the API server would have left out: by labels, and pods that are finished."""
        labels = (tree.get("metadata") or {}).get("labels") or {}
        if kind in (Kind.NAMESPACES, Kind.SERVICEIMPORTS):
            return self._namespace_labels(labels)
        if kind is Kind.PODS and (tree.get("status") or {}).get("phase") in FINISHED_PHASES:
            return False
        return self._labels(labels)


def _is_manifest(name: str) -> bool:
    return name.endswith(SUFFIXES) and not name.startswith(".")


def _key(kind: Kind, tree: dict[str, Any]) -> Key:
    metadata = tree.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    namespace = "" if kind is Kind.NAMESPACES else str(metadata.get("namespace") or "default")
    return kind, namespace, str(metadata.get("name"))


def _defaulted(kind: Kind, tree: dict[str, Any]) -> dict[str, Any]:
    """The object as an API server would have stored it, as far as we read it."""
    metadata = tree.get("metadata")
    if kind is not Kind.NAMESPACES and isinstance(metadata, dict) and not metadata.get("namespace"):
        tree = {**tree, "metadata": {**metadata, "namespace": "default"}}
    for holder in (tree, tree.get("spec")) if kind is not Kind.SERVICEIMPORTS else ():
        ports = holder.get("ports") if isinstance(holder, dict) else None
        for port in ports if isinstance(ports, list) else ():
            if isinstance(port, dict) and not port.get("protocol"):
                port["protocol"] = "TCP"
    return tree


def _parse(text: bytes, path: str) -> Iterator[tuple[int, object]]:
    """The objects of a file with their lines (0: not known), those of lists one by one."""
    if path.endswith(".json"):
        yield from ((0, tree) for tree in _unlisted(msgspec.json.decode(text)))
        return
    loader = _Loader(text)
    try:
        while loader.check_node():
            for node in _item_nodes(loader.get_node()):
                yield node.start_mark.line + 1, loader.construct_document(node)
    finally:
        loader.dispose()


def _unlisted(tree: object) -> Iterator[object]:
    """A List's items, else the object itself. Items of a `ServiceList` needn't say their kind."""
    if not isinstance(tree, dict) or not isinstance(tree.get("items"), list):
        yield tree
        return
    kind = str(tree.get("kind", "")).removesuffix("List")
    for item in tree["items"]:
        yield {"kind": kind, **item} if isinstance(item, dict) and kind else item


def _item_nodes(document: yaml.Node) -> Iterator[yaml.Node]:
    """As `_unlisted`, of nodes, which know their lines. An empty document has none."""
    if not isinstance(document, yaml.MappingNode):
        if not (isinstance(document, yaml.ScalarNode) and not document.value):
            yield document
        return
    fields = {key.value: value for key, value in document.value if isinstance(key, yaml.ScalarNode)}
    items = fields.get("items")
    if not isinstance(items, yaml.SequenceNode):
        yield document
        return
    kind = fields["kind"].value.removesuffix("List") if isinstance(fields.get("kind"), yaml.ScalarNode) else ""
    for item in items.value:
        if kind and isinstance(item, yaml.MappingNode) and not any(key.value == "kind" for key, _ in item.value):
            item.value.append((_text_node("kind", item), _text_node(kind, item)))
        yield item


def _text_node(text: str, beside: yaml.Node) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, beside.start_mark, beside.end_mark)


def _place_of(path: str, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{path}:{mark.line + 1}" if mark is not None else path
