"""The ways to fuse, by name. Without heavy imports, so that `fuse.py --help` answers at once."""

METHODS = ("kmeans", "median", "weighted", "stacked")
MIN_CLIPS = {"weighted": 20, "stacked": 40}   # least examples from which a fusion is learnt, or one kind by itself
LEARNT = tuple(MIN_CLIPS)                     # need out-of-fold answers
