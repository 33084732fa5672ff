"""The commands that fastdns answers to."""
