"""`python -m jobs suspects RUN`: gather, detect, compare with chance, rank, prove, keep."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from engine.suspects import Candidate, Chance, chance_of, consequences, detect, ranked
from jobs.errors import Interrupted, JobError
from jobs.suspects.gather import Gathered, gather
from jobs.suspects.judgement import is_flagged
from jobs.suspects.naming import name_of
from jobs.suspects.proof import prove
from jobs.suspects.spec import SuspectsSpec
from jobs.suspects.tested import Tested
from storage import RunReader, Store, StoreError, Suspects, suspects_lock, write_suspects

SAME = 0.5  # share of the smaller list of samples by which an earlier suspect is known again
MOST_ELSEWHERE = 200  # samples of other classes that are named one by one
ORDER = {"verified": 1, "unverified": 2, "refuted": 3}
Progress = Callable[[str, int, int], None]
"""Called with a step's name, how far it is, and of how much."""


@dataclass(frozen=True)
class SuspectsResult:
    """The document of `suspects --json`."""

    run: str
    store: str
    samples: int
    total: int
    complete: bool
    seconds: float
    suspects: list[dict[str, Any]]
    chance: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def find_suspects(spec: SuspectsSpec, progress: Progress | None = None) -> SuspectsResult:
    """Search a run and keep what was found in its store.

    Each suspect is kept as soon as it is tested: a call that is interrupted, or repeated when the run has grown, goes
    on from there.

    Raises `JobError`, `engine.EngineError` or `storage.StoreError` with one clear line.
    """
    spec, report = spec.checked(), progress or (lambda step, done, total: None)
    store = Store.open(spec.store)
    run = spec.run or next(iter(store.run_ids()), None)
    if run is None:
        raise JobError(f"the store {store.root} has no runs yet; `python -m jobs run` makes one")
    with store.reader(run) as reader, suspects_lock(reader.run):
        try:
            return _Search(spec, store, reader, report).result()
        except KeyboardInterrupt:
            done = len(reader.suspects().rows)
            raise Interrupted(f"interrupted, {done} suspects are kept, run the same command to go on") from None


class _Search:
    """One search: the steps, and what they know of each other."""

    def __init__(self, spec: SuspectsSpec, store: Store, reader: RunReader, report: Progress) -> None:
        self.spec, self.store, self.reader, self.report = spec, store, reader, report
        self.started = time.monotonic()
        try:
            self.before = Suspects() if spec.again else reader.suspects()
        except StoreError:  # a damaged list is made anew
            self.before = Suspects()

    def result(self) -> SuspectsResult:
        """Do everything, keep it, and say it."""
        self.report("reading", 0, 1)
        self.gathered = gather(self.reader, sample=self.spec.sample, seed=self.spec.seed)
        self.notes = list(self.gathered.notes)
        self.complete = self.reader.record.state == "finished"
        if not self.complete:
            self.notes.append(f"the run is not finished: this is what its first {self.gathered.total:,} samples say")
        if len(np.unique(self.gathered.seen.predicted)) < 2:
            self.notes.append("all predictions are of one class: there is no other class to compare with")
        candidates, self.chance = self._detected()
        self.chosen = ranked([c for c in candidates if c.score > self.chance.highest(c.kind)], self.spec.top)
        self._prove_all()
        rows = self._rows()
        self._keep(rows, done=True)
        uris = dict(zip(self.gathered.ids.tolist(), self.gathered.uris, strict=True))
        suspects = [{**row, "sample_uris": [uris[i] for i in row["sample_ids"]]} for row in rows]
        return SuspectsResult(
            run=self.reader.run.run_id,
            store=str(self.store.root),
            samples=len(self.gathered.ids),
            total=self.gathered.total,
            complete=self.complete,
            seconds=round(time.monotonic() - self.started, 2),
            suspects=suspects,
            chance=self._chance_summary(),
            notes=self.notes,
        )

    def _detected(self) -> tuple[list[Candidate], Chance]:
        kinds, steps = list(self.spec.kinds), 1 + self.spec.permutations
        self.report("searching", 0, steps)
        candidates = detect(self.gathered.seen, self.spec.seed, kinds)
        done = [1]

        def step() -> None:
            done[0] += 1
            self.report("searching", done[0], steps)

        self.report("searching", 1, steps)
        permutations = self.spec.permutations if candidates else 0
        chance = chance_of(self.gathered.seen, self.spec.seed, permutations=permutations, kinds=kinds, progress=step)
        self.report("searching", steps, steps)
        return candidates, chance

    # -- proof ----------------------------------------------------------------------------------------

    def _prove_all(self) -> None:
        """Test every chosen candidate that no earlier call has tested; keep the list after each."""
        self.names = _names(self.chosen, self.gathered, self.before.rows)
        self.tested = [self._known(k) for k in range(len(self.chosen))]
        waiting = [k for k, known in enumerate(self.tested) if known is None]
        if not self.spec.verify or not waiting:
            return
        from jobs.suspects.material import find_material  # loads the model: only when something is to be tested

        material = find_material(self.reader.record, self.spec)
        for done, k in enumerate(waiting):
            self.report("testing", done, len(waiting))
            proof = prove(self.chosen[k], self.gathered, material, photos=self.spec.photos, seed=self.spec.seed)
            self.tested[k] = Tested.of(proof, self.spec.photos)
            self._keep(self._rows(), done=False)
        self.report("testing", len(waiting), len(waiting))

    def _known(self, k: int) -> Tested | None:
        """What an earlier call found out by testing the same suspect on as many photos."""
        row = self.names[k][1]
        return None if row is None else Tested.read(row, self.spec.photos)

    # -- rows -----------------------------------------------------------------------------------------

    def _rows(self) -> list[dict[str, Any]]:
        """The rows of the table, ranked: flagged before verified before untested before refuted, then by score."""
        rows = [self._row(k, one) for k, one in enumerate(self.chosen)]
        rows.sort(key=lambda row: (0 if row["flagged"] else ORDER[row["status"]], -row["score"]))
        return [{**row, "rank": rank} for rank, row in enumerate(rows, 1)]

    def _row(self, k: int, one: Candidate) -> dict[str, Any]:
        seen, tested = self.gathered.seen, self.tested[k]
        status = "unverified" if tested is None else tested.status
        on_object = None if tested is None else tested.on_object
        consequence = consequences(seen, one, self.gathered.labels)
        called = consequence.get("called", {"k": 0, "n": 0})
        evidence: dict[str, Any] = {
            **{name: round(value, 6) for name, value in one.evidence.items()},
            "expected_by_chance": self.chance.expected(one.kind, one.score),
            "consequence": consequence,
            "seen_as": [name_of(other, self.gathered) for other in one.also],
            "elsewhere": len(one.elsewhere),
            "elsewhere_ids": self.gathered.ids[one.elsewhere[:MOST_ELSEWHERE]].tolist(),
            **({} if tested is None else tested.evidence()),
        }
        return {
            "id": self.names[k][0],
            "rank": 0,
            "kind": one.kind,
            "name": name_of(one, self.gathered),
            "class_name": self.gathered.class_names[one.class_index],
            "class_index": one.class_index,
            "n": len(one.members),
            "share": len(one.members) / max(int((seen.predicted == one.class_index).sum()), 1),
            "score": round(one.score, 6),
            "status": status,
            "flagged": is_flagged(one, status, on_object, (called["k"], called["n"]), self.chance.highest(one.kind)),
            "evidence": evidence,
            "cue": {**_compact(one), "boxes": {} if tested is None else tested.boxes},
            "sample_ids": self.gathered.ids[one.members].tolist(),
        }

    def _keep(self, rows: Sequence[dict[str, Any]], done: bool) -> None:
        about = {
            "samples": len(self.gathered.ids),
            "total": self.gathered.total,
            "complete": self.complete,
            "done": done,
            "target": self.gathered.target,
            "chance": self._chance_summary(),
            "settings": self.spec.settings(),
            "notes": self.notes,
        }
        write_suspects(self.reader.run, rows, about)

    def _chance_summary(self) -> dict[str, Any]:
        """How many suspects chance alone would give with as high a score as those that are listed."""
        kinds = {
            kind: {
                "highest_score": self.chance.highest(kind),
                "candidates": float(np.mean([len(run) for run in runs])) if runs else 0.0,
            }
            for kind, runs in self.chance.scores.items()
        }
        lowest = {kind: min((c.score for c in self.chosen if c.kind == kind), default=None) for kind in kinds}
        expected = sum(self.chance.expected(kind, low) for kind, low in lowest.items() if low is not None)
        return {"permutations": self.chance.permutations, "expected_suspects": expected, "kinds": kinds}


def _compact(one: Candidate) -> dict[str, Any]:
    """The cue, in plain numbers of no more digits than it needs."""
    return {name: _rounded(value) for name, value in one.cue.to_json().items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 5) if isinstance(value, float) else value


def _names(
    chosen: Sequence[Candidate], gathered: Gathered, before: Sequence[dict[str, Any]]
) -> list[tuple[str, dict[str, Any] | None]]:
    """The id of each candidate, and the row of an earlier search that speaks of the same photos.

    A suspect that is found again, also among more samples, keeps its id, and with it what people said of it.
    """
    free = list(before)
    found: list[tuple[str, dict[str, Any] | None]] = []
    used: set[str] = set()
    for one in chosen:
        ids = gathered.ids[one.members]
        row = next((row for row in free if _same(one, ids, row)), None)
        if row is not None:
            free.remove(row)
            found.append((row["id"], row))
        else:
            name = (
                f"{one.kind}-{hashlib.sha256(repr((one.class_index, sorted(ids.tolist()))).encode()).hexdigest()[:8]}"
            )
            found.append((name, None))
        used.add(found[-1][0])
    return found


def _same(one: Candidate, ids: np.ndarray, row: dict[str, Any]) -> bool:
    if row["kind"] != one.kind or row["class_index"] != one.class_index:
        return False
    shared = len(np.intersect1d(ids, row["sample_ids"]))
    return shared >= SAME * min(len(ids), len(row["sample_ids"]))
