"""The update rules between several streams (eq. 6 to 11), and the same as chains of vectors.

Every R of a stream with itself is carried as R - I: no digits are lost to the ones on the diagonal. Everything works on
head-averaged maps A_bar [B, s, q].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.models.relation import Relation, Step
from engine.rules import identity, moved_update

Averages = Mapping[str, Tensor]
"""Site -> A_bar, [B, s, q]."""

Pair = tuple[str, str]

ON_ZERO_ROW = ("authors", "identity")


@dataclass(frozen=True)
class Rules:
    """Which of the rules apply; the defaults are the paper's method.

    Attributes:
        normalize: eq. 8-9.
        self_in_rule_10: the self-relevancies are factors of eq. 10.
        aggregate: additions are added; False replaces, the paper's ablation (only without ``normalize``).
        on_zero_row: what a row of zeros becomes in eq. 8-9, where it is 0/0: "authors", as their code (the addition of
            that layer is dropped, or all NaN, see ``Relation.nan_is_zero``); "identity", it stays the identity row.
    """

    normalize: bool = True
    self_in_rule_10: bool = True
    aggregate: bool = True
    on_zero_row: str = "authors"


@dataclass
class Related:
    """R per pair of streams [B, s, q], or rows of it [B, q]; ``zero_rows`` [B] counts normalisations with 0/0."""

    values: dict[Pair, Tensor]
    zero_rows: Tensor | None = None


def related_matrices(relation: Relation, averages: Averages, rules: Rules) -> Related:
    """Apply the rules as the paper writes them, step by step: all R, [B, s, q].

    Source: Chefer, Gur, Wolf, ICCV 2021, eq. 6-11, in the order of the authors' code.
    """
    state = _State(relation, averages, rules)
    for group in relation.steps:
        additions = [state.addition(step) for step in group]
        for step, addition in zip(group, additions, strict=True):
            state.apply(step, addition)
    return Related({pair: state.whole(pair) for pair in state.moved}, state.zero_rows)


class _State:
    """R of every pair of streams while the steps are applied."""

    def __init__(self, relation: Relation, averages: Averages, rules: Rules) -> None:
        self.relation, self.averages, self.rules = relation, averages, rules
        like = next(iter(averages.values()))
        sizes = {name: stream.content.shape[1] for name, stream in relation.streams.items()}
        pairs = [(name, name) for name in sizes] + sorted(relation.cross_pairs)
        self.moved = {(s, q): like.new_zeros(len(like), sizes[s], sizes[q]) for s, q in pairs}
        self.has_identity = {pair: pair[0] == pair[1] for pair in pairs}
        self.zero_rows = torch.zeros(len(like), dtype=torch.long, device=like.device)

    def whole(self, pair: Pair) -> Tensor:
        """R of a pair."""
        moved = self.moved[pair]
        return moved + identity(len(moved), moved.shape[-1], moved) if self.has_identity[pair] else moved

    def addition(self, step: Step) -> dict[Pair, Tensor]:
        """What a step adds to R, from the state as it is."""
        average = self.averages[step.site]
        if step.is_self:  # eq. 6 and 7
            return {pair: average @ self.whole(pair) for pair in self.moved if pair[0] == step.query}
        change = {(step.query, step.key): self._rule_10(step, average)}
        if (step.key, step.query) in self.moved:  # eq. 11, R_qs is not normalised
            change[step.query, step.query] = average @ self.moved[step.key, step.query]
        return change

    def apply(self, step: Step, addition: dict[Pair, Tensor]) -> None:
        """Add (or, in the ablation, replace)."""
        for pair, change in addition.items():
            if self.rules.aggregate:
                self.moved[pair] = self.moved[pair] + change
            else:
                self.moved[pair], self.has_identity[pair] = change, False

    def _rule_10(self, step: Step, average: Tensor) -> Tensor:
        if not self.rules.self_in_rule_10:
            return average
        left, right = (self._factor(name) for name in (step.query, step.key))
        addition = left.transpose(-2, -1) @ average @ right
        return addition.nan_to_num(nan=0.0) if self._drops_nan else addition

    @property
    def _drops_nan(self) -> bool:
        return self.rules.normalize and self.relation.nan_is_zero

    def _factor(self, name: str) -> Tensor:
        """N(R_ss) of eq. 8-9, or R_ss itself."""
        if not self.rules.normalize:
            return self.whole((name, name))
        moved = self.moved[name, name]
        sums, zero = row_sums(moved.sum(dim=-1), self.relation.streams[name].valid, self.rules.on_zero_row)
        self.zero_rows += zero.any(dim=-1)
        return moved / sums[..., None] + identity(len(moved), moved.shape[-1], moved)


def row_sums(sums: Tensor, valid: Tensor, on_zero_row: str) -> tuple[Tensor, Tensor]:
    """Row sums of R - I that eq. 9 divides by, [B, s], and where they are zero, [B, s] boolean.

    Rows of padding are always divided by one: they are not there, whatever their neighbours in the batch.
    """
    zero = (sums == 0) & valid
    spared = ~valid if on_zero_row == "authors" else ~valid | zero
    return torch.where(spared, torch.ones_like(sums), sums), zero


def related_rows(relation: Relation, row: Tensor, averages: Averages, rules: Rules) -> Related:
    """``row @ R`` of an encoder-decoder model without a product of two N x N maps: chains of vectors.

    With R_ii = I + M complete before the first cross-attention, the row r of R_qi is linear in N(R_ii):
    sum_l (N(R_qq) r_l)^T A_l N(R_ii) = w^T N(R_ii) = w^T + (w / d)^T M, d = M 1. So d is one chain from the first
    encoder layer to the last, and (w / d)^T M one from the last to the first. Only R_qq, queries x queries, is formed.

    Args:
        relation: an encoder-decoder relation with aggregation.
        row: the read-out row over the read stream, [B, N].
        averages: A_bar per site.
        rules: which rules apply.

    Returns:
        Rows [B, N] of R - I for the read stream and of R for the memory.
    """
    ((read, memory),) = relation.cross_pairs
    query_steps = [step for step in relation if step.query == read]
    rows = _rows_at(query_steps, row, averages)
    zero_rows = torch.zeros(len(row), dtype=torch.long, device=row.device)
    moved = row.new_zeros(len(row), row.shape[1], row.shape[1])
    collected = row.new_zeros(len(row), averages[relation.last(read, memory).site].shape[-1])
    for step, at in zip(query_steps, rows, strict=True):
        average = averages[step.site]
        if step.is_self:
            moved = moved_update(moved, average)
            continue
        factor, zero = _times_factor(moved, at, relation.streams[read].valid, rules)
        zero_rows += zero
        addition = (factor[:, None, :] @ average).squeeze(1)
        drop = rules.normalize and rules.self_in_rule_10 and relation.nan_is_zero
        collected = collected + (addition.nan_to_num(nan=0.0) if drop else addition)
    memory_row, zero = _through_memory(relation, memory, collected, averages, rules)
    crossings = sum(not step.is_self for step in query_steps)
    values = {(read, read): (row[:, None, :] @ moved).squeeze(1), (read, memory): memory_row}
    return Related(values, zero_rows + zero * crossings)


def _rows_at(steps: list[Step], row: Tensor, averages: Averages) -> list[Tensor]:
    """The row that each step of the read stream meets: ``row`` times the later self-attentions."""
    rows = []
    for step in reversed(steps):
        rows.append(row)
        if step.is_self:
            row = row + (row[:, None, :] @ averages[step.site]).squeeze(1)
    return rows[::-1]


def _times_factor(moved: Tensor, row: Tensor, valid: Tensor, rules: Rules) -> tuple[Tensor, Tensor]:
    """(N(R_ss) row) of eq. 10, [B, s], and whether a row of zeros met eq. 9, [B]."""
    nothing = torch.zeros(len(row), dtype=torch.long, device=row.device)
    if not rules.self_in_rule_10:
        return row, nothing
    column = (moved @ row[..., None]).squeeze(-1)
    if not rules.normalize:
        return row + column, nothing
    sums, zero = row_sums(moved.sum(dim=-1), valid, rules.on_zero_row)
    return row + column / sums, zero.any(dim=-1).long()


def _through_memory(
    relation: Relation, memory: str, weights: Tensor, averages: Averages, rules: Rules
) -> tuple[Tensor, Tensor]:
    """``weights @ N(R_ii)``, [B, N], and whether a row of zeros met eq. 9, [B]."""
    nothing = torch.zeros(len(weights), dtype=torch.long, device=weights.device)
    maps = [averages[step.site] for step in relation.self_steps(memory)]
    if not rules.self_in_rule_10:
        return weights, nothing
    if not rules.normalize:
        return weights + _row_chain(maps, weights), nothing
    sums, zero = row_sums(_column_chain(maps), relation.streams[memory].valid, rules.on_zero_row)
    answer = weights + _row_chain(maps, weights / sums)
    meets = zero.any(dim=-1)
    if rules.on_zero_row == "authors" and relation.nan_is_zero:  # every addition was NaN, and became zero
        answer = torch.where(meets[:, None], torch.zeros_like(answer), answer)
    elif rules.on_zero_row == "authors":
        answer = torch.where(meets[:, None], torch.full_like(answer, torch.nan), answer)
    return answer, meets.long()


def _column_chain(maps: list[Tensor]) -> Tensor:
    """(R - I) 1 with R = (I + A_L) ... (I + A_1), [B, N]."""
    ones = torch.ones_like(maps[0][:, :, 0])
    moved = torch.zeros_like(ones)
    for average in maps:
        moved = moved + (average @ (ones + moved)[..., None]).squeeze(-1)
    return moved


def _row_chain(maps: list[Tensor], row: Tensor) -> Tensor:
    """row (R - I), [B, N]."""
    moved = torch.zeros_like(row)
    for average in reversed(maps):
        moved = moved + ((row + moved)[:, None, :] @ average).squeeze(1)
    return moved
