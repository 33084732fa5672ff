"""What to serve: one immutable model, and a front end for each format that says it."""
