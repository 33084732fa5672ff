"""Which answer a name table owes to a question: the outcome, and the record sets that say so."""

import enum

class Outcome(enum.IntEnum):
    PASS = 0
    HIT = 1
    NODATA = 2
    NXDOMAIN = 3
    FAILED = 4
    FOLLOW = 5
    RARE = 7
    ALIAS = 6
