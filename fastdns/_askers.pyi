"""Who waits for an answer, and notes of C for Python to collect."""

import enum

class Transport(enum.IntEnum):
    UDP = 0
    STREAM = 1
    INTERNAL = 2

class NoteKind(enum.IntEnum):
    NOTE_COMPLETED = 0
    NOTE_LOG = 1
    NOTE_ERROR = 2
