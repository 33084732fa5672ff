"""Objects as JSON brings them: unknown, absent and null fields are all the same to us."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastdns import errors
from fastdns.kubernetes import objects
from fastdns.kubernetes.objects import Kind


def decode(kind: Kind, **body: Any) -> Any:
    return objects.decode(kind, json.dumps(body).encode())


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("body", [{}, {"metadata": None, "spec": None, "status": None}, {"unknown": [1, {"a": None}]}])
def test_nothing_is_required(kind: Kind, body: dict[str, Any]) -> None:
    made = decode(kind, **body)
    assert (made.name, made.namespace, made.uid, made.resource_version, made.created) == ("", "", "", "", "")
    assert not made.is_terminating


@pytest.mark.parametrize(
    "body",
    [
        {"endpoints": None, "ports": None},
        {"endpoints": [{"addresses": None, "conditions": None, "hostname": None, "targetRef": None}]},
        {"endpoints": [{"addresses": [], "conditions": {"ready": None, "serving": True}, "zone": "z"}]},
        {"ports": [{"name": None, "port": None, "protocol": None, "appProtocol": "x"}], "addressType": "IPv4"},
    ],
)
def test_slices_with_nulls(body: dict[str, Any]) -> None:
    assert decode(Kind.ENDPOINTSLICES, **body).service_name == ""


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [(None, True), ({}, True), ({"ready": None}, True), ({"ready": True}, True), ({"ready": False}, False)],
)
def test_ready_unless_it_says_no(conditions: object, expected: bool) -> None:
    made = decode(Kind.ENDPOINTSLICES, endpoints=[{"conditions": conditions}])
    assert made.endpoints[0].is_ready is expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"clusterIP": "10.0.0.1"}, ("10.0.0.1",)),
        ({"clusterIP": "10.0.0.1", "clusterIPs": None}, ("10.0.0.1",)),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"]}, ("10.0.0.1", "fd00::1")),
        ({"clusterIP": "", "clusterIPs": []}, ()),
        ({"clusterIP": "None"}, ("None",)),
        ({}, ()),
    ],
)
def test_cluster_ips(spec: dict[str, Any], expected: tuple[str, ...]) -> None:
    made = decode(Kind.SERVICES, spec=spec)
    assert made.cluster_ips == expected
    assert made.is_headless == (expected == ("None",))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"podIP": "10.0.0.1"}, ("10.0.0.1",)),
        ({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}, ("10.0.0.1", "fd00::1")),
        ({"podIPs": [{"ip": None}, {}]}, ()),
        ({}, ()),
    ],
)
def test_pod_addresses(status: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert decode(Kind.PODS, status=status).addresses == expected


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (Kind.SERVICES, {"spec": {"ports": [{"port": "80"}]}}, "$.spec.ports[0].port"),
        (Kind.SERVICES, {"spec": {"clusterIPs": "10.0.0.1"}}, "$.spec.clusterIPs"),
        (Kind.ENDPOINTSLICES, {"endpoints": {"a": 1}}, "$.endpoints"),
        (Kind.ENDPOINTSLICES, {"endpoints": [{"conditions": {"ready": "yes"}}]}, "$.endpoints[0].conditions.ready"),
        (Kind.PODS, {"status": {"podIPs": ["10.0.0.1"]}}, "$.status.podIPs[0]"),
    ],
)
def test_wrong_types_name_object_and_field(kind: Kind, body: dict[str, Any], expected: str) -> None:
    with pytest.raises(errors.ManifestError) as raised:
        decode(kind, metadata={"name": "x", "namespace": "ns"}, **body)
    assert str(raised.value).startswith(f"{kind} ns/x: Expected ")
    assert str(raised.value).endswith(f"at `{expected}`")
    with pytest.raises(errors.ManifestError) as converted:
        objects.convert(kind, {"metadata": {"name": "x", "namespace": "ns"}, **body})
    assert str(converted.value) == str(raised.value)


@pytest.mark.parametrize("text", [b"", b"{", b"nonsense", b'{"metadata": {"name": "\xff"}}', b"[]", b"null"])
def test_what_is_no_object_is_an_error(text: bytes) -> None:
    with pytest.raises(errors.ManifestError):
        objects.decode(Kind.SERVICES, text)


def test_labels_and_annotations_that_are_used() -> None:
    made = decode(
        Kind.ENDPOINTSLICES,
        metadata={
            "labels": {"kubernetes.io/service-name": "web", "other": "x"},
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"},
        },
    )
    assert (made.service_name, made.trigger_time) == ("web", "2026-01-01T00:00:00Z")
