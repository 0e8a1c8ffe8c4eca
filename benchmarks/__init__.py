"""What a user feels, measured side by side: ``make bench``.

``__main__`` runs it all; ``data`` makes the vectors, the dataset and the true
answers; ``contenders`` are the backends; ``measure`` times one of them in a process
of its own; ``bare`` times the engine without FiftyOne; ``report`` writes table, JSON
and plot.
"""
