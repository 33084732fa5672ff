"""The way of a query: down the steps of its server block, to the one that ends it. Knows no socket and no Python."""

import enum

from typing_extensions import disjoint_base

from fastdns._observe import Observer

class Reason(enum.IntEnum):
    """Why a query left the compiled path."""

    SLOW_STEP = 0
    SLOW_STREAM_FORWARD = 1
    SLOW_CHASE = 2
    SLOW_RARE = 3
    SLOW_CHAOS = 4

@disjoint_base
class Answerer(Observer):
    """The way of a query through what the configuration compiled to; what comes later is LateAnswerer's."""
