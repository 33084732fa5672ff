"""Rules for a reply that was read, before it is kept and given."""

import enum

class Verdict(enum.IntEnum):
    VERDICT_KEEP = 0
    VERDICT_IGNORE = 1
    VERDICT_BLOCKED = 2
    VERDICT_BOGUS = 3
