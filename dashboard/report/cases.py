"""One suspect as HTML: what is known, cases with and without the cue, where the model looks, what people said."""

from __future__ import annotations

from html import escape

from dashboard import colormaps, words
from dashboard.evidence.meanmap import strongest
from dashboard.overlays import data_url
from dashboard.report import pictures
from dashboard.report.content import Case, Chapter, Report, Strip
from dashboard.report.pictures import LOOK, Level
from dashboard.report.text import LONG, MEDIUM, SHORT, attribute, clean, lines, said
from dashboard.words import Piece
from storage import Entry, wording

CAPTION = 160  # characters of a caption below a picture


def chapter(report: Report, one: Chapter, level: Level) -> str:
    """The whole suspect."""
    told = "".join(f"<li>{said(wording.sentence(line), LONG)}</li>" for line in _lines(one))
    strips = "".join(_strip(report, one, strip, level) for strip in one.strips) if level.most else ""
    notes = f'<p class="quiet">{said(one.notes, LONG)}</p>' if strips else ""
    return (
        f'<article class="suspect" id="{one.anchor}" aria-labelledby="{one.anchor}-title">\n<div class="head">'
        f'<h3 id="{one.anchor}-title"><span class="rank">{one.row["rank"]}</span> {said(one.title, SHORT * 2)}</h3>\n'
        f'{_badges(one)}<p class="lead">{said(wording.sentence(one.headline), LONG)}</p></div>\n'
        f'<ul class="lines">{told}</ul>\n{_links(one)}{strips}{notes}{_maps(one, level)}{_verdicts(one)}</article>\n'
    )


def _lines(one: Chapter) -> list[str]:
    """Status and count, then the evidence; a line that only repeats the headline is left out."""
    status = wording.status_line({**one.row, "flagged": False})
    return [status, wording.count_line(one.row), *(line for line in one.lines if line != one.headline)]


def _badges(one: Chapter) -> str:
    status = str(one.row["status"])
    marks = [("", wording.kind_name(one.row["kind"])), ("verified" if status == "verified" else "", status)]
    marks += [("flagged", "probably spurious")] if one.row["flagged"] else []
    marks += [("", f"team: {one.team}")] if one.team else []
    told = "".join(f'<li class="badge{name and " "}{name}">{said(text)}</li>' for name, text in marks)
    return f'<ul class="badges">{told}</ul>'


def _links(one: Chapter) -> str:
    """To the dashboard; on paper the address itself."""
    if not one.link:
        return ""
    return (
        f'<p class="links screen"><a href="{escape(one.link)}">Open the evidence</a>'
        f'<a href="{escape(one.members_link)}">All {len(one.row["sample_ids"]):,} members</a></p>'
        f'<p class="paper">Evidence: {escape(clean(one.link))}</p>\n'
    )


def _strip(report: Report, one: Chapter, strip: Strip, level: Level) -> str:
    shape = "texts" if report.of_texts else "cases" if report.about_classes else "wide"
    shown = "".join(_case(one, case, level) for case in strip.cases[: level.most])
    found = f'<ul class="cases {shape}">{shown}</ul>' if shown else '<p class="quiet">There is none.</p>'
    return (
        f'<section class="strip"><h4>{escape(strip.title)}{_result(strip)}</h4>'
        f'<p class="quiet">{said(strip.what, MEDIUM)}</p>{found}</section>\n'
    )


def _result(strip: Strip) -> str:
    return f' <span class="result">· {said(strip.result)}</span>' if strip.result else ""


def _case(one: Chapter, case: Case, level: Level) -> str:
    mark = {True: '<span class="right">✓</span> ', False: '<span class="wrong">✗</span> ', None: ""}[case.right]
    told = f'<span class="what">{said(case.name, SHORT)}</span><span class="quiet">{mark}{escape(case.said)}</span>'
    caption = f'<span class="caption">{said(case.caption, CAPTION)}</span>' if case.caption else ""
    inner = f"{_tile(one, case, level)}{told}"
    linked = f'<a href="{escape(case.link)}">{inner}</a>' if case.link else inner
    return f'<li class="case">{linked}{caption}{_passage(case.text)}</li>'


def _tile(one: Chapter, case: Case, level: Level) -> str:
    if case.missing and level.side:
        return f'<span class="tile missing">No picture: {said(case.missing, SHORT)}</span>'
    if case.picture is None or not level.side:
        return ""
    jpeg, width, height = pictures.smaller(case.picture, level.side, level.quality)
    box = ", the cue outlined" if case.boxed else ""
    alt = f"Sample {case.sample}, {case.name}: where the model looks{box}"
    return f'<span class="tile">{_img(jpeg, width, height, alt)}</span>'


def _img(jpeg: bytes, width: int, height: int, alt: str) -> str:
    source = f'src="{data_url(jpeg)}" width="{width}" height="{height}"'
    return f'<img {source} alt="{attribute(alt, 200)}">'


def _passage(text: tuple[Piece, ...]) -> str:
    """A text with its words on the colour of their relevancy, or as it is where that is not known."""
    if not text:
        return ""
    if all(piece.value is None for piece in text):
        return f'<span class="caption">{said("".join(piece.text for piece in text), MEDIUM)}</span>'
    told = [Piece(clean(piece.text)[:SHORT], piece.value, piece.glued) for piece in text]
    return f'<div dir="auto">{words.tinted(told, LOOK.colormap)}</div>'


def _maps(one: Chapter, level: Level) -> str:
    """The mean map of the members beside that of the others."""
    if one.maps is None or not level.side:
        return ""
    counts = {"members": ("Members", one.maps.n_members), "others": (one.others, one.maps.n_others)}
    values = {"members": one.maps.members, "others": one.maps.others}
    drawn = ""
    for name, jpeg, width, height in pictures.mean_maps(one.maps):
        title, n = counts[name]
        alt = f"Mean map, {title}: {strongest(values[name])}"
        drawn += (
            f"<figure>{_img(jpeg, width, height, alt)}"
            f"<figcaption>{said(wording.sentence(title).rstrip('.'), 80)} ({n:,})</figcaption></figure>"
        )
    top = max(float(one.maps.members.max()), float(one.maps.others.max()))
    note = f" {one.maps.note}" if one.maps.note else ""
    return (
        f'<section class="strip"><h4>Where the model looks on average</h4><div class="maps">{drawn}</div>'
        f'<p class="scale">0 %<i style="background:{_gradient()}"></i>{top:.1%} of the relevancy in a cell; '
        f"every picture counts alike.{escape(note)}</p></section>\n"
    )


def _gradient() -> str:
    colors = ", ".join(colormaps.hex_color(k / 8, LOOK.colormap) for k in range(9))
    return f"linear-gradient(to right, {colors})"


def _verdicts(one: Chapter) -> str:
    if not one.verdicts:
        none = '<p class="quiet">Nobody has judged this suspect yet.</p>'
        return f'<section class="strip"><h4>Verdicts</h4>{none}</section>\n'
    told = "".join(_verdict(entry) for entry in one.verdicts)
    return f'<section class="strip"><h4>Verdicts: {escape(one.team)}</h4>{told}</section>\n'


def _verdict(entry: Entry) -> str:
    note = lines(entry.note) if entry.note else ""
    return (
        f'<div class="said"><b>{escape(entry.verdict)}</b> – {said(entry.reviewer, SHORT)}, '
        f'<time datetime="{entry.at:%Y-%m-%dT%H:%M}Z">{entry.at:%Y-%m-%d %H:%M} UTC</time>{note}</div>'
    )
