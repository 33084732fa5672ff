import pytest

from fastdns.config import model


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("loadbalance", model.Loadbalance()),
        ("loadbalance round_robin", model.Loadbalance()),
        ("loadbalance weighted /w", model.Loadbalance("weighted", weight_file="/w")),
        ("loadbalance weighted /w {\n reload 1m\n}", model.Loadbalance("weighted", weight_file="/w", reload=60.0)),
        (
            "loadbalance {\n prefer 10.0.0.1/8 2001:db8::/32\n}",
            model.Loadbalance(prefer=("10.0.0.0/8", "2001:db8::/32")),
        ),
    ],
)
def test_loadbalance(read, lines: str, expected: model.Loadbalance) -> None:
    assert read(lines) == (expected,)
