"""plugin errors: a line for each query that failed, or one for many of a kind (`consolidate`)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from fastdns.config import model

logger = logging.getLogger("fastdns.plugins.errors")

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
Later = Callable[[float, Callable[[], None]], object]


class Pattern:
    """Messages that are told once in a period."""

    def __init__(self, rule: model.Consolidate) -> None:
        self.rule = rule
        self.level = LEVELS[rule.level]
        self.regex = re.compile(rule.pattern)
        self.count = 0

    def report(self) -> None:
        count, self.count = self.count, 0
        if count > 1 or (count == 1 and not self.rule.show_first):
            period = format_duration(self.rule.period)
            logger.log(self.level, "%d errors like '%s' occurred in last %s", count, self.rule.pattern, period)


class FailureLog:
    """One errors plugin. `later` calls a function after a time."""

    def __init__(self, plugin: model.Errors, later: Later) -> None:
        self._patterns = [Pattern(rule) for rule in plugin.consolidate]
        self._later = later

    def tell(self, rcode: int, name: str, qtype: str, message: str) -> None:
        """As CoreDNS: `2 example.org. A: read udp ...: i/o timeout`; patterns are matched against the message alone."""
        level = logging.ERROR
        pattern = next((one for one in self._patterns if one.regex.search(message)), None)
        if pattern is not None:
            pattern.count += 1
            if pattern.count == 1:
                self._later(pattern.rule.period, pattern.report)
            if pattern.count > 1 or not pattern.rule.show_first:
                return
            level = pattern.level
        logger.log(level, "%d %s %s: %s", rcode, name, qtype, message)

    def close(self) -> None:
        """Tell what was held back."""
        for pattern in self._patterns:
            pattern.report()


def format_duration(seconds: float) -> str:
    """As Go prints a duration: 1m30s, 1h0m0s, 500ms."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{rest:g}s"
    if minutes or hours:
        text = f"{int(minutes)}m{text}"
    return f"{int(hours)}h{text}" if hours else text
