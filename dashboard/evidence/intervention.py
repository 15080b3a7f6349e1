"""The test of a suspect: effect beside control, and what was changed in pictures and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import overlays, tiles
from dashboard.data import Row
from dashboard.evidence import captions, dots, regions, removal
from dashboard.evidence.dots import Dot
from dashboard.evidence.subject import Subject
from dashboard.overlays import Look
from dashboard.pictures import draw_picture
from dashboard.tiles import MissingPicture
from storage import wording

SIDE, LARGE = 260, 640  # pixels of a picture on the page, and of the one it is cut from
STEPS = {
    "replacement": ("best fitting caption instead", "a random caption instead"),
    "removal": ("cue removed", "as much removed elsewhere"),
    "transplant": ("cue pasted into others", "as much of the rest pasted"),
}
OTHER_STEPS = {
    "property": {
        "removal": ("made like other pictures", "the opposite change"),
        "transplant": ("others made like these", "the opposite change of others"),
    },
    "word": {
        "removal": ("word taken out", "another word taken out"),
        "transplant": ("word added to others", "another word added to others"),
    },
}


def steps_of(kind: str) -> dict[str, tuple[str, str]]:
    """What each test of a kind and its control do."""
    return {**STEPS, **OTHER_STEPS.get(kind.removeprefix("pair_"), {})}


def lines(kind: str, effects: dict[str, Any], of_pairs: bool) -> list[Dot]:
    """The dots of the chart: each effect above its control."""
    found = []
    for which, names in steps_of(kind).items():
        one = effects.get(which)
        if not one:
            continue
        for control, name in enumerate(names):
            prefix = "control_" if control else ""
            changed = "" if of_pairs else f"{one[f'{prefix}flips']:.0%} of the answers change"
            value, low, high = (float(one[f"{prefix}{part}"]) for part in ("mean", "low", "high"))
            found.append(Dot(name, value, low, high, bool(control), changed))
    return found


def draw(subject: Subject) -> None:
    """Chart and pictures."""
    st.subheader("The test")
    effects = subject.evidence.get("effects") or {}
    if effects:
        effect_chart(subject, effects)
    else:
        reason = subject.evidence.get("untested_because")
        st.text(wording.sentence(f"not tested: {reason}" if reason else "not tested yet"))
    if subject.kind in ("word", "pair_word", "pair_unsupported"):
        captions.word(subject)
    elif subject.kind == "pair_mismatch":
        captions.mismatch(subject)
    elif regions.is_region(subject) and subject.run.has_pictures:
        pictures(subject)
    elif subject.cue.get("property"):
        st.caption(property_line(subject, bool(effects)))


def effect_chart(subject: Subject, effects: dict[str, Any]) -> None:
    """How far the answers move under the cue and under the control."""
    shown = lines(subject.kind, effects, subject.of_pairs)
    axis = "change of the score, in parts of the usual gap" if subject.of_pairs else "change of p(class)"
    st.html(dots.drawn(shown, axis))
    samples = max((int(one.get("n") or 0) for one in effects.values()), default=0)
    usual = (
        " The usual gap: how far the median pair scores above a picture with another caption."
        if subject.of_pairs
        else ""
    )
    st.caption(
        f"To the right: as the suspect predicts. Filled: the cue; open: the control. Lines: 95 % bootstrap interval of "
        f"the mean over {samples:,} samples.{usual}"
    )


def property_line(subject: Subject, tested: bool) -> str:
    """What a test of a property does."""
    if not tested:
        return "A property of whole pictures has no place to be shown."
    return (
        "The test moved the property of whole pictures to what is usual elsewhere, and as far the other way; these "
        "changed pictures are not stored."
    )


def pictures(subject: Subject) -> None:
    """Some samples: as the model sees them, without the cue, and without as much elsewhere."""
    rows = subject.rows(regions.examples(subject))
    grid = st.grid(4, min_column_width=120, gap=("small", "small"), key="before_after")
    exact, shown = True, 0
    for row in rows:
        found = regions.cue_cells(subject, row)
        if found is None:
            continue
        try:
            painted = subject.ask(before_after, int(row["sample_id"]))
        except MissingPicture as problem:
            with grid.cell(column_span="all"):
                st.text(f"Sample {row['sample_id']}: {problem}")
            continue
        exact, shown = exact and found[1], shown + 1
        for (name, jpeg), number in zip(painted, range(4), strict=False):
            with grid.cell(), st.container(gap="xxsmall"):
                draw_picture(jpeg, alt=f"Sample {row['sample_id']}: {name}")
                st.caption(f"Sample {row['sample_id']}, {name}" if number == 0 else name)
    if not shown:
        st.caption("Where the cue lies in single pictures is not stored: there is nothing to paint over.")
        return
    which = (
        "The cells are exactly those of the test."
        if exact
        else "A sketch: the test looked at every cell of the picture, here the box around the cue is filled where it "
        "is small, else those of the most relevant patches that surely show the cue."
    )
    st.caption(f"{which} The test also continues the surroundings into the cue, and takes the mean of the three fills.")


def before_after(subject: Subject, sample: int) -> tuple[tuple[str, bytes], ...]:
    """(what it is, JPEG) of the pictures of one sample. Raises MissingPicture."""
    (row,) = subject.rows([sample])
    found, grid = regions.cue_cells(subject, row), regions.grid_of(subject, row)
    if found is None or grid is None:
        return ()
    seen = removal.as_seen(_picture(subject, row), tiles.view_of(row), grid, SIDE)
    cells, control = found[0], removal.control_of(found[0], sample)
    painted = (
        ("the cue outlined", removal.outlined(seen, cells)),
        ("cue removed: mean colour", removal.fill_mean(seen, cells)),
        ("cue removed: blurred", removal.fill_blur(seen, cells)),
        ("control: as much elsewhere", removal.fill_mean(seen, control)),
    )
    return tuple((name, overlays.encode(picture)) for name, picture in painted)


def _picture(subject: Subject, row: Row) -> Any:
    data, _ = tiles.large(subject.run, {**row, "box": None}, None, Look(mode="original"), LARGE)
    return overlays.decode(data)


def sample_ids(subject: Subject) -> Sequence[int]:
    """The samples that the pictures need."""
    return regions.examples(subject) if regions.is_region(subject) else subject.members[: captions.MOST].tolist()
