"""The chart that README shows, as SVG: CPU per answered query of each server, as multiples of the floor.

It has a transparent ground and colours that can be read on light and dark pages; where the viewer tells its scheme, text
is black or white.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from html import escape

from bench.results import Outcome
from bench.scenarios import SATURATED

GROUPS = {
    "hit": "cluster names: A, AAAA, SRV, PTR",
    "hosts": "the same addresses from hosts",
    "pod-mix": "what pods ask, ndots:5",
    "cache-hit-1k": "cache hits",
    "miss": "cache misses, forwarded",
}
OURS, OTHERS, FLOOR = "#2f81f7", "#8b949e", "#d29922"
FLOOR_TEXT = "floor (dashed): a bare loop that receives, copies and sends; nothing that understands DNS can be faster"
WIDTH, NAMES, VALUES = 760, 90, 70  # VALUES: room for the figure behind the longest bar
BAR, GAP, HEAD, GROUP_GAP, TOP = 16, 5, 24, 16, 58
STYLE = """
    text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #737c86; }
    .strong { font-weight: 600; }
    .title { font-size: 15px; font-weight: 600; }
    @media (prefers-color-scheme: light) { .strong, .title { fill: #1f2328; } }
    @media (prefers-color-scheme: dark) { text { fill: #9198a1; } .strong, .title { fill: #f0f6fc; } }
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    server: str
    ratio: float


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    title: str
    bars: tuple[Bar, ...]

    @property
    def height(self) -> int:
        return HEAD + len(self.bars) * (BAR + GAP) + GROUP_GAP


def as_svg(outcomes: Sequence[Outcome]) -> str:
    """A group for each scenario that has a floor; a bar for each server, and a line where the floor is."""
    groups = list(groups_of(outcomes))
    height = TOP + sum(group.height for group in groups)
    most = max((bar.ratio for group in groups for bar in group.bars), default=1.0)
    unit = (WIDTH - NAMES - VALUES) / max(1.0, most)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        "  <title>CPU per answered query, in multiples of the floor</title>",
        f"  <style>{STYLE}  </style>",
        '  <text class="title" x="0" y="18">CPU per answered query, in multiples of the floor; shorter is better</text>',
        f'  <text x="0" y="38">{escape(FLOOR_TEXT)}</text>',
    ]
    top = TOP
    for group in groups:
        lines.extend(f"  {line}" for line in group_lines(group, top, unit))
        top += group.height
    return "\n".join([*lines, "</svg>"]) + "\n"


def groups_of(outcomes: Sequence[Outcome]) -> Iterator[Group]:
    for outcome in outcomes:
        ratios = {
            server: outcome.ratio(server, outcome.floor, SATURATED.name)
            for server in outcome.servers(SATURATED.name)
            if server != outcome.floor
        }
        bars = tuple(Bar(server, ratio) for server, ratio in ratios.items() if ratio)
        if outcome.scenario in GROUPS and bars:
            yield Group(GROUPS[outcome.scenario], bars)


def group_lines(group: Group, top: int, unit: float) -> Iterator[str]:
    yield f'<text class="strong" x="0" y="{top + 14}">{escape(group.title)}</text>'
    y = top + HEAD
    for bar in group.bars:
        strong = ' class="strong"' if bar.server == "fastdns" else ""
        length = bar.ratio * unit
        yield f'<text{strong} x="{NAMES - 8}" y="{y + 13}" text-anchor="end">{escape(bar.server)}</text>'
        colour = OURS if bar.server == "fastdns" else OTHERS
        yield f'<rect x="{NAMES}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
        yield f'<text{strong} x="{NAMES + max(length, unit) + 6:.1f}" y="{y + 13}">{bar.ratio:.2f} x</text>'
        y += BAR + GAP
    floor = NAMES + unit
    ends = f'x1="{floor:.1f}" x2="{floor:.1f}" y1="{top + HEAD - 3}" y2="{y - GAP + 3}"'
    yield f'<line {ends} stroke="{FLOOR}" stroke-width="2" stroke-dasharray="3 2"/>'
