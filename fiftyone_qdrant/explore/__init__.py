"""What follows a query: its cut, its history, what it taught, why one is not in it."""
