"""The tries that a question takes: which upstream is asked, by which socket, what came of it."""

import enum

class InflightLimit(enum.IntEnum):
    RECEIVE_BATCH = 64
    UPSTREAMS_MAX = 32

class Policy(enum.IntEnum):
    POLICY_RANDOM = 0
    POLICY_ROUND_ROBIN = 1
    POLICY_SEQUENTIAL = 2

class Failure(enum.IntEnum):
    FAILED_TIMEOUT = 0
    FAILED_NETWORK = 1
    FAILED_MALFORMED = 2
    FAILED_BROKEN = 3
    FAILED_NO_PLUGIN = 4
