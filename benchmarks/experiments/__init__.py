"""What was measured to decide how things are done: each with its verdict."""
