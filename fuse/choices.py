"""The ways to fuse, by name. Without heavy imports, so that `fuse.py --help` answers at once."""

METHODS = ("kmeans", "median", "weighted", "stacked")
MIN_CLIPS = {"weighted": 20, "stacked": 40}   # examples below which a fusion is not learnt; the same for a kind alone
LEARNT = tuple(MIN_CLIPS)                     # need out-of-fold answers
