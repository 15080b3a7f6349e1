"""How well reviewers agree beyond chance: Fleiss' kappa, for any number of reviewers per suspect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from storage.reviews.entries import Entry


@dataclass(frozen=True)
class Agreement:
    """Over the suspects that at least two people judged.

    Attributes:
        kappa: 1 for full agreement, 0 for as much as chance gives, below 0 for less; None when it is undefined:
            no such suspect, or one and the same verdict everywhere (then there is nothing to agree about).
        reviewers: people with a standing verdict on such a suspect.
        suspects: such suspects.
        agreed: share of them on which all their reviewers say the same, 0..1; None without any.
    """

    kappa: float | None
    reviewers: int
    suspects: int
    agreed: float | None


def agreement_of(standing: Iterable[Entry]) -> Agreement:
    """Agreement of standing entries (one per suspect and reviewer).

    Fleiss' kappa (J. L. Fleiss, Measuring nominal scale agreement among many raters, Psychological Bulletin 76,
    1971) in the form for unequal numbers of raters (K. L. Gwet, Handbook of Inter-Rater Reliability, 4th ed. 2014,
    chapter 2). With r_ik of r_i reviewers of suspect i giving verdict k, over the n suspects with r_i >= 2:

        p_a = 1/n sum_i sum_k r_ik (r_ik - 1) / (r_i (r_i - 1))       pi_k = 1/n sum_i r_ik / r_i
        p_e = sum_k pi_k^2                                            kappa = (p_a - p_e) / (1 - p_e)

    With the same r for all it is Fleiss' own. Gwet takes pi_k from suspects with one reviewer as well; here they say
    nothing, so that a person who worked alone does not change how well the others agree.
    """
    by_suspect: dict[str, list[Entry]] = {}
    for entry in standing:
        by_suspect.setdefault(entry.suspect, []).append(entry)
    shared = [entries for entries in by_suspect.values() if len(entries) >= 2]
    reviewers = {entry.reviewer for entries in shared for entry in entries}
    counts = [Counter(entry.verdict for entry in entries) for entries in shared]
    agreed = sum(len(count) == 1 for count in counts) / len(counts) if counts else None
    return Agreement(_kappa(counts), len(reviewers), len(counts), agreed)


def _kappa(counts: list[Counter[str]]) -> float | None:
    """Kappa of the verdict counts of each suspect; None when undefined."""
    verdicts = {verdict for count in counts for verdict in count}
    if len(verdicts) < 2:  # by chance everything would agree: p_e is 1
        return None
    observed = sum(_pairs_agreed(count) for count in counts) / len(counts)
    shares = [sum(count[verdict] / count.total() for count in counts) / len(counts) for verdict in verdicts]
    chance = sum(share * share for share in shares)
    return (observed - chance) / (1 - chance)


def _pairs_agreed(count: Counter[str]) -> float:
    """Share of the pairs of reviewers of one suspect that agree."""
    total = count.total()
    return sum(n * (n - 1) for n in count.values()) / (total * (total - 1))
