"""The one door to FiftyOne: samples, labels, views, and the ids of each."""
