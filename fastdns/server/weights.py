"""The weight file of plugin loadbalance in, weights of an AddressOrder out; read again when the file changes."""

from __future__ import annotations

import logging
import os

from fastdns import errors
from fastdns.config import weights
from fastdns.server import compile as compiler

logger = logging.getLogger(__name__)


class WeightSource:
    """One weight file. `is_talkative`: this worker speaks for all."""

    def __init__(self, weighted: compiler.WeightedOrder, *, is_talkative: bool) -> None:
        self.reload = weighted.plugin.reload
        self._path = weighted.plugin.weight_file
        self._order = weighted.order
        self._is_talkative = is_talkative
        self._stamp: tuple[int, int, int] | None = None

    def start(self) -> None:
        """Read the file for the first time."""
        try:
            self._read()
        except OSError as error:
            if self._is_talkative:
                logger.warning("plugin/loadbalance: %s. Will try again in %gs", describe(error), self.reload)
        except errors.ConfigError as error:
            self._tell(error)

    def refresh(self) -> None:
        """Read it again if it has changed. What can't be read leaves the weights as they were."""
        try:
            self._read()
        except (OSError, errors.ConfigError) as error:
            self._tell(error)

    def _read(self) -> None:
        with open(self._path, encoding="utf-8", errors="surrogateescape") as file:
            status = os.fstat(file.fileno())
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            found = weights.parse(file.read(), self._path)
        self._order.set_weights(found)
        if self._is_talkative:
            logger.info("plugin/loadbalance: Successfully reloaded weight file %s", self._path)

    def _tell(self, error: Exception) -> None:
        if self._is_talkative:
            logger.error("plugin/loadbalance: %s", describe(error))


def describe(error: Exception) -> str:
    return (
        f"failed to open weight file: {error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
    )
