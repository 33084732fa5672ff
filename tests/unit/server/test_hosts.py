import pathlib
import struct
import time

import pytest

from fastdns import _names
from fastdns._names import Operation
from fastdns.config import model
from fastdns.dns import deltas, names
from fastdns.server import hosts


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "hosts"


def serve(path: pathlib.Path, **options: object) -> hosts.HostsSource:
    return hosts.HostsSource(model.Hosts(path=str(path), **{"zones": (".",), **options}))  # type: ignore[arg-type]


def read_operations(deltas: list[bytes]) -> dict[str, bytes | None]:
    """PUT and REMOVE of deltas, by name."""
    found: dict[str, bytes | None] = {}
    octets = b"".join(deltas)
    while octets:
        kind, octets = octets[0], octets[1:]
        if kind == Operation.SYNCED:
            octets = octets[1:]
            continue
        end = 0
        while octets[end]:
            end += octets[end] + 1
        name, octets = names.from_wire(octets[: end + 1]), octets[end + 1 :]
        if kind == Operation.ZONE:
            octets = octets[14 + 18 :]
        elif kind == Operation.REMOVE:
            found[name] = None
        else:
            (size,) = struct.unpack(">I", octets[:4])
            found[name], octets = octets[4 : 4 + size], octets[4 + size :]
    return found


def test_lines_become_names_and_reverse_names(path: pathlib.Path) -> None:
    path.write_text("192.0.2.1 a.Example  b # c\n\n::1%lo b\n#x\nrubbish d\n2001:db8::1\n")
    source = serve(path)
    found = read_operations(list(source.start()))
    assert set(found) == {
        "a.example.",
        "b.",
        "1.2.0.192.in-addr.arpa.",
        "1." + "0." * 31 + "ip6.arpa.",
    }
    assert (
        found["b."]
        == struct.pack(">HB", 0, 2)
        + (struct.pack(">HBIHI", 1, 0, 3600, 1, 4) + bytes([192, 0, 2, 1]) + struct.pack(">HBIHI", 28, 0, 3600, 1, 16))
        + bytes(15)
        + b"\1"
    )
    pointer = found["1.2.0.192.in-addr.arpa."]
    assert pointer is not None
    assert pointer.endswith(b"\0\x0b\1a\7example\0\0\x03\1b\0")
    assert source.entries == 6


def test_file_and_inline_are_merged_file_first(path: pathlib.Path) -> None:
    path.write_text("192.0.2.1 a\n")
    found = read_operations(list(serve(path, inline=("192.0.2.2 a", "192.0.2.1 a"), reverse=False).start()))
    assert set(found) == {"a."}
    assert found["a."] is not None
    assert found["a."].endswith(bytes([192, 0, 2, 1, 192, 0, 2, 2]))


def test_only_names_of_the_zones(path: pathlib.Path) -> None:
    path.write_text("192.0.2.1 a.org xorg b.net\n")
    assert set(read_operations(list(serve(path, zones=("org.",), reverse=False).start()))) == {"a.org."}


def test_wildcard_has_no_reverse_name(path: pathlib.Path) -> None:
    path.write_text("192.0.2.1 *.a.org\n")
    assert set(read_operations(list(serve(path).start()))) == {"*.a.org."}


def test_change_is_told_as_a_difference(path: pathlib.Path) -> None:
    path.write_text("192.0.2.1 a\n192.0.2.2 b\n")
    source = serve(path, reverse=False)
    list(source.start())
    assert list(source.refresh()) == []
    path.write_text("192.0.2.1 a\n192.0.2.3 longer\n")
    found = read_operations(list(source.refresh()))
    assert found["b."] is None
    assert set(found) == {"b.", "longer."}


def test_file_that_goes_away_changes_nothing(path: pathlib.Path) -> None:
    path.write_text("192.0.2.1 a\n")
    source = serve(path)
    list(source.start())
    path.unlink()
    assert list(source.refresh()) == []


def test_missing_file_serves_the_inline_lines(path: pathlib.Path) -> None:
    assert set(read_operations(list(serve(path, inline=("192.0.2.1 a",), reverse=False).start()))) == {"a."}


@pytest.mark.parametrize("text", ["", "256.1.1.1", "1.2.3", "01.2.3.4", "x" * 5000, "%", "::g"])
def test_no_address(text: str) -> None:
    assert hosts.parse_address(text) is None


def test_mapped_address_is_ipv4() -> None:
    assert str(hosts.parse_address("::ffff:192.0.2.1")) == "192.0.2.1"


def test_names_that_fit_no_message_are_left_out(path: pathlib.Path) -> None:
    path.write_text(f"192.0.2.1 {'x' * 64} a..b {'y.' * 130} good\n")
    assert set(read_operations(list(serve(path, reverse=False).start()))) == {"good."}


def test_a_list_of_names_to_block_is_read_in_seconds(path: pathlib.Path) -> None:
    """They all have one address, which is called by more names than a set of records counts."""
    count = deltas.RECORDS_MAX + 1000
    path.write_text("".join(f"0.0.0.0 ads{number}.example\n" for number in range(count)) + "192.0.2.1 a\n" * count)
    source = serve(path)
    began = time.process_time()
    table = _names.NameTable()
    for delta in source.start():
        table.apply(delta)
    assert time.process_time() - began < 30, "time grows with the square of the names"
    assert table.stats()["names"] == count + 3
    assert source.entries == 2 * count + 2
