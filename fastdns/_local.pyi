"""Answers from a name table: the outcome decided, its record sets collected, the message written."""

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
