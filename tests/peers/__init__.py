"""The real programs that fastdns is tested with and against: how each is built, found, started and asked."""
