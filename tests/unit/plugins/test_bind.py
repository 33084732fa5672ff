import pytest

from fastdns.config import model


@pytest.mark.parametrize(
    ("lines", "addresses"),
    [
        ("bind 127.0.0.1", ("127.0.0.1",)),
        ("bind 192.0.2.1 2001:DB8::0", ("192.0.2.1", "2001:db8::")),
        ("bind lo", ("127.0.0.1", "::1")),
        ("bind eth0", ("192.0.2.10", "fe80::1%eth0")),
        ("bind lo eth0 {\n except ::1 eth0\n}", ("127.0.0.1",)),
        ("bind 192.0.2.1\nbind 192.0.2.2", ("192.0.2.1", "192.0.2.2")),
    ],
)
def test_addresses(read, lines: str, addresses: tuple[str, ...]) -> None:
    assert read(lines) == (model.Bind(addresses),)


def test_nothing_is_left(read, caplog: pytest.LogCaptureFixture) -> None:
    assert read("bind lo {\n except lo\n}") == (model.Bind(()),)
    assert "no address is left" in caplog.text
