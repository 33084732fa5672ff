"""One module for each Corefile word: its syntax, its checks, what it becomes, its metrics."""
