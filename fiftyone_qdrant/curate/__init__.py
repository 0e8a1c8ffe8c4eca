"""What an index says of the data: near-duplicates, doubtful labels, what to label."""
