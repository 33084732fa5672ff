"""When the configuration is read again, and what is made of it: plugin reload's polling, SIGUSR1, and one reload at a time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from fastdns import errors
from fastdns.config import model

logger = logging.getLogger("fastdns.plugins.reload")

IDLE = 3600.0  # seconds between looks without plugin reload: there are none

Load = Callable[[], model.Config]
Adopt = Callable[[model.Config], Awaitable[None]]


class Reloader:
    """`load` reads the configuration (it may block), `adopt` puts it into service or raises FastdnsError."""

    def __init__(
        self,
        config: model.Config,
        *,
        load: Load,
        adopt: Adopt,
        on_failure: Callable[[], None],
        name: str = "Corefile",
        random_number: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._load = load
        self._adopt = adopt
        self._on_failure = on_failure
        self._name = name
        self._random_number = random_number
        self._tried = config.digest
        self._last_error = ""
        self._asked = asyncio.Event()
        self._is_forced = False
        self.on_looked: Callable[[], object] = lambda: None  # after a look that was asked for

    def ask(self) -> None:
        """Reload now, changed or not."""
        self._is_forced = True
        self._asked.set()

    def look_soon(self) -> None:
        """Reload now, if something has changed."""
        self._asked.set()

    async def run(self) -> None:
        self._tell_digest()
        while True:
            is_asked = await self._wait()
            is_forced, self._is_forced = self._is_forced, False
            await self.look(is_forced=is_forced)
            if is_asked:
                self.on_looked()

    async def look(self, *, is_forced: bool) -> None:
        """Read the configuration, and serve it if it is new or the operator insists."""
        try:
            config = await asyncio.to_thread(self._load)
            if config.digest == self._tried and not is_forced:
                return
            self._tried = config.digest
            logger.debug("%s changed", self._name)
            await self._adopt(config)
        except (errors.FastdnsError, OSError) as error:
            self._tell_failure(str(error), is_forced=is_forced)
        except Exception:
            logger.exception("reading the configuration failed")
            self._on_failure()
        else:
            self._config, self._last_error = config, ""
            logging.getLogger("fastdns.server").info("Reloading complete")
            self._tell_digest()

    def interval(self) -> float:
        """As plugin reload of CoreDNS: the interval, and a jitter of at most half of it either way."""
        found = find_plugin(self._config)
        if found is None:
            return IDLE
        jitter = min(found.jitter, found.interval / 2)
        return found.interval + (self._random_number() - 0.5) * jitter

    async def _wait(self) -> bool:
        """True if a reload was asked for; False if it is time to look."""
        while True:
            try:
                async with asyncio.timeout(self.interval()):
                    await self._asked.wait()
            except TimeoutError:
                if find_plugin(self._config) is not None:
                    return False
            else:
                self._asked.clear()
                return True

    def _tell_failure(self, text: str, *, is_forced: bool) -> None:
        """Once for one cause, however often it is looked at."""
        if text == self._last_error and not is_forced:
            return
        self._last_error = text
        logger.error("%s changed but reload failed: %s", self._name, text)
        self._on_failure()

    def _tell_digest(self) -> None:
        if find_plugin(self._config) is not None:
            logger.info("Running configuration SHA512 = %s", self._config.digest)


def find_plugin(config: model.Config) -> model.Reload | None:
    """The plugin with the shortest interval."""
    found = [plugin for block in config.blocks for plugin in block.plugins if isinstance(plugin, model.Reload)]
    return min(found, key=lambda plugin: plugin.interval, default=None)
