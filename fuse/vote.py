"""Votes that fuse several answers into one: pure functions on arrays, no files.

    two_means_vote(np.array([[64.6, 65.3, 64.8, 64.7, 12.0]]))   # -> [64.85]
"""

import numpy as np


def two_means_vote(seconds: np.ndarray) -> np.ndarray:
    """Per clip: split the times by 2-means, answer with the mean of the larger cluster. (N, K) -> (N,), seconds.

    In one dimension an optimal split cuts the sorted times in two, so trying all K - 1 cuts finds the optimum
    exactly (k-means with random starts misses it on some rows). Where both clusters are equally large (K even), or
    two cuts are equally good, the right side is unknown, and the answer is the median of all K times.
    """
    seconds = np.sort(np.asarray(seconds, dtype=np.float64), axis=1)
    count = seconds.shape[1]
    if count == 1:
        return seconds[:, 0]
    costs = np.stack([_scatter(seconds[:, :cut]) + _scatter(seconds[:, cut:]) for cut in range(1, count)], axis=1)
    best = costs.argmin(1) + 1                                       # size of the lower cluster, (N,)
    means = np.stack(
        [seconds[:, :cut].mean(1) if 2 * cut > count else seconds[:, cut:].mean(1) for cut in range(1, count)], axis=1
    )
    answer = means[np.arange(len(seconds)), best - 1]
    # Equal up to rounding: the tolerance is far below a millisecond's effect on the cost.
    equally_good = costs <= costs.min(1, keepdims=True) * (1 + 1e-9) + 1e-12
    same_answer = np.isclose(means, answer[:, None], rtol=0, atol=1e-9)
    tie = (equally_good & ~same_answer).any(1) | (2 * best == count)
    return np.where(tie, np.median(seconds, axis=1), answer)


def median_vote(seconds: np.ndarray) -> np.ndarray:
    """Per clip, the median of the times. (N, K) -> (N,), seconds."""
    return np.median(np.asarray(seconds, dtype=np.float64), axis=1)


def weighted_median_vote(seconds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Per clip, the time with half of the weight on either side. (N, K) and (K,) -> (N,), seconds.

    Where the weight splits into two equal halves, it is the mean of the two times next to the split, so equal weights
    give the median. Weights are not negative and not all zero.
    """
    seconds, weights = np.asarray(seconds, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    order = seconds.argsort(axis=1, kind="stable")
    share = weights[order].cumsum(axis=1) / weights.sum()   # (N, K), weight of all times up to this one
    row = np.arange(len(seconds))
    # With a tolerance, since sums of weights are rounded; an input with weight 0 must not become the middle.
    lower = order[row, (share > 0.5 - 1e-9).argmax(1)]
    upper = order[row, (share > 0.5 + 1e-9).argmax(1)]
    return (seconds[row, lower] + seconds[row, upper]) / 2


def majority_spread(seconds: np.ndarray) -> np.ndarray:
    """Per clip, the width of the narrowest span that holds more than half of the times. (N, K) -> (N,), seconds.

    One outlier among five leaves it small; it is large where no majority agrees. Two times: their distance.
    """
    seconds = np.sort(np.asarray(seconds, dtype=np.float64), axis=1)
    size = majority(seconds.shape[1])
    return (seconds[:, size - 1:] - seconds[:, :seconds.shape[1] - size + 1]).min(1)


def majority(count: int) -> int:
    """The smallest integer above half of `count`."""
    return count // 2 + 1


def _scatter(x: np.ndarray) -> np.ndarray:
    """Sum of squared distances to the mean, per row."""
    return ((x - x.mean(1, keepdims=True)) ** 2).sum(1)
