"""What a name holds: its record sets (the format of a delta's data is drawn in _names.pxd)."""

import enum

class DataFlag(enum.IntEnum):
    TXT_NXDOMAIN = 1
    ONLY_THESE = 2
    POD_ADDRESSES = 4
    CNAME_NXDOMAIN = 8
    IN_PYTHON = 16
    ENTRY = 32
    ANY_TYPE = 128
    ALIVE = 256
    HIDDEN = 512
    NAMELESS = 1024
    PTR_NXDOMAIN = 64

class Form(enum.IntEnum):
    FIXED = 0
    WHOLE = 1
    ZONED = 2
    PRIMARY_ZONED = 3
    SERVICE = 4
    ZONAL = 5
