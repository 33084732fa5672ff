"""What sidecar is told on its command line: the probes, where dnsmasq is, where its pages are."""

from __future__ import annotations

import collections
import dataclasses
import re

from fastdns.config import values
from fastdns.dns import constants, names

LABEL = r"^[a-zA-Z0-9_]+$"
PROBE_TYPES = ("A", "AAAA", "ANY", "SRV")
PROBE_INTERVAL = 5.0  # seconds
SECONDS_MAX = 10**9  # 31 years; Go's durations end at 292
_NAMESPACE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)?")


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """One name that is asked of one server (`HOST:PORT`, as written) every `interval` seconds."""

    label: str
    server: str
    name: str
    interval: float = PROBE_INTERVAL
    qtype: constants.Type = constants.Type.ANY


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """All of it; `poll_interval` is in seconds."""

    dnsmasq_address: str = "127.0.0.1"
    dnsmasq_port: int = 53
    poll_interval: float = 5.0
    probes: tuple[Probe, ...] = ()
    address: str = "0.0.0.0"
    port: int = 10054
    path: str = "/metrics"
    namespace: str = "kubedns"


def read_probe(text: str) -> Probe:
    """Read `LABEL,SERVER,NAME[,SECONDS[,TYPE]]`. Raises ValueError with sidecar's words and the one that is wrong.

    A server without a colon gets port 53. One that can't be reached, whyever, is told by its probe.
    """
    words = text.split(",")
    if not 3 <= len(words) <= 5:
        raise ValueError(f"invalid format to --probe: 3 to 5 words are expected, not {len(words)}")
    label, server, name = words[:3]
    if not re.fullmatch(LABEL, label):
        raise ValueError(f"label must be of format {LABEL}, not {values.quote(label)}")
    name = name if name.endswith(".") else name + "."
    if not names.is_name(name):
        raise ValueError(f"invalid DNS name: {values.quote(name)}")
    return Probe(
        label=label,
        server=server if ":" in server else f"{server}:53",
        name=name,
        interval=_read_seconds(words[3]) if len(words) > 3 else PROBE_INTERVAL,
        qtype=_read_type(words[4]) if len(words) > 4 else constants.Type.ANY,
    )


def check(options: Options) -> None:
    """Raise ValueError, naming the flag, for what the real sidecar panics or spins at."""
    labels = collections.Counter(probe.label for probe in options.probes)
    for label, count in labels.items():
        if count > 1:
            raise ValueError(f"--probe: label {values.quote(label)} is given twice")
    if options.poll_interval <= 0:
        raise ValueError("--dnsmasq-poll-interval-ms: at least 1 is expected")
    if not options.path.startswith("/"):
        raise ValueError(f"--prometheus-path: {values.quote(options.path)} does not begin with a slash")
    if options.path == "/healthz" or options.path in {f"/healthcheck/{label}" for label in labels}:
        raise ValueError(f"--prometheus-path: {values.quote(options.path)} is another page")
    if not _NAMESPACE.fullmatch(options.namespace):
        raise ValueError(f"--prometheus-namespace: {values.quote(options.namespace)} can't begin a metric's name")


def _read_seconds(text: str) -> float:
    if not values.is_integer(text):
        raise ValueError(f"strconv.Atoi: parsing {values.quote(text)}: invalid syntax")
    if len(text) > 20 or not 0 < int(text) <= SECONDS_MAX:
        raise ValueError(f"interval must be from 1 to {SECONDS_MAX} seconds, not {values.quote(text)}")
    return float(text)


def _read_type(text: str) -> constants.Type:
    if text not in PROBE_TYPES:
        raise ValueError(f"invalid type for DNS: {values.quote(text)}; one of {', '.join(PROBE_TYPES)} is expected")
    return constants.Type[text]
