"""Every column of the store: type, unit and meaning.

The one source for the Parquet schema of parts, the tables of segments, the help texts of the dashboard and
the tables in docs/schema.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Kind = Literal["number", "category", "text", "bool"]
Group = Literal["sample", "explanation", "summary", "metadata"]

_SQL = {
    pa.int64(): "BIGINT",
    pa.int32(): "INTEGER",
    pa.int16(): "SMALLINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.string(): "VARCHAR",
}


@dataclass(frozen=True)
class Column:
    """One column. `kind` is None for columns that are shown but never filtered or sorted by.

    `since` is the schema version that brought it: parts and segments of an earlier one lack it.
    """

    name: str
    type: pa.DataType
    unit: str
    meaning: str
    group: Group = "sample"
    kind: Kind | None = None
    required: bool = False
    since: int = 1

    @property
    def sql_type(self) -> str:
        """The DuckDB type."""
        return sql_type(self.type)


def sql_type(kind: pa.DataType) -> str:
    """The DuckDB name of an Arrow type."""
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    return _SQL[kind]


_I32, _I64, _F32, _F64 = pa.int32(), pa.int64(), pa.float32(), pa.float64()
_STR, _BOOL = pa.string(), pa.bool_()
_SHARE = "share 0..1"


def _property(name: str, unit: str, meaning: str) -> Column:
    """A property of the whole picture."""
    return Column(name, _F32, unit, meaning, kind="number", since=3)


def _drop(name: str, meaning: str) -> Column:
    """A fall of the score that was measured on the model."""
    return Column(name, _F32, "as `score`", meaning, "explanation", "number", since=4)


SAMPLE_COLUMNS: tuple[Column, ...] = (
    Column(
        "sample_id",
        _I64,
        "identifier",
        "Number of the sample in the dataset, stable for one dataset; the key of every table.",
        kind="number",
        required=True,
    ),
    Column(
        "uri",
        _STR,
        "path",
        "The picture, relative to the root of the dataset; 'row N' of the manifest for a sample without one.",
        kind="text",
        required=True,
    ),
    Column("label", _STR, "class name", "The true class, when the dataset has one.", kind="category"),
    Column("label_index", _I32, "class index", "The true class as the model numbers it.", kind="number"),
    Column(
        "text",
        _STR,
        "text",
        "The caption or question that belongs to the picture, or the text that is classified.",
        kind="text",
    ),
    Column(
        "split",
        _STR,
        "name",
        "The part of the dataset the sample is in (train, test, ...), when given.",
        kind="category",
    ),
    Column("width", _I32, "pixels", "Width of the picture, turned upright.", kind="number"),
    Column("height", _I32, "pixels", "Height of the picture, turned upright.", kind="number"),
    Column(
        "view_x0",
        _F32,
        "fraction of the width",
        "Left edge of what the model saw (the area under the token "
        "grid): 0 is the left edge of the picture, below 0 is padding.",
        kind="number",
    ),
    Column("view_y0", _F32, "fraction of the height", "Top edge of what the model saw.", kind="number"),
    Column(
        "view_x1",
        _F32,
        "fraction of the width",
        "Right edge of what the model saw: 1 is the right edge of the picture, above 1 is padding.",
        kind="number",
    ),
    Column("view_y1", _F32, "fraction of the height", "Bottom edge of what the model saw.", kind="number"),
    Column(
        "tokens",
        pa.list_(_STR),
        "text tokens",
        "The words and word pieces the model read, one per value of the text map; special tokens are empty.",
        kind="text",
    ),
    Column(
        "words",
        pa.list_(_STR),
        "words",
        "The words of `text` as they are written there, in order, as far as the model read it: word pieces put "
        "together, without punctuation and special tokens.",
        kind="text",
        since=4,
    ),
    Column(
        "word_starts",
        pa.list_(_I32),
        "characters",
        "Where each word begins in `text`: the number of characters (Unicode code points) before it.",
        since=4,
    ),
    Column(
        "word_ends",
        pa.list_(_I32),
        "characters",
        "Where each word ends in `text`: the number of characters up to and with its last one.",
        since=4,
    ),
    Column(
        "token_words",
        pa.list_(_I32),
        "word index",
        "For every entry of `tokens` the word it is a piece of, from 0; -1 for what belongs to no word.",
        since=4,
    ),
    Column(
        "text_tokens",
        _I32,
        "tokens",
        "How many tokens the whole text needs, start and end included; more than the model takes where it was cut.",
        kind="number",
        since=4,
    ),
    Column(
        "text_cut",
        _BOOL,
        "true or false",
        "Whether the text was too long for the model, so that its end was not read.",
        kind="bool",
        since=4,
    ),
    Column(
        "grid_h",
        _I32,
        "tokens",
        "Rows of the image map; detectors read every picture at its own size. Empty for regions and texts.",
        kind="number",
        since=2,
    ),
    Column("grid_w", _I32, "tokens", "Columns of the image map.", kind="number", since=2),
    Column(
        "regions",
        pa.list_(_F32),
        "fractions of width, height",
        "The boxes that the values of the image map belong to, for models that read region features: "
        "x0, y0, x1, y1 of the first, of the second, ... (4 numbers per value).",
        since=2,
    ),
    _property(
        "brightness",
        "0..1",
        "Mean luma of the picture: 0 is black, 1 is white. This and the next five are measured on a copy with a long "
        "side of 128 pixels; empty where the model read no picture.",
    ),
    _property("contrast", "0..0.5", "Standard deviation of luma: 0 is flat."),
    _property("saturation", "0..1", "Mean of the largest minus the smallest channel: 0 is grey."),
    _property("warmth", "-1..1", "Mean red minus mean blue: above 0 is warm, below 0 is cold."),
    _property("greenness", "-1..1", "Mean green minus the mean of red and blue: above 0 is green, below 0 is purple."),
    _property(
        "sharpness",
        "log10",
        "Logarithm of the variance of the Laplacian of luma: high is crisp or noisy, low is blurred, -6 is flat.",
    ),
    Column("file_format", _STR, "name", "Format of the picture's file: JPEG, PNG, ...", kind="category", since=3),
    Column("file_bytes", _I64, "bytes", "Size of the picture's file.", kind="number", since=3),
    Column("camera", _STR, "name", "Make and model of the camera, as the file's EXIF says.", kind="category", since=3),
    Column("software", _STR, "name", "The software that wrote the file, as its EXIF says.", kind="category", since=3),
)

EXPLANATION_COLUMNS: tuple[Column, ...] = (
    Column(
        "target",
        _STR,
        "name",
        "What was explained: 'predicted', 'answer' (the predicted one), 'label', 'class:NAME', 'contrast:A,B', "
        "'clip-logit', 'clip-score', 'word-K': what the score owes to one word of the text, K = 1, 2, ... (see `word`) "
        "or 'detection:K': an object that a detector found, K = 0 the most confident one.",
        "explanation",
        "category",
        required=True,
    ),
    Column(
        "target_index",
        _I32,
        "class index",
        "The class that was explained; empty for contrasts and pairs.",
        "explanation",
        "number",
    ),
    Column(
        "modality",
        _STR,
        "image or text",
        "Which input the relevancy lies on.",
        "explanation",
        "category",
        required=True,
    ),
    Column(
        "score",
        _F32,
        "logit (clip-score: 0..2.5)",
        "Value of the explained model output.",
        "explanation",
        "number",
        required=True,
    ),
    Column("predicted", _STR, "class name", "The class with the highest logit.", "explanation", "category"),
    Column(
        "predicted_index",
        _I32,
        "class index",
        "The class with the highest logit, as the model numbers it.",
        "explanation",
        "number",
    ),
    Column(
        "confidence",
        _F32,
        "probability 0..1",
        "Softmax probability of the predicted class (for a detection: of its class).",
        "explanation",
        "number",
    ),
    Column(
        "correct",
        _BOOL,
        "true or false",
        "Whether the predicted class is the label; empty without a label.",
        "explanation",
        "bool",
    ),
    Column(
        "clip_percentile",
        _F32,
        "percent 0..100",
        "Share of mismatched image-text pairs of the same dataset that score lower; empty when it was not computed.",
        "explanation",
        "number",
    ),
    Column(
        "top_indices",
        pa.list_(_I32),
        "class indices",
        "The best classes, best first (up to 5).",
        "explanation",
    ),
    Column("top_probs", pa.list_(_F32), "probabilities 0..1", "Probabilities of `top_indices`.", "explanation"),
    Column(
        "query",
        _I32,
        "query index",
        "The object query of a detector that this detection came from.",
        "explanation",
        "number",
        since=2,
    ),
    Column(
        "box",
        pa.list_(_F32),
        "fractions of width, height",
        "The box of the detection: x0, y0, x1, y1 of the picture.",
        "explanation",
        since=2,
    ),
    Column(
        "zero_rows",
        _I32,
        "rows",
        "How often a row of zeros had to be normalised (0/0 in equations 8 and 9): there `--on-zero-row` matters. "
        "Empty for models without that step.",
        "explanation",
        "number",
        since=2,
    ),
    Column(
        "word",
        _STR,
        "word",
        "Of the targets 'word-1', 'word-2', ...: the word. The map shows where the picture carries the change of the "
        "score when this word is taken out of the text.",
        "explanation",
        "category",
        since=4,
    ),
    _drop(
        "drop_mean",
        "How far the score falls when the most relevant 20 % of the patches are painted over with the mean colour. "
        "Images; this and the next six are empty unless the run was made with --evidence.",
    ),
    _drop("drop_mean_random", "The same for as many patches chosen at random."),
    _drop("drop_blur", "How far the score falls when the most relevant 20 % of the patches are blurred. Images."),
    _drop("drop_blur_random", "The same for as many patches chosen at random."),
    _drop("drop_word", "How far the score falls when the most relevant word is taken out of the text. Texts."),
    _drop("drop_word_random", "The same for another word, chosen at random."),
    Column(
        "dropped_word",
        _STR,
        "word",
        "The most relevant word, which `drop_word` is about.",
        "explanation",
        "category",
        since=4,
    ),
    Column(
        "entropy",
        _F32,
        "0..1",
        "Spread of the relevancy over the tokens: 0 is all on one token, 1 is even. For texts over the shown tokens.",
        "summary",
        "number",
    ),
    Column(
        "top10_mass",
        _F32,
        _SHARE,
        "Share of the relevancy on the most relevant tenth of the tokens.",
        "summary",
        "number",
    ),
    Column(
        "mass",
        _F32,
        "raw relevancy",
        "Sum of the raw relevancy over the tokens; depends on the scale of the target.",
        "summary",
        "number",
    ),
    Column(
        "border_share",
        _F32,
        _SHARE,
        "Share of the relevancy on the outer ring of the token grid, a tenth of the side wide.",
        "summary",
        "number",
    ),
    Column(
        "corner_tl",
        _F32,
        _SHARE,
        "Share of the relevancy in the top left corner, a quarter of each side.",
        "summary",
        "number",
    ),
    Column(
        "corner_tr",
        _F32,
        _SHARE,
        "Share of the relevancy in the top right corner, a quarter of each side.",
        "summary",
        "number",
    ),
    Column(
        "corner_bl",
        _F32,
        _SHARE,
        "Share of the relevancy in the bottom left corner, a quarter of each side.",
        "summary",
        "number",
    ),
    Column(
        "corner_br",
        _F32,
        _SHARE,
        "Share of the relevancy in the bottom right corner, a quarter of each side.",
        "summary",
        "number",
    ),
    Column(
        "center_x",
        _F32,
        "fraction of the grid 0..1",
        "Centre of mass of the relevancy: 0 is left, 1 is right.",
        "summary",
        "number",
    ),
    Column(
        "center_y",
        _F32,
        "fraction of the grid 0..1",
        "Centre of mass of the relevancy: 0 is top, 1 is bottom.",
        "summary",
        "number",
    ),
    Column(
        "mask_share",
        _F32,
        _SHARE,
        "Share of the relevancy inside the object mask; empty without a mask.",
        "summary",
        "number",
    ),
    Column(
        "box_share",
        _F32,
        _SHARE,
        "Share of the relevancy inside the object boxes; empty without boxes.",
        "summary",
        "number",
    ),
    Column(
        "top_tokens",
        pa.list_(_STR),
        "text tokens",
        "The most relevant words, strongest first (text only).",
        "summary",
        "text",
    ),
)

PART_ONLY_COLUMNS: tuple[Column, ...] = (
    Column(
        "sample_first",
        _BOOL,
        "true or false",
        "True on exactly one row of each sample: the row the `samples` view reads.",
        required=True,
    ),
    Column(
        "map",
        pa.list_(_F32),
        "raw relevancy",
        "Relevancy per token. Image: the token grid, row by row (h*w values), or one value per region. "
        "Text: one value per token.",
        required=True,
    ),
    Column(
        "features",
        pa.list_(_F32),
        "activation",
        "Relevancy-weighted mean of the last block's token states; empty when the model has none.",
    ),
    Column(
        "patch_tokens",
        pa.list_(_I32),
        "token indices",
        "The most relevant image tokens (patches), strongest first, as positions in `map`; images only, "
        "empty when none are stored.",
        since=3,
    ),
    Column(
        "patch_states",
        pa.list_(_F32),
        "activation",
        "Their token states after half of the blocks, one patch after the other, then the mean state of the less "
        "relevant half of the tokens: (patches + 1) x d values.",
        since=3,
    ),
    Column(
        "embedding",
        pa.list_(_F32),
        "unit vector",
        "The picture (image rows) or the text (text rows) in the space in which the score is a cosine; on the rows of "
        "one target of each sample only, empty on all others.",
        since=4,
    ),
)

METADATA_TYPES: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
}

_KEY = (
    SAMPLE_COLUMNS[0],
    Column("target", _STR, "name", "What was explained, as in `explanations`."),
)
_MODALITY = Column("modality", _STR, "image or text", "Which input the vector belongs to.")


def _vector(size: str, unit: str, meaning: str) -> Column:
    """A documented fixed-size vector; the size differs from run to run."""
    return Column(f"vec FLOAT[{size}]", pa.list_(_F32), unit, meaning)


FAILURE_COLUMNS: tuple[Column, ...] = (
    SAMPLE_COLUMNS[0],
    Column("uri", _STR, "path", "The sample, as in `samples`."),
    Column("reason", _STR, "text", "Why the sample was skipped."),
    Column("part", _I32, "part index", "The part of the run in which it was tried."),
)

ROLLUP_COLUMNS: tuple[Column, ...] = (
    Column("target", _STR, "name", "What was explained, as in `explanations`."),
    Column(
        "modality",
        _STR,
        "image or text",
        "Always 'image': word positions of different texts do not add up, nor do regions and detections.",
    ),
    Column("predicted", _STR, "class name", "The predicted class; empty for image-text pairs."),
    Column("width", _I32, "tokens", "Length of the summed maps."),
    Column("n", _I64, "samples", "How many maps were summed."),
    Column(
        "sum_map",
        pa.list_(pa.float64()),
        "raw relevancy",
        "Sum of the maps, token by token; divide by `n` for the mean map of the class.",
    ),
)

SUSPECT_COLUMNS: tuple[Column, ...] = (
    Column("id", _STR, "name", "Name of the suspect; it stays the same when more samples are audited.", required=True),
    Column("rank", _I32, "place", "1 for what deserves a person's minute first.", required=True),
    Column(
        "kind",
        _STR,
        "name",
        "The detector that found it: concept (alike relevant patches), location (a place), property (brightness, tint, "
        "file, metadata), word. Of image-text pairs: pair_mismatch (captions that belong to another picture), "
        "pair_mark (something in the pictures that holds the score down), pair_cue (something in the pictures that "
        "goes with a word of the captions), pair_place, pair_property (the same for a place, for a property), "
        "pair_word (a word that goes with high or with low scores), pair_unsupported (captions with a word that "
        "nothing in the picture supports).",
        required=True,
    ),
    Column("name", _STR, "text", "What the cue looks like, in words."),
    Column(
        "class_name",
        _STR,
        "class name",
        "The class whose predictions go with the cue; for pairs the word, or 'low scores' or 'all pairs'.",
    ),
    Column(
        "class_index",
        _I32,
        "class index",
        "The same as the model numbers it; -1 where it has no number, as for pairs.",
        required=True,
    ),
    Column("n", _I64, "samples", "Samples predicted as that class that show the cue.", required=True),
    Column("share", _F64, _SHARE, "Their share of all samples predicted as that class.", required=True),
    Column("score", _F64, "0..1", "Strength of the association, beside the suspects above it.", required=True),
    Column(
        "status",
        _STR,
        "name",
        "verified: removing or transplanting the cue changes the answer more than its control does; refuted: it surely "
        "does not; unverified: not tested, or not decided.",
        required=True,
    ),
    Column(
        "flagged",
        _BOOL,
        "true or false",
        "Probably spurious: verified, beyond chance, and off the object or on diverse photos.",
        required=True,
    ),
    Column(
        "evidence", _STR, "JSON", "The numbers behind it: effects with controls and intervals, chance, consequences."
    ),
    Column("cue", _STR, "JSON", "How to find the cue again, and where it lies in the strongest samples."),
    Column("sample_ids", pa.list_(_I64), "identifiers", "The samples, strongest first.", required=True),
)

FAITHFULNESS_COLUMNS: tuple[Column, ...] = (
    Column(
        "method", _STR, "name", "The explanation method that was tested; 'random' for a random order.", required=True
    ),
    Column("modality", _STR, "image or text", "Which input was changed, or which map was compared.", required=True),
    Column(
        "test",
        _STR,
        "name",
        "What was done: perturbation positive (most relevant first), negative (least relevant first) or gap; insertion "
        "or deletion with what fills the place; segmentation pixel accuracy, mIoU or mAP; pointing game; energy in "
        "mask; sanity cascade (weights made random, stage by stage); similarity METHOD (of the maps of two methods).",
        required=True,
    ),
    Column(
        "steps",
        pa.list_(_F64),
        "share 0..1",
        "How much of the input was changed, point by point of the curve; of a sanity cascade the number of the stage. "
        "Empty for tests without a curve.",
        required=True,
    ),
    Column(
        "values", pa.list_(_F64), "as the test", "What was measured at every step, a mean over samples.", required=True
    ),
    Column(
        "auc",
        _F64,
        "as the test",
        "Area under the curve; for tests without a curve the measured number itself, of a sanity cascade the "
        "similarity once all weights are random.",
    ),
    Column("n", _I64, "samples", "How many samples were tested.", required=True),
    Column("low", pa.list_(_F64), "as the test", "Lower end of the 95 % interval at every step; may be absent."),
    Column("high", pa.list_(_F64), "as the test", "Upper end of the 95 % interval at every step; may be absent."),
    Column("auc_low", _F64, "as the test", "Lower end of the 95 % interval of `auc`; may be absent."),
    Column("auc_high", _F64, "as the test", "Upper end of the 95 % interval of `auc`; may be absent."),
    Column("skipped", _STR, "JSON", "Samples that could not be tested: reason -> count; may be absent."),
    Column("protocol", _STR, "name", "The preset of constants that was followed, such as vit; may be absent."),
    Column(
        "details",
        _STR,
        "JSON",
        "What else is known; of a sanity cascade the names of its `stages`, the `limit` and whether the maps react "
        "(`reacts`). May be absent.",
    ),
)

META_COLUMNS: tuple[Column, ...] = (
    Column("schema_version", _I32, "number", "Version of this schema."),
    Column("run_id", _STR, "name", "The run the segment belongs to."),
    Column("min_id", _I64, "identifier", "Lowest sample_id in the segment; empty when it holds only failures."),
    Column("max_id", _I64, "identifier", "Highest sample_id in the segment."),
    Column("parts", pa.list_(_I32), "part indices", "The parts this segment replaces."),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "samples": SAMPLE_COLUMNS,
    "explanations": (SAMPLE_COLUMNS[0], *EXPLANATION_COLUMNS),
    "map_image_<n>": (
        *_KEY,
        _vector("n", "raw relevancy", "The token grid, row by row; n = grid height x width."),
    ),
    "map_text_<n>": (
        *_KEY,
        Column("n_valid", pa.int16(), "tokens", "How many of the values are real; the others are zero."),
        _vector("n", "raw relevancy", "One value per text token, padded with zeros to a multiple of 16."),
    ),
    "map_varied_<n>": (
        *_KEY,
        Column("n_valid", pa.int16(), "values", "How many of the values are real; the others are zero."),
        _vector(
            "n",
            "raw relevancy",
            "One value per region, or the token grid row by row, padded with zeros to a multiple of 64.",
        ),
    ),
    "features_<d>": (
        *_KEY,
        _MODALITY,
        _vector(
            "d",
            "activation",
            "Relevancy-weighted mean of the last block's token states: alike where the model looked at alike things.",
        ),
    ),
    "patches_<d>": (
        *_KEY,
        Column(
            "slot",
            pa.int16(),
            "rank",
            "0 is the most relevant patch, 1 the next; -1 is the rest: the less relevant half of the tokens.",
        ),
        Column("token", _I32, "token index", "Position of the patch in the image map, from 0; empty for the rest."),
        _vector(
            "d", "activation", "The patch's token state after half of the blocks; for the rest, the mean of its states."
        ),
    ),
    "embedding_<d>": (
        SAMPLE_COLUMNS[0],
        _MODALITY,
        _vector("d", "unit vector", "The picture or the text in the space in which the score is a cosine."),
    ),
    "failures": FAILURE_COLUMNS,
    "suspects": SUSPECT_COLUMNS,
    "faithfulness": FAITHFULNESS_COLUMNS,
    "rollup_class": ROLLUP_COLUMNS,
    "meta": META_COLUMNS,
}


def find(name: str) -> Column | None:
    """The built-in sample or explanation column of this name."""
    return next((c for c in (*SAMPLE_COLUMNS, *EXPLANATION_COLUMNS) if c.name == name), None)
