"""Objects from files: what is read, what is reported, and what stays."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest

from fastdns.kubernetes import manifests, objects
from fastdns.kubernetes.objects import Kind

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  clusterIP: 10.0.0.1
  ports: [{{port: 80}}]
"""


class Source:
    """Manifests of a folder, and what was said about them."""

    def __init__(self, folder: pathlib.Path, *paths: str, **options: str) -> None:
        self.folder = folder
        self.said: list[str] = []
        wanted = [str(folder / path) for path in paths] or [str(folder)]
        self.manifests = manifests.Manifests(wanted, complain=self.said.append, **options)
        self._stamp = 1

    def write(self, name: str, text: str) -> None:
        """Write a file with a time of its own, however quick the test is."""
        path = self.folder / name
        path.write_text(text)
        self._stamp += 1
        os.utime(path, (self._stamp, self._stamp))

    def names(self, kind: Kind = Kind.SERVICES) -> set[str]:
        self.manifests.poll()
        return {item.name for item in self.manifests.current()[kind]}


@pytest.fixture
def source(tmp_path: pathlib.Path) -> Source:
    return Source(tmp_path)


def test_files_of_a_folder(source: Source) -> None:
    for name in ("a.yaml", "b.yml", "c.json"):
        source.write(name, f'{{"kind": "Service", "metadata": {{"name": "{name[0]}"}}}}')
    source.write("d.txt", SERVICE.format(name="d"))
    source.write(".e.yaml", SERVICE.format(name="e"))
    assert source.names() == {"a", "b", "c"}
    assert source.said == []


def test_documents_and_lists(source: Source) -> None:
    listed = "kind: List\nitems:\n" + "".join(
        f"- {{kind: Service, metadata: {{name: {name}}}}}\n" for name in ("c", "d")
    )
    source.write("x.yaml", "---\n" + SERVICE.format(name="a") + "---\n---\n# nothing\n---\n" + listed)
    source.write("y.yaml", "kind: ServiceList\nitems: [{metadata: {name: e}}]\n")
    source.write("z.json", '{"kind": "ServiceList", "items": [{"metadata": {"name": "f"}}]}')
    assert source.names() == {"a", "c", "d", "e", "f"}


def test_what_an_api_server_fills_in(source: Source) -> None:
    source.write("x.yaml", SERVICE.format(name="a"))
    source.names()
    (service,) = source.manifests.current()[Kind.SERVICES]
    assert service.namespace == "default"
    assert service.spec.ports[0].protocol == "TCP"  # type: ignore[union-attr]


def test_times_and_words_stay_texts(source: Source) -> None:
    source.write("x.yaml", "kind: Service\nmetadata: {name: a, creationTimestamp: 2026-01-01T00:00:00Z}\n")
    source.names()
    assert source.manifests.current()[Kind.SERVICES][0].created == "2026-01-01T00:00:00Z"


def test_other_kinds_are_left_out(source: Source) -> None:
    source.write("x.yaml", "kind: Deployment\nmetadata: {name: a}\n---\nkind: ConfigMap\n")
    assert source.names() == set()
    assert source.said == []


def test_polling_sees_changes_new_files_and_removed_ones(source: Source) -> None:
    source.write("x.yaml", SERVICE.format(name="a"))
    assert source.names() == {"a"}
    assert not source.manifests.poll()
    source.write("x.yaml", SERVICE.format(name="b"))
    source.write("y.yaml", SERVICE.format(name="c"))
    assert source.names() == {"b", "c"}
    (source.folder / "x.yaml").unlink()
    assert source.manifests.poll()
    assert source.names() == {"c"}


def test_a_folder_that_is_swapped_by_a_symlink(tmp_path: pathlib.Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.yaml").write_text(SERVICE.format(name=name))
    (tmp_path / "data").symlink_to("one")
    source = Source(tmp_path, "data")
    assert source.names() == {"one"}
    (tmp_path / "new").symlink_to("two")
    os.replace(tmp_path / "new", tmp_path / "data")
    assert source.names() == {"two"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "x.yaml:2: while parsing"),
        (SERVICE.format(name="a") + "\tx: y\n", "x.yaml:8: while scanning"),
        ("a: \x00", "x.yaml: "),
        ("a: *b", "x.yaml:1: found undefined alias"),
    ],
)
def test_a_broken_file_is_said_with_its_line_and_what_was_served_stays(
    source: Source, text: str, expected: str
) -> None:
    source.write("x.yaml", SERVICE.format(name="before"))
    source.names()
    source.write("x.yaml", text)
    assert source.names() == {"before"}
    assert source.names() == {"before"}
    assert len(source.said) == 1
    assert expected in source.said[0]
    assert source.said[0].endswith("what was read of it before stays")
    source.write("x.yaml", SERVICE.format(name="after"))
    assert source.names() == {"after"}


def test_broken_json_is_said_too(source: Source) -> None:
    source.write("x.json", '{"kind": ')
    assert source.names() == set()
    assert "x.json: " in source.said[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: http}]}", "x.yaml:1: services default/a: Expected"),
        ("---\n---\nkind: Service\nspec: {}", "x.yaml:3: a Service without metadata.name"),
        ("- 1\n- 2", "x.yaml:1: a list where a Kubernetes object is expected"),
        ("just text", "x.yaml:1: a str where a Kubernetes object is expected"),
        ("kind: Service\nmetadata: nothing", "x.yaml:1: services"),
        ("kind: Pod\nmetadata: {name: a}\nstatus: {podIPs: [1.2]}", "x.yaml:1: pods default/a: Expected"),
    ],
)
def test_a_broken_object_is_said_with_file_and_line(source: Source, text: str, expected: str) -> None:
    source.write("x.yaml", text)
    source.names()
    assert len(source.said) == 1
    assert expected in source.said[0]


def test_the_other_objects_of_its_file_are_served_and_its_last_good_form_too(source: Source) -> None:
    source.write("x.yaml", SERVICE.format(name="a") + "---\n" + SERVICE.format(name="b"))
    source.names()
    source.write("x.yaml", SERVICE.format(name="a").replace("80", "eighty") + "---\n" + SERVICE.format(name="c"))
    assert source.names() == {"a", "c"}
    (kept,) = (item for item in source.manifests.current()[Kind.SERVICES] if item.name == "a")
    assert kept.spec.ports[0].port == 80  # type: ignore[union-attr]


def test_the_same_object_twice_in_a_file(source: Source) -> None:
    source.write("x.yaml", SERVICE.format(name="a") + "---\n" + SERVICE.format(name="a"))
    assert source.names() == {"a"}
    assert "is in this file twice" in source.said[0]


def test_a_missing_path_is_said_once_and_served_when_it_comes(tmp_path: pathlib.Path) -> None:
    source = Source(tmp_path, "later")
    assert source.names() == set()
    assert source.names() == set()
    assert source.said == [f"{tmp_path}/later: No such file or directory; what was read of it before stays"]
    (tmp_path / "later").mkdir()
    source.write("later/x.yaml", SERVICE.format(name="a"))
    assert source.names() == {"a"}
    (tmp_path / "later").rename(tmp_path / "away")
    assert source.names() == {"a"}


def used(source: Source) -> set[str]:
    return source.names(Kind.NAMESPACES)


def test_namespaces_that_are_used_exist_if_none_is_written(source: Source) -> None:
    source.write("x.yaml", SERVICE.format(name="a"))
    assert used(source) == {"default"}
    source.write("y.yaml", "kind: Namespace\nmetadata: {name: other}")
    assert used(source) == {"other"}


def test_endpoints_are_used_only_without_slices(source: Source) -> None:
    source.write("x.yaml", "kind: Endpoints\nmetadata: {name: a}")
    assert source.names(Kind.ENDPOINTS) == {"a"}
    source.write("y.yaml", "kind: EndpointSlice\nmetadata: {name: s}")
    assert source.names(Kind.ENDPOINTS) == set()
    assert source.names(Kind.ENDPOINTSLICES) == {"s"}


def selected(folder: pathlib.Path, text: str, kind: Kind, **options: Any) -> set[str]:
    source = Source(folder, **options)
    source.write("x.yaml", text)
    return source.names(kind)


def test_service_imports_are_selected_as_namespaces_are(tmp_path: pathlib.Path) -> None:
    """And nothing is filled in: their ports have no default protocol in an API server either."""
    text = "kind: ServiceImport\nmetadata: {name: a, labels: {x: y}}\nspec: {type: Headless, ports: [{port: 80}]}\n"
    assert selected(tmp_path, text, Kind.SERVICEIMPORTS, namespace_labels="x") == {"a"}
    assert selected(tmp_path, text, Kind.SERVICEIMPORTS, namespace_labels="z") == set()
    source = Source(tmp_path)
    source.manifests.poll()
    (item,) = source.manifests.current()[Kind.SERVICEIMPORTS]
    assert isinstance(item, objects.ServiceImport)
    assert item.is_headless
    assert item.spec is not None
    assert [port.protocol for port in item.spec.ports or ()] == [None]


def test_labels_are_selected_as_an_api_server_would(tmp_path: pathlib.Path) -> None:
    text = "kind: Service\nmetadata: {name: a, labels: {x: y}}\n---\nkind: Service\nmetadata: {name: b}\n"
    assert selected(tmp_path, text, Kind.SERVICES, labels="x=y") == {"a"}
    text = "kind: Namespace\nmetadata: {name: a, labels: {x: y}}\n---\nkind: Namespace\nmetadata: {name: b}\n"
    assert selected(tmp_path, text, Kind.NAMESPACES, namespace_labels="x") == {"a"}
    text = SERVICE.format(name="a")
    assert selected(tmp_path, text, Kind.NAMESPACES, namespace_labels="x") == set()


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Unknown"])
def test_pods_that_are_finished_are_left_out(tmp_path: pathlib.Path, phase: str) -> None:
    text = f"kind: Pod\nmetadata: {{name: a}}\nstatus: {{phase: {phase}}}\n---\nkind: Pod\nmetadata: {{name: b}}\n"
    assert selected(tmp_path, text, Kind.PODS) == {"b"}


def test_a_file_is_a_path_too(tmp_path: pathlib.Path) -> None:
    source = Source(tmp_path, "x.yaml")
    source.write("x.yaml", SERVICE.format(name="a"))
    source.write("y.yaml", SERVICE.format(name="b"))
    assert source.names() == {"a"}


@pytest.mark.parametrize("name", ["deep.json", "deep.yaml"])
def test_file_that_nests_without_end_is_told(source: Source, name: str) -> None:
    source.write("a.yaml", SERVICE.format(name="a"))
    source.write(name, "[" * 100_000)
    assert source.names() == {"a"}
    (said,) = source.said
    assert said.startswith(str(source.folder / name))
