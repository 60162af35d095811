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


def figures(folds, threshold):
    """A dict of figures; scores above the threshold count as spam. Folds are (ham, spam): scores of one model each, which has
    its own cut; what is caught is counted together."""
    folds = [(sorted(ham), spam) for ham, spam in folds if ham and spam]
    hams, spams = sum(len(ham) for ham, _ in folds), sum(len(spam) for _, spam in folds)

    def ranked(ham, spam):
        return sum(bisect.bisect_left(ham, s) + bisect.bisect_right(ham, s) for s in spam) / 2 / len(ham)

    def caught_at(share):
        # The cut above which at most this share of ham lies.
        return sum(s > ham[len(ham) - 1 - int(share * len(ham))] for ham, spam in folds for s in spam)

    false = sum(h > threshold for ham, _ in folds for h in ham)
    caught, few = sum(s > threshold for _, spam in folds for s in spam), caught_at(0.001)
    return {
        "ham": hams,
        "spam": spams,
        "one_minus_auc_percent": 100 * (1 - sum(ranked(*fold) for fold in folds) / spams),
        "false_positives_percent": 100 * false / hams,
        "false_positives_interval": wilson(false, hams),
        "caught_percent": 100 * caught / spams,
        "caught_at_0_1_percent": 100 * few / spams,
        "caught_at_0_1_interval": wilson(few, spams),
        "caught_at_1_percent": 100 * caught_at(0.01) / spams,
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
