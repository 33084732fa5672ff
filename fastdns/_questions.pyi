"""Questions: who waits for each, found by what is asked and by socket and id; as a message, and beside a reply."""
