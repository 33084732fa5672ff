"""dnsmasq-nanny without another program: its dnsmasq is this server, and a changed ConfigMap is an ordinary reload.

New workers take over on the same sockets when they can answer, so that no query is lost.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
from collections.abc import Callable

from fastdns import errors
from fastdns.config import configmap, dnsmasq, model, nanny
from fastdns.forward import lookup
from fastdns.server import mounted

logger = logging.getLogger(__name__)

TOLD = 18  # level of logging: what klog says at -v=2

LookUp = Callable[[str], str]


class Source:
    """The configuration that dnsmasq's arguments and the ConfigMap make together: a sources.Source."""

    name = "dnsmasq's configuration"
    is_readable_again = True

    def __init__(self, options: nanny.Options, *, look_up: LookUp | None = None) -> None:
        self._options = options
        self._mounted = mounted.MountedConfig(options.config_dir)
        self._settings: configmap.Settings | None = None
        self._addresses: dict[str, str] = {}
        self.given: dnsmasq.Settings | None = None  # as of the last load
        self._complaints: set[str] = set()
        self._look_up = look_up or functools.partial(find_address, kubedns_server=options.kubedns_server)

    def load(self) -> model.Config:
        """Raises DnsmasqError for arguments that dnsmasq refuses."""
        if self._settings is None:
            self._settings = self._mounted.read_first()
        elif (settings := self._mounted.read_next()) is not None:
            self._take(settings)
        self._find_addresses()
        write = functools.partial(nanny.write_plainly, addresses=self._addresses)
        arguments = nanny.make_arguments(self._options.arguments, self._settings, write)
        given = self.given = dnsmasq.read(arguments)
        if given.shows:
            raise errors.DnsmasqError(f"--{given.shows} serves nothing")
        return follow(given.config, self._options.sync_interval)

    def _take(self, settings: configmap.Settings) -> None:
        if not self._options.restarts:
            logger.log(TOLD, "Not restarting dnsmasq (--restartDnsmasq=false)")
            return
        logger.info("Applying new configuration")
        self._settings, self._addresses = settings, {}
        self._complaints.clear()

    def _find_addresses(self) -> None:
        """Look up the names that have no address yet: once found, one stays until the ConfigMap changes."""
        assert self._settings is not None
        for name in nanny.find_names(self._settings):
            if name in self._addresses:
                continue
            try:
                self._addresses[name] = self._look_up(name)
            except (OSError, ValueError) as error:
                if name not in self._complaints:
                    logger.error('Error looking up IP for name "%s": %s; it is left out until it is found', name, error)
                self._complaints.add(name)


def follow(config: model.Config, interval: float) -> model.Config:
    """Have the configuration looked at again every `interval` seconds; its digest is that of all that it says."""
    blocks = tuple(
        dataclasses.replace(block, plugins=(*block.plugins, model.Reload(interval=interval, jitter=0.0)))
        for block in config.blocks
    )
    return dataclasses.replace(config, blocks=blocks, digest=hashlib.sha512(repr(blocks).encode()).hexdigest())


def find_address(name: str, *, kubedns_server: str) -> str:
    """Look up a server that is given by name: those of the cluster at kube-dns. Raises OSError, ValueError for no address."""
    if not name.endswith(nanny.CLUSTER_SUFFIX):
        return lookup.addresses(name, ())[0]
    return lookup.addresses(f"{name}.", [configmap.split_address(kubedns_server)])[0]
