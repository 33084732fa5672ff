"""The message that a decision about a name becomes."""
