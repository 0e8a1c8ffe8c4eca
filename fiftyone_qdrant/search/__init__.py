"""One query: its options, what Qdrant is asked, what of the answer a view holds."""
