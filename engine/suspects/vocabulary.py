"""Words that set some texts apart from others: what the captions of a suspect's samples say."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

from engine.suspects.candidate import FEWEST

WORD = re.compile(r"\w+(?:['’-]\w+)*")
MOST = 5  # words that are named
ERROR = 0.05  # chance that any word is named although all are as common inside as outside


def telling_words(inside: Sequence[str], outside: Sequence[str], most: int = MOST) -> list[tuple[str, float, float]]:
    """Words that more of the texts inside have than of those outside: (word, share inside, share outside).

    A word counts once per text, whatever its case. It is named when it is in at least `FEWEST` texts inside and its
    share there is above that outside by more than the two-proportion z-test with a pooled share allows, two-sided at
    5 % divided by the number of words tested (Bonferroni): those in at least `FEWEST` of all texts, which does not
    depend on where they are. Words of every text, such as "the", fall out by themselves.

    At most `most`, the largest difference first; none where either side has fewer than `FEWEST` texts.
    """
    here, there = _counts(inside), _counts(outside)
    total = len(inside) + len(outside)
    tested = [word for word, count in (here + there).items() if count >= FEWEST]
    if not tested or min(len(inside), len(outside)) < FEWEST:
        return []
    least = NormalDist().inv_cdf(1 - ERROR / 2 / len(tested))
    found = []
    for word in tested:
        share, other, pooled = here[word] / len(inside), there[word] / len(outside), (here[word] + there[word]) / total
        error = math.sqrt(pooled * (1 - pooled) * (1 / len(inside) + 1 / len(outside)))
        if here[word] >= FEWEST and share - other > least * error:
            found.append((word, share, other))
    return sorted(found, key=lambda one: (one[2] - one[1], one[0]))[:most]


def _counts(texts: Sequence[str]) -> Counter[str]:
    """In how many texts each word is."""
    return Counter(word for text in texts for word in set(WORD.findall(text.lower())))
