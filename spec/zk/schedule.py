"""O1 of zk.md: schedules, and the numbers p3-whir 0.8.0 derives from one."""

import dataclasses
import math

from zk import johnson
from zk.refusal import require


@dataclasses.dataclass
class Phase:
    """A query phase: what it opens, and what the fold before it leaves."""

    variables: int
    fold: int
    rate: int
    domain: int
    queries: int
    work: int
    samples: int = 0
    next_rate: int = 0
    folding_work: int = 0

    @property
    def depth(self):
        return self.domain - self.fold

    @property
    def draws(self):
        """How many positions are drawn; none when all are opened."""
        return 0 if self.queries >= 1 << self.depth else self.queries

    @property
    def rows(self):
        return min(self.queries, 1 << self.depth)


class Schedule:
    def __init__(self, folds, rates, grinding):
        self.folds, self.rates, self.grinding = folds, rates, grinding

    @property
    def first_fold(self):
        return self.folds[0] if self.folds else 0

    def whir(self, variables):
        return Whir(self, variables)


class Whir:
    """The run of a schedule over a polynomial of `variables` variables."""

    def __init__(self, schedule, variables):
        folds, rates, grinding = schedule.folds, schedule.rates, schedule.grinding
        require(1 <= len(folds) <= 8 and len(rates) == len(folds), "zk.parameter", "phases")
        require(all(1 <= f <= 8 for f in folds) and all(1 <= r <= 12 for r in rates), "zk.parameter", "folds, rates")
        require(grinding <= 20, "zk.parameter", "grinding")
        require(1 <= variables <= 28, "zk.parameter", "variables")
        left = variables
        for i, fold in enumerate(folds):
            require(left >= fold and (i == 0 or left > 6), "zk.parameter", "folds")
            left -= fold
        require(left <= 6, "zk.parameter", "folds end early")
        require(variables + rates[0] <= 31, "zk.parameter", "codeword")
        self.schedule, self.variables, self.final_rounds = schedule, variables, left
        self.samples = johnson.ood_samples(variables, rates[0])
        self.initial_work = johnson.folding_work(variables, rates[0])
        self.phases = self.derive(folds, rates, grinding)
        work = [self.initial_work] + [max(p.work, p.folding_work) for p in self.phases]
        require(self.samples is not None and max(work) <= grinding, "zk.parameter", "work")
        final = self.phases[-1]
        require(final.draws or not grinding, "zk.parameter", "work behind which nothing is drawn")

    def derive(self, folds, rates, grinding):
        variables, domain, out = self.variables, self.variables + rates[0], []
        for i, fold in enumerate(folds):
            variables -= fold
            rate = rates[i]
            count = johnson.queries(johnson.SECURITY - grinding, rate)
            error = johnson.queries_error(rate, count)
            if i + 1 < len(folds):
                following = rates[i + 1]
                require(following <= rate + fold, "zk.parameter", "a rate that grows the domain")
                samples = johnson.ood_samples(variables, following)
                require(samples is not None, "zk.parameter", "samples")
                error = min(error, johnson.combination_error(following, johnson.FIELD, samples, count))
                folding = johnson.folding_work(variables, following)
            else:
                following, samples, folding = 0, 0, 0
            work = math.ceil(max(0.0, johnson.SECURITY - error))
            out.append(Phase(variables, fold, rate, domain, count, work, samples, following, folding))
            domain -= rate + fold - following
        return out

    def error_terms(self, claims):
        """Bits of all phases, of p3-whir's `prescribed_security`."""
        field, rates = johnson.FIELD - 1, self.schedule.rates
        out = [johnson.initial_claims_error(rates[0], field, claims + self.samples)]

        def folds(variables, rate, count, work):
            gap = johnson.gap_error(variables, rate, field) - 1.0 + work
            out.extend([gap, johnson.fold_error(rate, field) + work] * count)

        out.append(johnson.ood_error(self.variables, rates[0], field, self.samples))
        folds(self.variables, rates[0], self.schedule.folds[0], self.initial_work)
        for i, p in enumerate(self.phases):
            if i + 1 < len(self.phases):
                out.append(johnson.ood_error(p.variables, p.next_rate, field, p.samples))
            out.append(johnson.queries_error(p.rate, p.queries) + p.work)
            if i + 1 < len(self.phases):
                out.append(johnson.combination_error(p.next_rate, field, p.samples, p.queries) + p.work)
                folds(p.variables, p.next_rate, self.schedule.folds[i + 1], p.folding_work)
        return out + [field - 1.0] * self.final_rounds
