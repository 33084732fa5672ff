"""Names and numbers of the protocol as Python sees them: constants, text forms; no I/O."""
