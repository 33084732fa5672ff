"""Corefile.base and the keys of the ConfigMap in, the Corefile that is served out: written anew when either changes."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable

from fastdns import errors
from fastdns.config import configmap, folder, nodecache
from fastdns.server import configuration

logger = logging.getLogger(__name__)

Count = Callable[[str], None]  # by errortype


class Basefile:
    """`count` is called for each fault that is new: what stays wrong is told once."""

    def __init__(self, settings: nodecache.Settings, *, cluster_dns: str, count: Count) -> None:
        self._settings = settings
        self._cluster_dns = cluster_dns
        self._count = count
        self._follower = configmap.Follower()
        self._keys = configmap.DEFAULTS
        self._written: str | None = None
        self._faults: dict[str, str] = {}

    def start(self) -> None:
        """Write the template without keys, whatever is wrong with them or with it; then with them."""
        if self._cluster_dns == nodecache.UNKNOWN_ADDRESS:
            variable = nodecache.service_variable(self._settings.upstream_service)
            logger.warning(
                "Unable to lookup IP address of Upstream service %s: %s is not set",
                self._settings.upstream_service,
                variable,
            )
        text = self._render()
        if text is not None:
            self._write(text)
        self.look()

    def look(self) -> bool:
        """Read all again; True if the Corefile has changed."""
        self._read_keys()
        text = self._render()
        if text is None or text == self._written or not self._is_servable(text):
            return False
        return self._write(text)

    def _read_keys(self) -> None:
        if not self._settings.configmap:
            return
        try:
            contents = folder.read(self._settings.configmap)
            keys = self._follower.take(contents.version, contents.data)
            if keys is not None:
                nodecache.check_keys(keys)
                self._keys = keys
                self._settle("keys")
        except errors.SettingError as error:
            self._tell("keys", f"Invalid config: {error}")
        except errors.FolderError as error:
            self._tell("folder", f"Failed to sync kube-dns config directory {self._settings.configmap}, err: {error}")
        else:
            self._settle("folder")

    def _render(self) -> str | None:
        try:
            with open(self._settings.base_corefile, encoding="utf-8", errors="surrogateescape", newline="") as file:
                template = file.read()
        except OSError as error:
            self._tell("template", f"Failed to read node-cache coreFile {self._settings.base_corefile} - {error}")
            return None
        self._settle("template")
        return nodecache.render(template, self._settings, keys=self._keys, cluster_dns=self._cluster_dns)

    def _is_servable(self, text: str) -> bool:
        """What couldn't be started is not written: the next start would find it. The first text is, and is told there."""
        try:
            configuration.parse(text, file=self._settings.corefile, port=self._settings.port)
        except (errors.FastdnsError, OSError) as error:
            self._tell("corefile", f"Corefile not written, it could not be served: {error}")
            return False
        self._settle("corefile")
        return True

    def _write(self, text: str) -> bool:
        try:
            replace_file(self._settings.corefile, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            self._tell("write", f"Failed to write config file {self._settings.corefile} - err {error}")
            return False
        self._settle("write")
        self._written = text
        upstreams = " ".join(self._keys.upstreams) or nodecache.RESOLV_CONF
        count = len(self._keys.stub_domains)
        logger.info("Updated Corefile with %d custom stubdomains and upstream servers %s", count, upstreams)
        logger.info("Using config file:\n%s", text)
        return True

    def _tell(self, what: str, message: str) -> None:
        if self._faults.get(what) != message:
            self._faults[what] = message
            logger.error("%s", message)
            self._count("configmap")

    def _settle(self, what: str) -> None:
        self._faults.pop(what, None)


def replace_file(path: str, octets: bytes) -> None:
    """Write a file so that a reader sees the old text or the new one; in place where its folder can't be written."""
    beside = f"{path}.new"
    try:
        with open(beside, "wb") as file:
            file.write(octets)
        os.replace(beside, path)
    except OSError:  # a file that is mounted alone can't be replaced
        with contextlib.suppress(OSError):
            os.unlink(beside)
        with open(path, "wb") as file:
            file.write(octets)
