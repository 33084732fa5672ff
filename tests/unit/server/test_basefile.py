import collections
import ipaddress
import json
import os
import pathlib

import pytest

from fastdns.config import nodecache
from fastdns.server import basefile

TEMPLATE = ".:53 {\n    bind __PILLAR__LOCAL__DNS__\n    forward . __PILLAR__UPSTREAM__SERVERS__\n}\n"
MADE = ".:53 {\n    bind 127.0.0.1\n    forward . /etc/resolv.conf\n}\n"
STUB = "\nacme.local:53 {\n    errors\n    cache 30\n    bind 127.0.0.1\n    forward . 192.0.2.3\n}\n"


class Place:
    """A node-cache's files."""

    def __init__(self, folder: pathlib.Path, *, configmap: bool = True, cluster_dns: str = "10.96.0.10") -> None:
        self.corefile, self.base, self.keys = folder / "Corefile", folder / "Corefile.base", folder / "keys"
        self.base.write_text(TEMPLATE)
        self.counts = collections.Counter[str]()
        settings = nodecache.Settings(
            local_ips=(ipaddress.ip_address("127.0.0.1"),),
            corefile=str(self.corefile),
            base_corefile=str(self.base),
            configmap=str(self.keys) if configmap else "",
        )
        self.made = basefile.Basefile(settings, cluster_dns=cluster_dns, count=lambda kind: self.counts.update([kind]))

    def set_key(self, name: str, value: object) -> None:
        self.keys.mkdir(exist_ok=True)
        (self.keys / name).write_text(value if isinstance(value, str) else json.dumps(value))


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Place:
    return Place(tmp_path)


def test_template_and_keys_are_written_at_the_start(place: Place) -> None:
    place.set_key("stubDomains", {"acme.local": ["192.0.2.3"]})
    place.made.start()
    assert place.corefile.read_text() == MADE + STUB
    assert not place.counts


def test_change_of_either_is_written_and_told_once(place: Place) -> None:
    place.keys.mkdir()
    place.made.start()
    assert place.corefile.read_text() == MADE
    assert not place.made.look()
    place.set_key("upstreamNameservers", ["192.0.2.1"])
    assert place.made.look()
    assert not place.made.look()
    assert place.corefile.read_text() == MADE.replace("/etc/resolv.conf", "192.0.2.1")
    place.base.write_text(TEMPLATE.replace(".:53", ".:5353"))
    assert place.made.look()
    assert place.corefile.read_text().startswith(".:5353 {")


def test_emptied_folder_means_the_defaults(place: Place) -> None:
    place.set_key("stubDomains", {"acme.local": ["192.0.2.3"]})
    place.made.start()
    (place.keys / "stubDomains").unlink()
    assert place.made.look()
    assert place.corefile.read_text() == MADE


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("stubDomains", {"acme.local": ["ns.acme.local"]}, "invalid nameserver"),
        ("stubDomains", "{", "invalid JSON"),
        ("stubDomains", {"Acme": ["192.0.2.3"]}, "invalid domain name"),
        ("upstreamNameservers", ["x"], "missing port in address"),
        ("upstreamNameservers", ["192.0.2.1"] * 4, "more than three entries"),
        ("federations", "a", "must be key=value"),
    ],
)
def test_bad_key_leaves_what_was_and_is_counted_once(
    place: Place, key: str, value: object, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    place.set_key("stubDomains", {"acme.local": ["192.0.2.3"]})
    place.made.start()
    place.set_key(key, value)
    for _ in range(3):
        assert not place.made.look()
    assert place.corefile.read_text() == MADE + STUB
    assert place.counts == {"configmap": 1}
    assert caplog.text.count("Invalid config: ") == 1 and message in caplog.text
    (place.keys / key).unlink()
    place.set_key("stubDomains", {"acme.local": ["192.0.2.4"]})
    assert place.made.look(), "the next good version counts again"


def test_bad_key_at_the_start_leaves_the_template(place: Place) -> None:
    place.set_key("upstreamNameservers", ["x"])
    place.made.start()
    assert place.corefile.read_text() == MADE
    assert place.counts == {"configmap": 1}


def test_missing_folder_is_told_once_and_looked_for(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.made.start()
    place.made.look()
    assert place.corefile.read_text() == MADE
    assert caplog.text.count("Failed to sync kube-dns config directory") == 1
    place.set_key("stubDomains", {"acme.local": ["192.0.2.3"]})
    assert place.made.look()


def test_missing_template_is_counted(place: Place) -> None:
    place.keys.mkdir()
    place.base.unlink()
    place.made.start()
    assert not place.corefile.exists()
    assert place.counts == {"configmap": 1}
    place.base.write_text(TEMPLATE)
    assert place.made.look()


def test_corefile_that_could_not_be_served_does_not_replace_a_good_one(place: Place) -> None:
    place.keys.mkdir()
    place.made.start()
    place.base.write_text(TEMPLATE.replace("forward", "forward-to"))
    assert not place.made.look()
    assert not place.made.look()
    assert place.corefile.read_text() == MADE
    assert place.counts == {"configmap": 1}


def test_stub_domain_that_the_template_serves_already_is_refused(place: Place) -> None:
    place.base.write_text(TEMPLATE + TEMPLATE.replace(".:53", "acme.local:53"))
    place.set_key("stubDomains", {"acme.local": ["192.0.2.3"]})
    place.made.start()
    assert "192.0.2.3" not in place.corefile.read_text()
    assert place.counts == {"configmap": 1}


def test_unknown_service_is_written_as_node_cache_does(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(tmp_path, configmap=False, cluster_dns=nodecache.UNKNOWN_ADDRESS)
    place.base.write_text(".:53 {\n    forward . __PILLAR__CLUSTER__DNS__\n}\n")
    place.made.start()
    assert place.corefile.read_text() == ".:53 {\n    forward . <nil>\n}\n"
    assert "KUBE_DNS_SERVICE_HOST is not set" in caplog.text


def test_file_is_replaced_whole(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "Corefile"
    path.write_text("old")
    with path.open() as held:
        basefile.replace_file(str(path), b"new")
        assert held.read() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["Corefile"]


def test_file_that_cannot_be_replaced_is_written_in_place(tmp_path: pathlib.Path) -> None:
    """As a file that is mounted by itself: here, its folder has another thing of the new file's name."""
    path = tmp_path / "Corefile"
    path.write_text("old")
    (tmp_path / "Corefile.new").mkdir()
    basefile.replace_file(str(path), b"new")
    assert path.read_text() == "new"


def test_unwritable_corefile_is_counted(place: Place) -> None:
    place.keys.mkdir()
    place.corefile.mkdir()
    place.made.start()
    assert place.counts == {"configmap": 1}
