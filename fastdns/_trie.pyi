"""The name table: a trie over labels from the root down."""

import enum

class ZoneFlag(enum.IntEnum):
    ENT_NODATA = 1
    SOA_APEX_ONLY = 2
    NO_SOA = 4
    MISS_SERVFAIL = 8
    WILDCARD_ONE_LABEL = 16
    NS_APEX_ONLY = 32
    STARS = 64
    PARTIAL = 128
    OWN_SPELLING = 512
    SRV_GLUE = 1024
    STAR_ENDINGS = 2048
    MISS_PASSES = 256
