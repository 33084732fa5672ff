"""kube-dns's ConfigMap as a mounted folder, looked at again and again: what it says first, and what changes."""

from __future__ import annotations

import logging

from fastdns import errors
from fastdns.config import configmap, folder

logger = logging.getLogger(__name__)


class MountedConfig:
    """The settings in one folder. Whatever is wrong with it is logged, and leaves the settings as they were."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._follower = configmap.Follower()
        self._complaint = ""

    def read_first(self) -> configmap.Settings:
        """Give the settings to start with: the defaults if there are none that can be used."""
        try:
            contents = folder.read(self._path)
            return self._follower.take(contents.version, contents.data) or configmap.DEFAULTS
        except errors.FolderError as error:
            self._follower.take("", {})  # a folder that comes empty is no change
            logger.error("Error getting initial config, using default: %s", error)
        except errors.SettingError as error:
            logger.error("Error getting initial config, using default: %s", error)
        return configmap.DEFAULTS

    def read_next(self) -> configmap.Settings | None:
        """Give new settings; None if there are none. A folder that can't be read is complained of once."""
        complaint = ""
        try:
            contents = folder.read(self._path)
            return self._follower.take(contents.version, contents.data)
        except errors.SettingError as error:
            logger.error("Invalid configuration for %s, ignoring update: %s", error.key, error.reason)
        except errors.FolderError as error:
            complaint = f"Error loading config from {self._path}: {error}"
            if complaint != self._complaint:
                logger.error("%s", complaint)
        finally:
            self._complaint = complaint
        return None
