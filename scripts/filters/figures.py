"""What a list of scores is worth."""

import bisect
import math

HEADING = (
    f"{'tenant':<16} {'filter':<27} {'ham':>6} {'spam':>5}  {'(1-AUC)%':>8}  {'FP%':>5} {'(95 %)':>11}"
    f"  {'caught%':>7}  {'@.1%FP':>6} {'(95 %)':>11}  {'@1%FP':>6}"
)


def wilson(hits, of):
    """95 % interval of a share, in percent."""
    if not of:
        return (0.0, 100.0)
    z, p = 1.96, hits / of
    middle, root = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    scale = 100 / (1 + z * z / of)
    return ((middle - root) * scale, (middle + root) * scale)


def figures(ham, spam, threshold):
    """A dict of figures; scores above the threshold count as spam."""
    ham, count = sorted(ham), len(ham)
    below = sum(bisect.bisect_left(ham, s) + bisect.bisect_right(ham, s) for s in spam) / 2

    def caught_at(share):
        # The cut above which at most this share of ham lies.
        cut = ham[count - 1 - int(share * count)]
        return sum(s > cut for s in spam)

    false, caught, few = sum(h > threshold for h in ham), sum(s > threshold for s in spam), caught_at(0.001)
    return {
        "ham": count,
        "spam": len(spam),
        "one_minus_auc_percent": 100 * (1 - below / (count * len(spam))),
        "false_positives_percent": 100 * false / count,
        "false_positives_interval": wilson(false, count),
        "caught_percent": 100 * caught / len(spam),
        "caught_at_0_1_percent": 100 * few / len(spam),
        "caught_at_0_1_interval": wilson(few, len(spam)),
        "caught_at_1_percent": 100 * caught_at(0.01) / len(spam),
    }


def row(tenant, name, f):
    def between(pair):
        return f"{max(pair[0], 0):.1f}-{pair[1]:.1f}"

    return (
        f"{tenant:<16} {name:<27} {f['ham']:>6} {f['spam']:>5}  {f['one_minus_auc_percent']:>8.2f}"
        f"  {f['false_positives_percent']:>5.1f} {between(f['false_positives_interval']):>11}"
        f"  {f['caught_percent']:>7.1f}  {f['caught_at_0_1_percent']:>6.1f} {between(f['caught_at_0_1_interval']):>11}"
        f"  {f['caught_at_1_percent']:>6.1f}"
    )
