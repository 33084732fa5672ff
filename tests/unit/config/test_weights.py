"""The weight file of plugin loadbalance."""

import pytest

from fastdns import errors
from fastdns.config import weights


def test_names_and_their_addresses() -> None:
    text = "# balance\nWWW.example.com\n 192.0.2.1 3\n\n2001:db8::1 255\nother.example.\n192.0.2.9 1\n"
    www, other = b"\3www\7example\3com\0", b"\5other\7example\0"
    assert weights.parse(text, "w") == ((www, "192.0.2.1", 3), (www, "2001:db8::1", 255), (other, "192.0.2.9", 1))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("192.0.2.1 3", 1, "missing domain name"),
        ("192.0.2.1", 1, 'wrong domain name:"192.0.2.1". (Maybe a missing weight value?)'),
        ("a.example\n192.0.2 3", 2, 'wrong IP address:"192.0.2"'),
        ("a.example\n192.0.2.1 0", 2, 'wrong weight value:"0"'),
        ("a.example\n192.0.2.1 256", 2, 'wrong weight value:"256"'),
        ("a.example\n192.0.2.1 x", 2, 'wrong weight value:"x"'),
        ("a.example\n192.0.2.1 1 2", 2, 'could not parse weight line:"192.0.2.1 1 2"'),
        (f"{'a' * 64}.example", 1, "wrong domain name"),
    ],
)
def test_broken_line(text: str, line: int, message: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        weights.parse(text, "weights")
    assert (caught.value.file, caught.value.line) == ("weights", line)
    assert message in str(caught.value)
