"""What a similarity index is made of: its points, its collection, whose it is."""
