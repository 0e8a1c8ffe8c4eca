"""What is known of indexes and collections, and what is under way."""
