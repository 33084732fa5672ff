"""Where a configuration comes from, and comes from again: a Corefile, or kube-dns's flags and ConfigMap."""

from __future__ import annotations

import dataclasses
import logging
import threading
import typing
from collections.abc import Mapping

from fastdns import errors
from fastdns.config import configmap, dnsmasq, folder, kubedns, model
from fastdns.forward import resolvconf
from fastdns.server import configuration

logger = logging.getLogger(__name__)

RESOLV_CONF = "/etc/resolv.conf"
DNS_PORT = 53


class Source(typing.Protocol):
    """`name` is what a reload speaks of."""

    @property
    def name(self) -> str: ...

    @property
    def is_readable_again(self) -> bool: ...

    def load(self) -> model.Config:
        """Read the configuration, as it is now. Raises FastdnsError, OSError."""


@dataclasses.dataclass(frozen=True, slots=True)
class Corefile:
    path: str = ""
    port: int = DNS_PORT

    @property
    def name(self) -> str:
        return "Corefile"

    @property
    def is_readable_again(self) -> bool:
        """The standard input can be read once only."""
        return self.path != configuration.STDIN

    def load(self) -> model.Config:
        return configuration.load(self.path, port=self.port)


@dataclasses.dataclass(frozen=True, slots=True)
class Dnsmasq:
    """dnsmasq's arguments, and the files that they name."""

    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        return "dnsmasq configuration"

    @property
    def is_readable_again(self) -> bool:
        return True

    def load(self) -> model.Config:
        return dnsmasq.parse(self.arguments)


class KubeDns:
    """kube-dns's flags, with the ConfigMap of --config-dir, or with what `take` was given of --config-map's."""

    def __init__(self, flags: kubedns.Flags, *, resolv_conf: str = RESOLV_CONF) -> None:
        self.flags = flags
        self._resolv_conf = resolv_conf
        self._data: Mapping[str, str] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return "kube-dns configuration"

    @property
    def is_readable_again(self) -> bool:
        return True

    def take(self, data: Mapping[str, str]) -> None:
        """The ConfigMap's keys as the API server has them; none if it is gone."""
        with self._lock:
            self._data = data

    def load(self) -> model.Config:
        """Raises SettingError, FolderError."""
        settings = None
        if self.flags.config_dir:
            settings = configmap.parse(folder.read(self.flags.config_dir).data)
        elif self.flags.config_map:
            with self._lock:
                settings = configmap.parse(self._data)
        return self._make(settings)

    def load_first(self) -> model.Config:
        """As `load`; what can't be used is told, and the defaults hold until it can."""
        try:
            return self.load()
        except (errors.SettingError, errors.FolderError) as error:
            logger.error("%s: %s; the defaults are used", self.name, error)
            return self._make(configmap.DEFAULTS)

    def _make(self, settings: configmap.Settings | None) -> model.Config:
        return kubedns.make_config(self.flags, settings, resolvers=self._read_resolvers())

    def _read_resolvers(self) -> tuple[model.Upstream, ...]:
        try:
            found = resolvconf.read_nameservers(self._resolv_conf)
        except (OSError, errors.ConfigError) as error:
            logger.error("%s", error)
            return ()
        return tuple(model.Upstream(address, DNS_PORT) for address in found)
