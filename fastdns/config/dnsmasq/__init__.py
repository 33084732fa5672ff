"""dnsmasq's command line and configuration files in, the one configuration of the server out.

`options` lists the words, `reading` cuts the command line and the files into words and values, `values` reads the values
one by one, `assembling` makes the configuration of them all. The wording of mistakes is dnsmasq's, version 2.90.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastdns.config import model
from fastdns.config.dnsmasq import assembling, reading
from fastdns.config.dnsmasq.assembling import Settings

__all__ = ["Settings", "parse", "read"]


def parse(arguments: Sequence[str]) -> model.Config:
    """Give what dnsmasq would serve when started with `arguments` (without its own name).

    Files that the arguments name are read now. Raises errors.DnsmasqError, a ConfigError.
    """
    return read(arguments).config


def read(arguments: Sequence[str]) -> Settings:
    """As `parse`, with what the arguments say about the process: foreground, user, log, files. Raises DnsmasqError."""
    return assembling.assemble(reading.read(arguments))
