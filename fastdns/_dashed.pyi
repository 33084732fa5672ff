"""IP addresses spelt as one label, with dashes for dots and colons; nothing here is for Python."""
