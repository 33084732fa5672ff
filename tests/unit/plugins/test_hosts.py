import pytest

from fastdns.config import model


def test_defaults(read) -> None:
    assert read("hosts", "example.org, example.net") == (model.Hosts("/etc/hosts", ("example.org.", "example.net.")),)


def test_options(read) -> None:
    lines = """
    hosts /dev/null example.org 10.0.0.0/8 {
        192.0.2.1  a.example.org   b.example.org # both
        2001:db8::1 a.example.org
        fe80::1%eth0 c.example.org
        no_reverse
        ttl 60
        reload 0s
        fallthrough example.org
        fallthrough_unsupported
    }
    """
    assert read(lines) == (
        model.Hosts(
            "/dev/null",
            ("example.org.", "10.in-addr.arpa."),
            ("192.0.2.1 a.example.org b.example.org", "2001:db8::1 a.example.org", "fe80::1%eth0 c.example.org"),
            ttl=60,
            reverse=False,
            reload=0.0,
            fallthrough=model.Fallthrough(("example.org.",)),
            fallthrough_unsupported=True,
        ),
    )


def test_fallthrough_everywhere(read) -> None:
    (hosts,) = read("hosts /dev/null {\n fallthrough\n}")
    assert hosts.fallthrough == model.Fallthrough((".",))


@pytest.mark.parametrize("path", ["/no/such/hosts", "/etc"])
def test_odd_file_is_a_warning(read, path: str, caplog: pytest.LogCaptureFixture) -> None:
    assert read(f"hosts {path}") == (model.Hosts(path, (".",)),)
    assert path in caplog.text
