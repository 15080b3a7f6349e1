"""Draw docs/img/suspects.png: the first suspects of the demo, each with its strongest pictures and the cue's box.

python docs/suspects_picture.py STORE [RUN]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image, ImageDraw, ImageFont

from storage import Store

OUT = Path(__file__).parent / "img" / "suspects.png"
SIDE, GAP, LINE, SHOWN, PICTURES = 150, 8, 46, 4, 6
INK, PAPER, MARK = (28, 32, 40), (255, 255, 255), (220, 30, 70)


def main(store: str, run: str | None) -> None:
    """Draw the sheet."""
    opened = Store.open(store)
    with opened.reader(run or opened.run_ids()[0]) as reader:
        rows = reader.suspects().rows[:SHOWN]
        uris = {row["sample_id"]: row["uri"] for row in reader.query("SELECT sample_id, uri FROM samples")}
        root = Path(reader.record.dataset["root"])
    width, height = PICTURES * (SIDE + GAP) + GAP, SHOWN * (SIDE + LINE + GAP) + GAP
    sheet, font = Image.new("RGB", (width, height), PAPER), ImageFont.load_default(size=14)
    pen = ImageDraw.Draw(sheet)
    for k, row in enumerate(rows):
        y = GAP + k * (SIDE + LINE + GAP)
        flag = "probably spurious, " if row["flagged"] else ""
        pen.text((GAP, y), f"{row['rank']}. {row['class_name']}: {row['name']} ({flag}{row['status']})", INK, font)
        removal = row["evidence"]["effects"].get("removal")
        if removal:
            said = f"removing it changes {removal['flips']:.0%} of the answers, as much elsewhere "
            pen.text((GAP, y + 20), f"{said}{removal['control_flips']:.0%}", INK, font)
        for n, (sample, box) in enumerate(list(row["cue"]["boxes"].items())[:PICTURES]):
            picture = Image.open(root / uris[int(sample)]).convert("RGB").resize((SIDE, SIDE))
            edges = [edge * SIDE for edge in box]
            ImageDraw.Draw(picture).rectangle((edges[0], edges[1], edges[2] - 1, edges[3] - 1), outline=MARK, width=3)
            sheet.paste(picture, (GAP + n * (SIDE + GAP), y + LINE))
    sheet.quantize(128).save(OUT, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
