"""A Kubernetes Service in one block of octets (layout: fastdns/_names.pxd)."""

import enum

class ServiceFlag(enum.IntEnum):
    HEADLESS = 1
    POD = 2
    ZONES = 4
    CLUSTERS = 8
