"""The report: valid and closed HTML, hostile text, the cap, Markdown, CSV, errors, and the page that makes it."""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import io
import json
import re
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import html5lib
import pytest
from markdown_it import MarkdownIt

from dashboard.data import Run, close_readers
from dashboard.report import __main__ as command
from dashboard.report import form
from dashboard.report.chosen import chosen
from dashboard.report.make import Made, check_place, make, write
from dashboard.report.options import Options, ReportError, format_of
from dashboard.selection import Selection, params_to_state
from storage import Reviews, RunReader, wording
from tests.dashboard import make_store
from tests.dashboard.make_store import HOSTILE

HTML = "{http://www.w3.org/1999/xhtml}"
BASE = "https://audit.example.org/team"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this module, with verdicts, and a member's picture missing."""
    base = tmp_path_factory.mktemp("report")
    make_store.write_pairs(base / "store", base / "pairs")
    make_store.write_classes(base / "store", base / "classes", n=120, failed=4)
    make_store.write_suspects(base / "store")
    rows = Run.open(base / "store", "shapes-vit").suspects().rows
    reviews = Reviews.open(base / "store")
    for number, text in enumerate(HOSTILE[:5]):
        reviews.give_verdict("shapes-vit", rows[number]["id"], "spurious", text[:60], text)
    reviews.give_verdict("shapes-vit", rows[0]["id"], "core feature", "ann", HOSTILE[5])
    reviews.close()
    (base / "classes" / make_store.uri(make_store.scenes(120)[rows[0]["sample_ids"][0]])).unlink()
    return base / "store"


@pytest.fixture(scope="module")
def classes(own: Path) -> Made:
    return make(Run.open(own, "shapes-vit"), Options(title=HOSTILE[0], link_base=BASE))


@pytest.fixture(scope="module")
def pairs(own: Path) -> Made:
    return make(Run.open(own, "captions-clip"), Options(link_base=BASE))


@pytest.fixture(params=["classes", "pairs"])
def made(request: pytest.FixtureRequest) -> Made:
    return request.getfixturevalue(request.param)


def parsed(made: Made) -> Any:
    """The tree; raises for anything that HTML does not allow."""
    return html5lib.HTMLParser(strict=True).parse(made.content.decode())


def text_of(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def body_text(made: Made) -> str:
    """What a reader reads."""
    body = parsed(made).find(f"{HTML}body")
    for parent in body.iter():
        for child in list(parent):
            if child.tag in (f"{HTML}script", f"{HTML}style"):
                parent.remove(child)
    return text_of(body)


def test_the_html_is_valid(made: Made) -> None:
    tree = parsed(made)
    ids = Counter(e.get("id") for e in tree.iter() if e.get("id"))
    assert [name for name, n in ids.items() if n > 1] == []
    assert tree.get("lang") == "en"
    assert tree.find(f"{HTML}head/{HTML}title").text
    images = list(tree.iter(f"{HTML}img"))
    assert images and all(i.get("alt") and i.get("src").startswith("data:image/jpeg;base64,") for i in images)
    levels = [int(e.tag[-1]) for e in tree.iter() if isinstance(e.tag, str) and re.fullmatch(r".*\}h[1-6]", e.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    anchors = {e.get("href")[1:] for e in tree.iter(f"{HTML}a") if e.get("href", "").startswith("#")}
    assert anchors <= set(ids)


def test_nothing_can_be_fetched_and_only_our_scripts_run(made: Made) -> None:
    tree = parsed(made)
    (policy,) = (e.get("content") for e in tree.iter(f"{HTML}meta") if e.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    run = [e.text for e in tree.iter(f"{HTML}script") if e.get("type") is None]
    assert len(run) == 1
    allowed = rules["script-src"].split()
    assert len(allowed) == 2 and "unsafe" not in rules["script-src"]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(run[0].encode()).digest()).decode()}'" in allowed
    for element in tree.iter():
        assert not [name for name in element.attrib if str(name).lower().startswith("on")]
        assert element.get("href", "#").startswith(("#", f"{BASE}/"))


def test_hostile_text_shows_as_text(classes: Made, pairs: Made) -> None:
    for made, texts in ((classes, HOSTILE), (pairs, HOSTILE[1:3])):
        shown = body_text(made)
        for text in texts:
            assert " ".join(text.split())[:50].rstrip("…") in shown, text[:40]
    assert "cut: 10,000 characters" in body_text(classes)
    assert parsed(classes).find(f"{HTML}head/{HTML}title").text.startswith("<script>alert('x')")


def test_every_suspect_is_told_as_on_the_pages(own: Path, classes: Made) -> None:
    shown = body_text(classes)
    rows = Run.open(own, "shapes-vit").suspects().rows
    assert classes.suspects == len(rows)
    for row in rows[:5]:
        for line in (wording.headline(row), *wording.evidence_lines(row)):
            assert " ".join(wording.sentence(line).split())[:200] in shown
    assert wording.sentence(wording.chance_line(Run.open(own, "shapes-vit").suspects().about)) in shown


def test_a_manager_reads_the_numbers_first(classes: Made) -> None:
    shown = body_text(classes)
    summary = shown[shown.index("Summary") : shown.index("The suspects")]
    assert "audited on 116 of 120 pictures" in summary
    assert "The search found 13 cues" in summary and "for 5 of them a test proved" in summary
    assert "2 are probably spurious" in summary
    assert "Hit hardest is the class ring" in summary
    assert "The team has judged 5 of 13: 4 spurious, 1 split." in summary


def test_cases_link_to_their_samples_and_missing_pictures_say_so(own: Path, classes: Made) -> None:
    tree = parsed(classes)
    links = [e.get("href") for e in tree.iter(f"{HTML}a") if "/sample?" in e.get("href", "")]
    assert len(links) > 50
    query = dict(part.split("=", 1) for part in links[0].split("?", 1)[1].split("&"))
    state, problems = params_to_state({name: [value] for name, value in query.items()})
    assert problems == [] and state.run == "shapes-vit"
    assert state.sample == Run.open(own, "shapes-vit").suspects().rows[0]["sample_ids"][0]
    assert "No picture: file not found" in body_text(classes)


def test_the_file_stays_below_its_cap(own: Path, classes: Made) -> None:
    assert classes.interactive and len(classes.content) <= 5e6
    sizes = [len(classes.content)]
    for most in (1, 0.2):
        found = make(Run.open(own, "shapes-vit"), Options(max_mb=most, top=6))
        sizes.append(len(found.content))
        assert most * 0.4e6 < sizes[-1] <= most * 1e6
        assert "pictures recompressed to" in found.shrunk and not found.interactive
        assert f"{wording.sentence(found.shrunk.split(',')[0]).rstrip('.')}" in body_text(found)
    assert sizes == sorted(sizes, reverse=True)


def test_a_cap_that_nothing_fits_names_the_smallest_size(own: Path) -> None:
    run = Run.open(own, "shapes-vit")
    with pytest.raises(ReportError, match=r"--max-mb") as problem:
        make(run, Options(max_mb=0.01, top=3))
    smallest = float(re.search(r"has ([\d.]+) MB", str(problem.value))[1])
    assert 0.01 < smallest < 0.2
    assert len(make(run, Options(max_mb=smallest, top=3)).content) <= smallest * 1e6


def test_a_static_report_has_no_script(own: Path) -> None:
    found = make(Run.open(own, "shapes-vit"), Options(static=True, top=2, link_base=""))
    tree = parsed(found)
    assert not list(tree.iter(f"{HTML}script")) and not found.interactive
    assert "script-src" not in found.content.decode()
    assert not [e for e in tree.iter(f"{HTML}a") if not e.get("href").startswith("#")]
    assert [e.get("aria-label") for e in tree.iter() if e.get("aria-label", "").startswith("change of p(class): 0.41")]


@pytest.mark.parametrize("name", ["shapes-vit", "captions-clip"])
def test_markdown_holds_no_markup_of_the_data(own: Path, name: str) -> None:
    found = make(Run.open(own, name), Options(format="md", link_base=BASE))
    text = found.content.decode()
    tokens = [
        t for block in MarkdownIt("commonmark").enable("table").parse(text) for t in [block, *(block.children or [])]
    ]
    kinds = Counter(token.type for token in tokens)
    assert kinds["html_block"] == kinds["html_inline"] == kinds["image"] == 0
    assert kinds["h1_open"] == 0 and sum(t.type == "heading_open" and t.tag == "h1" for t in tokens) == 1
    links = [token.attrs["href"] for token in tokens if token.type == "link_open"]
    assert links and all(str(link).startswith(BASE) for link in links)
    assert found.suspects == len(Run.open(own, name).suspects().rows) and found.samples > 20


def test_csv_has_a_row_per_suspect_and_no_formula(own: Path) -> None:
    run = Run.open(own, "shapes-vit")
    found = make(run, Options(format="csv"))
    rows = list(csv.DictReader(io.StringIO(found.content.decode("utf-8-sig"))))
    assert [row["id"] for row in rows] == [row["id"] for row in run.suspects().rows]
    assert not [cell for row in rows for cell in row.values() if cell[:1] in ("=", "@", "+")]
    assert rows[0]["removal_mean"] == "0.41" and rows[0]["team"] == "split"
    assert "'; DROP TABLE" in rows[2]["verdicts"]


def test_formulas_are_defused() -> None:
    from dashboard.report.sheet import _safe

    assert [_safe(v) for v in ("=1+1", "-2", "@x", "plain", -2.0)] == ["'=1+1", "'-2", "'@x", "plain", -2.0]


def test_a_run_without_suspects_has_a_report(tmp_path: Path) -> None:
    make_store.write_classes(tmp_path / "store", tmp_path / "data", n=20, failed=2)
    found = make(Run.open(tmp_path / "store", "shapes-vit"), Options())
    shown = body_text(found)
    assert "Nobody has looked for suspects in this run yet." in shown
    assert "python -m jobs suspects shapes-vit --store store" in shown
    assert "In the dataset 20" in shown.replace("dataset20", "dataset 20") and found.suspects == 0
    for other in ("md", "csv"):
        assert make(Run.open(tmp_path / "store", "shapes-vit"), Options(format=other)).content


def test_suspects_are_chosen(own: Path) -> None:
    rows = Run.open(own, "shapes-vit").suspects().rows
    assert chosen(rows, Options()) == rows
    assert [r["id"] for r in chosen(rows, Options(flagged=True))] == ["concept-tag", "location-corner"]
    assert [r["rank"] for r in chosen(rows, Options(suspects=("property-pale", "concept-tag")))] == [1, 4]
    assert len(chosen(rows, Options(top=3))) == 3
    with pytest.raises(ReportError, match="no suspect 'concept-tga'; did you mean concept-tag\\?"):
        chosen(rows, Options(suspects=("concept-tga",)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(format="pdf"), "html, md, csv"),
        (Options(max_mb=0), "above 0"),
        (Options(top=0), "at least 1"),
        (Options(link_base="javascript:alert(1)"), "must be an address"),
        (Options(link_base='https://x"onclick="y'), "must be an address"),
    ],
)
def test_wrong_options_say_what_is_right(options: Options, said: str) -> None:
    with pytest.raises(ReportError, match=said):
        options.checked()


def test_the_ending_says_the_format() -> None:
    assert format_of(Path("a.md"), None) == "md"
    assert format_of(None, None) == "html"
    for out, given in (("a.md", "csv"), ("a.pdf", None), ("a", "pdf")):
        with pytest.raises(ReportError):
            format_of(Path(out), given)


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    write(place, b"one")
    write(place, b"two")
    assert place.read_bytes() == b"two" and list(tmp_path.iterdir()) == [place]
    for wrong, said in ((tmp_path, "is a folder"), (tmp_path / "no" / "x.html", "there is no folder")):
        with pytest.raises(ReportError, match=said):
            check_place(wrong)


def test_the_command_writes_json_and_fails_in_one_line(own: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "r.html"
    assert command.main(["shapes-vit", f"--store={own}", f"--out={out}", "--flagged", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(out) and told["bytes"] == out.stat().st_size
    assert told["suspects"] == 2 and told["samples"] > 5
    for arguments in (
        ["shapes-vti", f"--store={own}"],
        ["shapes-vit", f"--store={own}", "--top=many"],
        ["shapes-vit", f"--store={tmp_path / 'none'}"],
    ):
        with pytest.raises(SystemExit) as ended:
            command.main(arguments)
        said = capsys.readouterr()
        assert ended.value.code == 2 and said.out == ""
        assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err


@pytest.mark.parametrize("suspect", ["concept-tag", "concept-tga"])
def test_the_command_ends_with_every_run_closed(
    suspect: str, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads of an open DuckDB connection can abort a process that ends: `terminate called without ...`."""
    opened: list[RunReader] = []
    closed: list[RunReader] = []
    begin, end = RunReader.__init__, RunReader.close

    def noted_begin(reader: RunReader, *given: Any) -> None:
        opened.append(reader)
        begin(reader, *given)

    def noted_end(reader: RunReader) -> None:
        closed.append(reader)
        end(reader)

    monkeypatch.setattr(RunReader, "__init__", noted_begin)
    monkeypatch.setattr(RunReader, "close", noted_end)
    close_readers()
    with contextlib.suppress(SystemExit):
        command.main(["shapes-vit", f"--store={own}", f"--out={tmp_path / 'r.html'}", f"--suspect={suspect}"])
    assert opened and all(reader in closed for reader in opened)


def test_the_form_travels_in_the_link(own: Path) -> None:
    rows = Run.open(own, "shapes-vit").suspects().rows
    view = Selection().with_only("report", ["picked"]).with_only("pick", [rows[3]["id"], rows[1]["id"]])
    view = view.with_only("mb", ["2.5"]).with_only("title", ["Für alle: 100%"]).with_only("format", ["pdf"])
    found = form.read(view)
    assert (found.which, found.max_mb, found.title, found.format) == ("picked", 2.5, "Für alle: 100%", "html")
    shown = form.suspects(found, rows, [])
    assert [row["rank"] for row in shown] == [2, 4]
    assert form.options(found, rows, shown, BASE).suspects == (rows[1]["id"], rows[3]["id"])
    assert form.options(form.Form(), rows, rows, BASE).suspects == ()
    flagged = form.suspects(form.Form(which="flagged"), rows, [])
    assert form.options(form.Form(which="flagged"), rows, flagged, BASE).flagged


def test_the_page_makes_a_report(own: Path, app: Any) -> None:
    test = app(own, run="shapes-vit", only=["report:flagged", "charts:static"])
    test.switch_page("app_pages/report.py").run()
    assert not test.exception
    (told,) = (code.value for code in test.code if code.value.startswith("python -m jobs report shapes-vit"))
    assert "--flagged" in told and "--static" in told
    test.button(key="make_report").click().run()
    assert not test.exception and not test.error
    assert any(re.match(r"shapes-vit-report.html: [\d.]+ MB, 2 suspects", str(t.value)) for t in test.text)


@pytest.mark.browser
@pytest.mark.parametrize("name", ["classes", "pairs"])
def test_it_opens_without_a_network(name: str, request: pytest.FixtureRequest, chromium: Any, tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    write(place, request.getfixturevalue(name).content)
    context = chromium.new_context(viewport={"width": 390, "height": 800})
    context.set_offline(True)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda problem: said.append(str(problem)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda one: asked.append(one.url) if not one.url.startswith("data:") else None)
    begun = time.monotonic()
    page.goto(place.as_uri())
    assert page.evaluate("document.images.length") > 20
    assert page.evaluate("[...document.images].filter((i) => !i.naturalWidth).length") == 0
    assert time.monotonic() - begun < 20
    assert page.evaluate("document.documentElement.scrollWidth") <= 390  # nothing is cut off on a phone
    page.locator("figure.chart button").first.click()
    page.wait_for_selector(".js-plotly-plot .main-svg", timeout=60_000)
    assert not page.locator("figure.chart .static").first.is_visible()
    page.emulate_media(media="print")
    assert page.locator("figure.chart .static").first.is_visible()
    assert not page.locator(".live").first.is_visible()
    assert page.locator(".paper").first.is_visible()
    assert said == [] and asked == [place.as_uri()]
    context.close()
