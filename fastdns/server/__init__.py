"""The processes: supervisor, control, workers, and what passes between them."""
