"""What node-cache sets up on its node: the link with its addresses, and the rules that keep queries untracked.

iptables where the machine has it, since its ACCEPT rules count in a filter that drops by default; else nftables, which
needs no program. Both know nothing of when: server/node.py does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from fastdns import errors
from fastdns.config import nodecache
from fastdns.server import iptables, links, nftables

logger = logging.getLogger(__name__)


class Rules(Protocol):
    """Raise NodeError or OSError."""

    def ensure(self) -> bool: ...
    def remove(self) -> bool: ...


def choose_rules(settings: nodecache.Settings) -> Rules:
    command = iptables.find_command(settings.local_ips[0].version)
    if command is not None:
        return iptables.Rules(command, iptables.make_rules(settings.local_ips, settings.port, settings.health_port))
    rules = list(nftables.make_rules(settings.local_ips, settings.port, settings.health_port))
    return nftables.Table(f"fastdns-{settings.interface}", rules, is_owned=not settings.skips_teardown)


class Network:
    """Set up and taken down as the settings say. Each failure is logged and given to `count`, by its errortype."""

    def __init__(self, settings: nodecache.Settings, *, rules: Rules | None, count: Callable[[str], None]) -> None:
        self._settings = settings
        self._rules = rules
        self._count = count

    def ensure_link(self) -> None:
        if not self._settings.sets_up_interface:
            return
        name = self._settings.interface
        try:
            if links.ensure_link(name, self._settings.local_ips):
                logger.info("Added interface - %s", name)
        except errors.NodeError as error:
            self._fail(error.kind, str(error))

    def ensure_rules(self) -> bool:
        """False if they could not be had."""
        return self._rules is None or self._try(self._rules.ensure, "adding rules")

    def remove_rules(self) -> None:
        if self._rules is not None:
            self._try(self._rules.remove, "removing rules")

    def tear_down(self) -> None:
        """Rules first: from then on queries to a Service's address find their way without us."""
        logger.info("Tearing down")
        self.remove_rules()
        if self._settings.sets_up_interface:
            try:
                links.remove_link(self._settings.interface)
            except OSError as error:
                logger.error("Failed to remove interface %s: %s", self._settings.interface, error.strerror)

    def _try(self, action: Callable[[], bool], what: str) -> bool:
        try:
            action()
        except errors.NodeError as error:
            self._fail(error.kind, str(error))
        except OSError as error:
            self._fail("iptables", f"{what}: {error.strerror}")
        else:
            return True
        return False

    def _fail(self, kind: str, message: str) -> None:
        logger.error("%s", message)
        self._count(kind)
