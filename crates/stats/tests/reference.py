"""Figures of scikit-learn and scipy that the crate is compared with; writes reference.json beside itself.

Run by hand when a figure is added: python crates/stats/tests/reference.py. Inputs are drawn from a seed and stored with the
figures, so the test needs no Python. What neither library has (DeLong, Newcombe, mid-p) is written out plainly, by the
definition and not by the fast algorithm.
"""

import json
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy import special, stats
from scipy.spatial.distance import jensenshannon
from sklearn import metrics

RNG = np.random.default_rng(20261127)
Z = stats.norm.ppf(0.975)


def special_functions():
    probabilities = [1e-300, 1e-12, 0.001, 0.025, 0.2, 0.5, 0.7, 0.975, 0.999999]
    gammas = [(0.5, 0.1), (0.5, 3.0), (4.5, 2.0), (4.5, 20.0), (50.0, 45.0), (2000.0, 2100.0)]
    betas = [(0.5, 0.5, 0.3), (2.0, 5.0, 0.1), (100.0, 3.0, 0.97), (5000.0, 5000.0, 0.505), (1e6, 2e4, 0.98)]
    students = [(0.025, 1), (0.025, 2), (0.025, 9), (0.005, 30), (0.025, 999), (0.025, 1000), (0.005, 50000)]
    lambdas = [0.2, 0.5, 0.9, 1.0, 1.36, 2.0, 4.0]
    return {
        "normal_quantile": [(p, stats.norm.ppf(p)) for p in probabilities],
        "normal_cdf": [(z, stats.norm.cdf(z)) for z in [-30.0, -8.0, -1.96, 0.0, 0.5, 3.0]],
        "gamma_upper": [(a, x, special.gammaincc(a, x)) for a, x in gammas],
        "beta": [(a, b, x, special.betainc(a, b, x)) for a, b, x in betas],
        "student_upper_quantile": [(tail, df, stats.t.isf(tail, df)) for tail, df in students],
        "kolmogorov": [(x, special.kolmogorov(x)) for x in lambdas],
    }


def delong(labels, scores):
    """Placements by comparing every positive row with every negative one."""
    positive, negative = scores[labels], scores[~labels]
    wins = (positive[:, None] > negative[None, :]) + 0.5 * (positive[:, None] == negative[None, :])
    return wins.mean(axis=1), wins.mean(axis=0)


def delong_variance(first, second=(0.0, 0.0)):
    return sum(np.var(a - b, ddof=1) / len(a) for a, b in zip(first, second, strict=True))


def classification():
    n = 400
    labels = RNG.random(n) < 0.3
    champion = np.round(special.expit(RNG.normal(labels * 1.6 - 1.2, 1.0)), 2)
    candidate = np.round(special.expit(RNG.normal(labels * 2.0 - 1.2, 1.0)), 2)
    decided = champion >= 0.5
    placed, placed_candidate = delong(labels, champion), delong(labels, candidate)
    area = placed[0].mean()
    odds, error = special.logit(area), np.sqrt(delong_variance(placed)) / (area * (1 - area))
    delta = placed_candidate[0].mean() - area
    delta_error = np.sqrt(delong_variance(placed_candidate, placed))
    calibration = np.minimum((champion * 10).astype(int), 9)
    gaps = [abs(labels[calibration == b].sum() - champion[calibration == b].sum()) for b in range(10)]
    losses = -np.log(np.where(labels, champion, 1 - champion))
    log_loss_interval = stats.t.interval(0.95, n - 1, losses.mean(), stats.sem(losses))
    return {
        "labels": labels.tolist(),
        "champion": champion.tolist(),
        "candidate": candidate.tolist(),
        "figures": {
            "accuracy": metrics.accuracy_score(labels, decided),
            "balanced_accuracy": metrics.balanced_accuracy_score(labels, decided),
            "precision": metrics.precision_score(labels, decided),
            "recall": metrics.recall_score(labels, decided),
            "specificity": metrics.recall_score(~labels, ~decided),
            "f1": metrics.f1_score(labels, decided),
            "f2": metrics.fbeta_score(labels, decided, beta=2),
            "mcc": metrics.matthews_corrcoef(labels, decided),
            "log_loss": metrics.log_loss(labels, champion),
            "brier": metrics.brier_score_loss(labels, champion),
            "roc_auc": metrics.roc_auc_score(labels, champion),
            "average_precision": metrics.average_precision_score(labels, champion),
            "calibration_error": sum(gaps) / n,
        },
        "roc_auc_interval": special.expit([odds - Z * error, odds + Z * error]).tolist(),
        "roc_auc_delta": [delta, delta - Z * delta_error, delta + Z * delta_error],
        "log_loss_interval": list(log_loss_interval),
    }


def multiclass():
    names = np.array(["a", "b", "c", "d"])
    actual = RNG.integers(0, 4, 300)
    predicted = np.where(RNG.random(300) < 0.6, actual, RNG.integers(0, 3, 300))
    each = metrics.precision_recall_fscore_support(actual, predicted, zero_division=np.nan)
    return {
        "actual": names[actual].tolist(),
        "predicted": names[predicted].tolist(),
        "accuracy": metrics.accuracy_score(actual, predicted),
        "macro_f1": metrics.f1_score(actual, predicted, average="macro"),
        "weighted_f1": metrics.f1_score(actual, predicted, average="weighted"),
        "f1": each[2].tolist(),
        "recall": each[1].tolist(),
    }


def regression():
    actual = RNG.normal(50, 10, 151)
    predicted = actual + RNG.standard_t(4, 151) * 3
    return {
        "actual": actual.tolist(),
        "predicted": predicted.tolist(),
        "figures": {
            "mae": metrics.mean_absolute_error(actual, predicted),
            "rmse": metrics.root_mean_squared_error(actual, predicted),
            "mape": metrics.mean_absolute_percentage_error(actual, predicted),
            "r2": metrics.r2_score(actual, predicted),
            "median_absolute_error": metrics.median_absolute_error(actual, predicted),
        },
    }


def wilson(hits, n):
    interval = stats.binomtest(hits, n).proportion_ci(0.95, "wilson")
    return interval.low, interval.high


def newcombe(first, second, phi=0.0):
    (hits, n), (other_hits, m) = first, second
    p, q = hits / n, other_hits / m
    (l1, u1), (l2, u2) = wilson(hits, n), wilson(other_hits, m)
    low = np.sqrt((p - l1) ** 2 - 2 * phi * (p - l1) * (u2 - q) + (u2 - q) ** 2)
    high = np.sqrt((u1 - p) ** 2 - 2 * phi * (u1 - p) * (q - l2) + (q - l2) ** 2)
    return p - q - low, p - q + high


def paired(both, only_second, only_first, neither):
    n = both + only_second + only_first + neither
    top = both * neither - only_second * only_first
    top = max(top - n / 2, 0) if top > 0 else top
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    phi = top / np.sqrt(margins) if margins else 0.0
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    mid_p = 2 * stats.binom.cdf(fewer, discordant, 0.5) - stats.binom.pmf(fewer, discordant, 0.5)
    return [*newcombe((both + only_second, n), (both + only_first, n), phi), mid_p]


def proportions():
    tables = [(14, 5, 0, 22), (59, 16, 6, 80), (1, 1, 7, 12), (900, 30, 55, 15)]
    shares = [(0, 20), (1, 30), (81, 263), (20, 20), (500, 100_000)]
    return {
        "wilson": [[hits, n, *wilson(hits, n)] for hits, n in shares],
        "newcombe": [[56, 70, 48, 80, *newcombe((56, 70), (48, 80))], [0, 20, 0, 10, *newcombe((0, 20), (0, 10))]],
        "paired": [[*table, *paired(*table)] for table in tables],
    }


def shares(values, edges):
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return counts, counts / len(values)


def drift():
    reference, current = RNG.normal(0, 1, 300), RNG.normal(0.4, 1.3, 250)
    small, other = np.round(RNG.normal(0, 1, 12), 3), np.round(RNG.normal(1, 1, 9), 3)
    edges = np.linspace(-1.5, 1.5, 9)
    (counts, p), (current_counts, q) = shares(reference, edges), shares(current, edges)
    chi = stats.chi2_contingency([counts, current_counts], correction=False)
    p_values = [0.001, 0.8, 0.02, 0.03, 0.04, 0.5, 0.02]
    return {
        "reference": reference.tolist(),
        "current": current.tolist(),
        "edges": edges.tolist(),
        "psi": float(np.sum((p - q) * np.log(p / q))),
        "jensen_shannon": float(jensenshannon(p, q, base=2) ** 2),
        "total_variation": float(np.abs(p - q).sum() / 2),
        "chi_squared": [chi.statistic, chi.pvalue, chi.dof],
        "ks": list(stats.ks_2samp(reference, current, method="exact")),
        "wasserstein": stats.wasserstein_distance(reference, current),
        "small": small.tolist(),
        "other": other.tolist(),
        "small_ks": list(stats.ks_2samp(small, other, method="exact")),
        "large_ks_p": stats.kstwo.sf(0.02, 5000),
        "p_values": p_values,
        "adjusted": stats.false_discovery_control(p_values).tolist(),
    }


def ranks():
    """Ranks, from 1, between which a quantile lies: each misses with at most 2.5 %, and the next inner one with more."""
    found = []
    for n, q in [(100, 0.5), (1000, 0.99), (368, 0.99), (367, 0.99), (50_000, 0.9), (7, 0.5)]:
        of = stats.binom(n, q)
        lower = max((rank for rank in range(1, n + 1) if of.cdf(rank - 1) <= 0.025), default=0)
        upper = min((rank for rank in range(1, n + 1) if of.sf(rank - 1) <= 0.025), default=n + 1)
        found.append((n, q, lower, upper))
    return found


def main():
    figures = {
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__},
        "special": special_functions(),
        "classification": classification(),
        "multiclass": multiclass(),
        "regression": regression(),
        "proportions": proportions(),
        "drift": drift(),
        "ranks": ranks(),
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(figures, default=lambda number: number.item()) + "\n")


if __name__ == "__main__":
    main()
