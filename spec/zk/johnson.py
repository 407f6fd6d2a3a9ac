"""The error terms of WHIR under the Johnson bound, as p3-security 0.8.0 computes them. All in bits."""

import math

SECURITY = 130
FIELD = 192
TEN_ETA = math.log2(10)


def log_eta(rate):
    return -(0.5 * rate + TEN_ETA + 1.0)


def list_size(rate):
    return rate / 2.0 - (1.0 + log_eta(rate))


def queries(bits, rate):
    return math.ceil(-bits / log_1_delta(rate))


def log_1_delta(rate):
    return math.log2(21.0 / 20.0) - 0.5 * rate


def queries_error(rate, count):
    return -count * log_1_delta(rate)


def ood_error(variables, rate, field, samples):
    return samples * field + 1.0 - (2.0 * list_size(rate) + variables * samples)


def ood_samples(variables, rate):
    return next((n for n in range(1, 64) if ood_error(variables, rate, FIELD, n) >= SECURITY), None)


def gap_error(variables, rate, field):
    """The proximity gap of a fold of two functions."""
    m = max(math.ceil(2.0 ** (-rate / 2.0 - 1.0 - log_eta(rate))), 3)
    if variables == 0:
        lines = rate + rate + math.log2(1.0 - 2.0**-rate) - 1.0
    else:
        rho = math.log2(1.0 - 2.0**-variables) - rate
        lines = 3.0 + variables + rate + 3.0 * math.log2(m + 0.5) - math.log2(3.0) - rho
    return field - lines


def fold_error(rate, field):
    return field - (list_size(rate) + 1.0)


def combination_error(rate, field, samples, count):
    return field - (math.log2(samples + count) + list_size(rate) + 1.0)


def initial_claims_error(rate, field, claims):
    return math.inf if claims <= 1 else field - math.log2(claims - 1) - list_size(rate)


def folding_work(variables, rate):
    return math.ceil(max(0.0, SECURITY - min(gap_error(variables, rate, FIELD), fold_error(rate, FIELD))))


def union(terms):
    return -math.log2(sum(2.0**-bits for bits in terms))
