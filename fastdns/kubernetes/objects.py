"""The API objects that DNS is made of, as msgspec structs with just the fields that are used.

JSON of the API server (or of a manifest) comes in, frozen structs go out. Fields that are unknown are skipped, every
field may be absent or null: the API server writes `null` for an empty `endpoints`. What makes no sense inside a
well-formed object (an address that is none, a port out of range) is for `records` to report; here only what JSON types
say is checked.
"""

from __future__ import annotations

import enum
import sys
from typing import Any

import msgspec

from fastdns import errors

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
IMPORT_NAME_LABEL = "multicluster.kubernetes.io/service-name"
CLUSTER_LABEL = "multicluster.kubernetes.io/source-cluster"
NESTING_MAX = 10_000
"""So deep the API server lets JSON nest, in `managedFields` for example; msgspec goes as deep as Python's own limit."""
sys.setrecursionlimit(max(sys.getrecursionlimit(), NESTING_MAX + 1_000))
TRIGGER_TIME_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"


class Kind(enum.StrEnum):
    """A resource as it is named in the API's paths."""

    SERVICES = "services"
    ENDPOINTSLICES = "endpointslices"
    ENDPOINTS = "endpoints"
    SERVICEIMPORTS = "serviceimports"
    NAMESPACES = "namespaces"
    PODS = "pods"


class Struct(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The base of all: immutable, fields in the API's spelling."""


class Labels(Struct, frozen=True):
    service_name: str | None = msgspec.field(name=SERVICE_NAME_LABEL, default=None)
    import_name: str | None = msgspec.field(name=IMPORT_NAME_LABEL, default=None)
    cluster: str | None = msgspec.field(name=CLUSTER_LABEL, default=None)


class Annotations(Struct, frozen=True):
    trigger_time: str | None = msgspec.field(name=TRIGGER_TIME_ANNOTATION, default=None)


class Metadata(Struct, frozen=True):
    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: Labels | None = None
    annotations: Annotations | None = None


class Object(Struct, frozen=True):
    """What all kinds have."""

    metadata: Metadata | None = None

    @property
    def name(self) -> str:
        return (self.metadata.name or "") if self.metadata else ""

    @property
    def namespace(self) -> str:
        return (self.metadata.namespace or "") if self.metadata else ""

    @property
    def uid(self) -> str:
        return (self.metadata.uid or "") if self.metadata else ""

    @property
    def resource_version(self) -> str:
        return (self.metadata.resource_version or "") if self.metadata else ""

    @property
    def created(self) -> str:
        return (self.metadata.creation_timestamp or "") if self.metadata else ""

    @property
    def is_terminating(self) -> bool:
        return bool(self.metadata and self.metadata.deletion_timestamp)


class Port(Struct, frozen=True):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class ServiceSpec(Struct, frozen=True):
    type: str | None = None
    cluster_ip: str | None = msgspec.field(name="clusterIP", default=None)
    cluster_ips: list[str] | None = msgspec.field(name="clusterIPs", default=None)
    external_name: str | None = None
    ports: list[Port] | None = None


class Service(Object, frozen=True):
    spec: ServiceSpec | None = None

    @property
    def cluster_ips(self) -> tuple[str, ...]:
        """`clusterIPs`, or `clusterIP` where the list is empty; without empty texts."""
        if self.spec is None:
            return ()
        listed = self.spec.cluster_ips or [self.spec.cluster_ip or ""]
        return tuple(address for address in listed if address)

    @property
    def is_external(self) -> bool:
        return self.spec is not None and self.spec.type == "ExternalName"

    @property
    def is_headless(self) -> bool:
        return self.cluster_ips[:1] == ("None",)


class ServiceImportSpec(Struct, frozen=True):
    type: str | None = None
    ips: list[str] | None = None
    ports: list[Port] | None = None


class ServiceImport(Object, frozen=True):
    """multicluster.x-k8s.io/v1alpha1: a Service of several clusters."""

    spec: ServiceImportSpec | None = None

    @property
    def is_headless(self) -> bool:
        return self.spec is not None and self.spec.type == "Headless"


class Conditions(Struct, frozen=True):
    ready: bool | None = None


class TargetRef(Struct, frozen=True):
    name: str | None = None


class Endpoint(Struct, frozen=True):
    addresses: list[str] | None = None
    conditions: Conditions | None = None
    hostname: str | None = None
    target_ref: TargetRef | None = None
    zone: str | None = None

    @property
    def is_ready(self) -> bool:
        """True unless the condition says false: "a nil value should be interpreted as ready" (discovery.k8s.io/v1)."""
        return self.conditions is None or self.conditions.ready is not False


class EndpointSlice(Object, frozen=True):
    address_type: str | None = None
    endpoints: list[Endpoint] | None = None
    ports: list[Port] | None = None

    @property
    def service_name(self) -> str:
        labels = self.metadata.labels if self.metadata else None
        return (labels.service_name or "") if labels else ""

    @property
    def import_name(self) -> str:
        """The ServiceImport that it belongs to."""
        labels = self.metadata.labels if self.metadata else None
        return (labels.import_name or "") if labels else ""

    @property
    def cluster(self) -> str:
        labels = self.metadata.labels if self.metadata else None
        return (labels.cluster or "") if labels else ""

    @property
    def trigger_time(self) -> str:
        notes = self.metadata.annotations if self.metadata else None
        return (notes.trigger_time or "") if notes else ""


class EndpointAddress(Struct, frozen=True):
    ip: str | None = None
    hostname: str | None = None
    target_ref: TargetRef | None = None


class EndpointSubset(Struct, frozen=True):
    addresses: list[EndpointAddress] | None = None
    ports: list[Port] | None = None


class Endpoints(Object, frozen=True):
    """For API servers without discovery.k8s.io/v1: ready addresses are in `addresses`, the others elsewhere."""

    subsets: list[EndpointSubset] | None = None

    @property
    def trigger_time(self) -> str:
        notes = self.metadata.annotations if self.metadata else None
        return (notes.trigger_time or "") if notes else ""


class Namespace(Object, frozen=True):
    pass


class PodIP(Struct, frozen=True):
    ip: str | None = None


class PodStatus(Struct, frozen=True):
    phase: str | None = None
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    pod_ips: list[PodIP] | None = msgspec.field(name="podIPs", default=None)


class Pod(Object, frozen=True):
    status: PodStatus | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        if self.status is None:
            return ()
        listed = tuple(pod_ip.ip for pod_ip in self.status.pod_ips or () if pod_ip.ip)
        return listed or ((self.status.pod_ip,) if self.status.pod_ip else ())


AnyObject = Service | EndpointSlice | Endpoints | ServiceImport | Namespace | Pod

TYPES: dict[Kind, type[AnyObject]] = {
    Kind.SERVICES: Service,
    Kind.ENDPOINTSLICES: EndpointSlice,
    Kind.ENDPOINTS: Endpoints,
    Kind.SERVICEIMPORTS: ServiceImport,
    Kind.NAMESPACES: Namespace,
    Kind.PODS: Pod,
}
KIND_NAMES: dict[str, Kind] = {
    "Service": Kind.SERVICES,
    "EndpointSlice": Kind.ENDPOINTSLICES,
    "Endpoints": Kind.ENDPOINTS,
    "ServiceImport": Kind.SERVICEIMPORTS,
    "Namespace": Kind.NAMESPACES,
    "Pod": Kind.PODS,
}
_DECODERS: dict[Kind, msgspec.json.Decoder[AnyObject]] = {kind: msgspec.json.Decoder(of) for kind, of in TYPES.items()}


class _Named(Struct, frozen=True):
    """As little of a broken object as tells which one it is."""

    metadata: Any = None


def decode(kind: Kind, text: bytes | msgspec.Raw) -> AnyObject:
    """Read one object's JSON. Raises ManifestError naming object and field, if a field has the wrong type."""
    try:
        return _DECODERS[kind].decode(text)
    except msgspec.ValidationError as error:
        raise errors.ManifestError(f"{kind} {_whose(text)}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.ManifestError(f"{kind}: not JSON: {error}") from error


def convert(kind: Kind, tree: object) -> AnyObject:
    """The object that an already parsed document says. Raises ManifestError as `decode` does."""
    try:
        return msgspec.convert(tree, TYPES[kind])
    except msgspec.ValidationError as error:
        name = ""
        if isinstance(tree, dict) and isinstance(tree.get("metadata"), dict):
            name = qualified(tree["metadata"].get("namespace"), tree["metadata"].get("name"))
        raise errors.ManifestError(f"{kind} {name}: {error}") from error


def qualified(namespace: object, name: object) -> str:
    """`namespace/name`, or the name alone; a question mark for what isn't known."""
    return f"{namespace}/{name or '?'}" if namespace else f"{name or '?'}"


def _whose(text: bytes | msgspec.Raw) -> str:
    try:
        metadata = msgspec.json.decode(text, type=_Named).metadata
    except msgspec.MsgspecError:
        return "?"
    if not isinstance(metadata, dict):
        return "?"
    return qualified(metadata.get("namespace"), metadata.get("name"))
