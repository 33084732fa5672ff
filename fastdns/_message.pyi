"""A reply of an upstream, read: its question compared, its records found and checked, whatever they are for."""

import enum

class ReplyStatus(enum.IntEnum):
    REPLY_OK = 0
    REPLY_MISMATCH = 1
    REPLY_MALFORMED = 2
    REPLY_TOO_LARGE = 3

class ReplyKind(enum.IntEnum):
    REPLY_SUCCESS = 0
    REPLY_NODATA = 1
    REPLY_NXDOMAIN = 2
    REPLY_DELEGATION = 3
    REPLY_SERVER_ERROR = 4
    REPLY_OTHER_ERROR = 5
    REPLY_EMPTY = 6
    REPLY_UNRESOLVED = 7
