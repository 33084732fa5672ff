"""The Corefile of a plan."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fastdns.config.migrate.plan import CACHE_ENTRIES, CACHE_TTL, REVERSE, Plan

_BARE = re.compile(r"[^\s\"#{}]+")  # neither spaces, quotes, comments nor blocks


def write(plan: Plan) -> str:
    zones = list(dict.fromkeys(plan.zones))
    lines = [
        "errors",
        *["log"] * plan.logs,
        _block("health", ["lameduck 5s"]),
        "ready",
        *_hosts(plan),
        _kubernetes(plan, zones),
        "prometheus :9153",
        *_forward(plan, plan.upstreams),
        *_cache(plan, [zone for zone in zones if zone not in REVERSE]),
        "loop",
        "reload",
        "loadbalance",
    ]
    blocks = [_block(_line(f".:{plan.port}"), lines)]
    for domain, servers in plan.stubs.items():
        stub = ["errors", *["log"] * plan.logs, *_forward(plan, servers), *_cache(plan), "loop", "loadbalance"]
        blocks.append(_block(_line(f"{domain}:{plan.port}"), stub))
    return "".join(f"{block}\n" for block in blocks)


def _kubernetes(plan: Plan, zones: Sequence[str]) -> str:
    options = [_line(*option) for option in plan.kubernetes]
    options.append("pods insecure")
    reverse = [zone for zone in zones if zone in REVERSE]
    if reverse:
        options.append(_line("fallthrough", *reverse))
    return _block(_line("kubernetes", *zones), [*options, "ttl 30"])


def _forward(plan: Plan, servers: Sequence[str]) -> list[str]:
    options = [f"max_concurrent {plan.forward_max}", *["policy sequential"] * plan.is_sequential]
    return [_block(_line("forward", ".", *servers), options)] if servers else []


def _cache(plan: Plan, cluster: Sequence[str] = ()) -> list[str]:
    """dnsmasq keeps an answer for its whole TTL, and no denial with --no-negcache; cluster names change any time."""
    if not plan.caches:
        return []
    options = [f"success {max(plan.cache_entries, CACHE_ENTRIES)} {plan.max_ttl or CACHE_TTL} {plan.min_ttl}"]
    if cluster:
        options.append(_line("disable", "success", *cluster))
    if not plan.caches_denial:
        options.append("disable denial")
    elif cluster:
        options.append(_line("disable", "denial", *cluster))
    return [_block("cache", options)]


def _hosts(plan: Plan) -> list[str]:
    if not plan.hosts and not plan.hosts_file:
        return []
    file = [plan.hosts_file] if plan.hosts_file else []
    return [_block(_line("hosts", *file), [*plan.hosts, "fallthrough"])]


def _block(head: str, lines: Iterable[str]) -> str:
    inner = "\n".join(lines)
    return f"{head} {{\n" + "".join(f"    {line}\n" for line in inner.split("\n")) + "}"


def _line(*words: str) -> str:
    """Words of a Corefile, in quotes where one would not be a word otherwise."""
    return " ".join(word if _BARE.fullmatch(word) else '"' + word.replace('"', '\\"') + '"' for word in words)
