"""Draw the first suspects of the demo, each with its strongest samples and the cue's box; of pairs with their captions.

python docs/suspects_picture.py STORE [RUN] [FILE]          # default: the newest run, docs/img/suspects.png
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image, ImageDraw, ImageFont

from storage import Store, wording

OUT = Path(__file__).parent / "img" / "suspects.png"
SIDE, GAP, LINE, SHOWN, PICTURES = 150, 8, 46, 4, 6
CAPTION, LETTERS, LINES = 44, 25, 3  # pixels, letters per line, lines
INK, PAPER, MARK = (28, 32, 40), (255, 255, 255), (220, 30, 70)
Samples = dict[int, dict[str, Any]]


def main(store: str, run: str | None, out: Path) -> None:
    """Draw the sheet."""
    opened = Store.open(store)
    with opened.reader(run or opened.run_ids()[0]) as reader:
        rows = reader.suspects().rows
        samples = {row["sample_id"]: row for row in reader.query("SELECT sample_id, uri, text FROM samples")}
        root = Path(reader.record.dataset["root"])
    of_pairs = any(wording.of_pairs(row) for row in rows)
    rows = [row for row in rows if row["flagged"]][:SHOWN] if of_pairs else rows[:SHOWN]
    below = CAPTION if of_pairs else 0
    width, height = PICTURES * (SIDE + GAP) + GAP, len(rows) * (SIDE + LINE + GAP + below) + GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    for k, row in enumerate(rows):
        draw_suspect(sheet, GAP + k * (SIDE + LINE + GAP + below), row, samples, root, captions=of_pairs)
    sheet.quantize(128).save(out, optimize=True)


def draw_suspect(sheet: Image.Image, y: int, row: dict[str, Any], samples: Samples, root: Path, captions: bool) -> None:
    """Two lines of words, and the strongest samples below them."""
    pen, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(size=14), ImageFont.load_default(size=11)
    flag = "probably spurious, " if row["flagged"] else ""
    pen.text((GAP, y), f"{row['rank']}. {row['class_name']}: {row['name']} ({flag}{row['status']})", INK, font)
    pen.text((GAP, y + 20), wording.headline(row), INK, font)
    boxes = {int(sample): box for sample, box in row["cue"]["boxes"].items()}
    for n, sample in enumerate(list(boxes or row["sample_ids"])[:PICTURES]):
        x = GAP + n * (SIDE + GAP)
        picture = Image.open(root / samples[sample]["uri"]).convert("RGB").resize((SIDE, SIDE))
        if sample in boxes:
            edges = [edge * SIDE for edge in boxes[sample]]
            ImageDraw.Draw(picture).rectangle((edges[0], edges[1], edges[2] - 1, edges[3] - 1), outline=MARK, width=3)
        sheet.paste(picture, (x, y + LINE))
        if captions:
            lines = textwrap.wrap(str(samples[sample]["text"]), LETTERS, max_lines=LINES, placeholder=" …")
            pen.multiline_text((x, y + LINE + SIDE + 2), "\n".join(lines), INK, small, spacing=1)


if __name__ == "__main__":
    arguments = [*sys.argv[1:], *[""] * 3][:3]
    main(arguments[0], arguments[1] or None, Path(arguments[2]) if arguments[2] else OUT)
