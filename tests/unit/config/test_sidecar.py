"""--probe's words, each bad one with its message, and the flags that don't fit together."""

from __future__ import annotations

import pytest

from fastdns.config import sidecar
from fastdns.dns.constants import Type


@pytest.mark.parametrize(
    ("text", "probe"),
    [
        ("a,127.0.0.1,x.y", sidecar.Probe("a", "127.0.0.1:53", "x.y.", 5.0, Type.ANY)),
        ("A_9z,127.0.0.1:5,x.y.,7", sidecar.Probe("A_9z", "127.0.0.1:5", "x.y.", 7.0, Type.ANY)),
        ("a,kube-dns,x.y,5,SRV", sidecar.Probe("a", "kube-dns:53", "x.y.", 5.0, Type.SRV)),
        ("a,[::1]:5,x.y,5,AAAA", sidecar.Probe("a", "[::1]:5", "x.y.", 5.0, Type.AAAA)),
        ("a,::1,x.y,5,A", sidecar.Probe("a", "::1", "x.y.", 5.0, Type.A)),
        ("a,,x.y,+5,ANY", sidecar.Probe("a", ":53", "x.y.", 5.0, Type.ANY)),
        ("a,b,", sidecar.Probe("a", "b:53", ".", 5.0, Type.ANY)),
    ],
)
def test_probe(text: str, probe: sidecar.Probe) -> None:
    assert sidecar.read_probe(text) == probe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid format to --probe: 3 to 5 words are expected, not 1"),
        ("a,b", "invalid format to --probe: 3 to 5 words are expected, not 2"),
        ("a,b,c,1,A,x", "invalid format to --probe: 3 to 5 words are expected, not 6"),
        (",b,c", 'label must be of format ^[a-zA-Z0-9_]+$, not ""'),
        ("a-b,b,c", 'label must be of format ^[a-zA-Z0-9_]+$, not "a-b"'),
        ("a b,b,c", 'label must be of format ^[a-zA-Z0-9_]+$, not "a b"'),
        ("a\n,b,c", 'label must be of format ^[a-zA-Z0-9_]+$, not "a\\n"'),
        ("ä,b,c", 'label must be of format ^[a-zA-Z0-9_]+$, not "ä"'),
        ("a,b,c,", 'strconv.Atoi: parsing "": invalid syntax'),
        ("a,b,c,x", 'strconv.Atoi: parsing "x": invalid syntax'),
        ("a,b,c,1.5", 'strconv.Atoi: parsing "1.5": invalid syntax'),
        ("a,b,c,5s", 'strconv.Atoi: parsing "5s": invalid syntax'),
        ("a,b,c,0", 'interval must be from 1 to 1000000000 seconds, not "0"'),
        ("a,b,c,-1", 'interval must be from 1 to 1000000000 seconds, not "-1"'),
        ("a,b,c,1000000001", 'interval must be from 1 to 1000000000 seconds, not "1000000001"'),
        ("a,b,c,5,", 'invalid type for DNS: ""; one of A, AAAA, ANY, SRV is expected'),
        ("a,b,c,5,TXT", 'invalid type for DNS: "TXT"; one of A, AAAA, ANY, SRV is expected'),
        ("a,b,c,5,a", 'invalid type for DNS: "a"; one of A, AAAA, ANY, SRV is expected'),
        ("a,b,x..y", 'invalid DNS name: "x..y."'),
        (f"a,b,{'x' * 64}", f'invalid DNS name: "{"x" * 64}."'),
    ],
)
def test_bad_probe(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        sidecar.read_probe(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (sidecar.Options(probes=(sidecar.Probe("a", "b:53", "c."), sidecar.Probe("a", "d:53", "e."))),
         '--probe: label "a" is given twice'),
        (sidecar.Options(poll_interval=0.0), "--dnsmasq-poll-interval-ms: at least 1 is expected"),
        (sidecar.Options(poll_interval=-1.0), "--dnsmasq-poll-interval-ms: at least 1 is expected"),
        (sidecar.Options(path="stats"), '--prometheus-path: "stats" does not begin with a slash'),
        (sidecar.Options(path=""), '--prometheus-path: "" does not begin with a slash'),
        (sidecar.Options(path="/healthz"), '--prometheus-path: "/healthz" is another page'),
        (sidecar.Options(path="/healthcheck/a", probes=(sidecar.Probe("a", "b:53", "c."),)),
         '--prometheus-path: "/healthcheck/a" is another page'),
        (sidecar.Options(namespace="a-b"), '--prometheus-namespace: "a-b" can\'t begin a metric\'s name'),
        (sidecar.Options(namespace="1"), '--prometheus-namespace: "1" can\'t begin a metric\'s name'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(options: sidecar.Options, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        sidecar.check(options)
    assert str(raised.value) == message


@pytest.mark.parametrize("options", [sidecar.Options(), sidecar.Options(namespace=""), sidecar.Options(path="/")])
def test_what_fits_is_taken(options: sidecar.Options) -> None:
    sidecar.check(options)
