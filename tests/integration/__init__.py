"""Real processes: what clients see while an API server restarts, forgets its history, or changes what it has."""
