"""What a browser shows: waiting until it is drawn, and reading it in one go."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

COUNT_SCRIPTS = """
window.scriptsEnded = 0; window.scriptEndedAt = 0;
new MutationObserver(changes => changes.forEach(change => {
    const now = change.target.getAttribute('data-test-script-state');
    if (now === 'notRunning' && change.oldValue !== 'notRunning') {
        window.scriptsEnded += 1; window.scriptEndedAt = performance.now();
    }
})).observe(document, {
    subtree: true, attributes: true, attributeOldValue: true, attributeFilter: ['data-test-script-state'],
});
"""
"""Counts how often a script of the page has ended: after a click the old view stays until the next one has."""

CALM = """
document.addEventListener('DOMContentLoaded', () => {
    const style = document.createElement('style');
    style.textContent = '*, *::before, *::after { animation: none !important; transition: none !important; }';
    document.head.append(style);
});
"""
"""No moving signs of waiting: where many tabs share two cores and no graphics card, they alone keep those busy."""

DRAWN = """([ended, path, quiet]) => {
    const app = document.querySelector('[data-testid="stApp"]');
    return app && app.getAttribute('data-test-script-state') === 'notRunning'
        && window.scriptsEnded > ended && performance.now() - window.scriptEndedAt > quiet
        && location.pathname === path && document.querySelector('[data-testid="stMain"] h1')
        && !document.querySelector('[data-testid="stSkeleton"]')
        && [...document.images].every(image => image.complete && image.naturalWidth > 0)
        && [...document.querySelectorAll('[data-testid="stPlotlyChart"]')]
               .every(chart => chart.querySelector('.main-svg'));
}"""
"""Whether the script has ended, has not begun anew within some milliseconds, and all it sent is drawn."""

LACKING = """([ended, path]) => {
    const app = document.querySelector('[data-testid="stApp"]');
    const charts = [...document.querySelectorAll('[data-testid="stPlotlyChart"]')];
    return {
        script: app && app.getAttribute('data-test-script-state'),
        scripts: [ended, window.scriptsEnded], path: [path, location.pathname],
        heading: (document.querySelector('[data-testid="stMain"] h1') || {}).innerText,
        skeletons: document.querySelectorAll('[data-testid="stSkeleton"]').length,
        images: [...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).map(i => [i.src, i.complete]),
        charts: charts.filter(chart => !chart.querySelector('.main-svg')).length,
    };
}"""
"""What `DRAWN` waits for."""

READ = """() => {
    const all = (what, root = document) => [...root.querySelectorAll(what)];
    const texts = what => all(`[data-testid="stMain"] ${what}`).map(element => element.innerText);
    const app = document.querySelector('[data-testid="stApp"]');
    if (app.getAttribute('data-test-script-state') !== 'notRunning') return null;
    return {
        address: location.href,
        title: (texts('h1')[0] || '').trim(),
        metrics: Object.fromEntries(all('[data-testid="stMetric"]').map(metric => [
            metric.querySelector('[data-testid="stMetricLabel"]').innerText.trim(),
            metric.querySelector('[data-testid="stMetricValue"]').innerText.trim()])),
        markdown: texts('[data-testid="stMarkdown"]'),
        texts: texts('[data-testid="stText"]'),
        spoken: all('[data-testid="stMain"] [aria-label]').map(element => element.getAttribute('aria-label')),
        pictures: all('[data-testid="stMain"] a[data-testid="stImageLink"]').map(link => ({
            address: link.href, said: link.getAttribute('aria-label') || '',
            below: ['stPageLink', 'stMarkdown'].map(kind => {
                const cell = link.closest('[data-testid="stElementContainer"]').parentElement;
                const found = cell.querySelector(`[data-testid="${kind}"]`);
                return found ? found.innerText : '';
            }) })),
        tables: all('[data-testid="stMain"] canvas table[role=grid]').map(table =>
            all('tr', table).map(line => all('[role=gridcell],[role=columnheader]', line).map(c => c.innerText))),
        maps: all('[data-testid="stMain"] .js-plotly-plot').flatMap(plot => (plot.data || [])
            .filter(trace => trace.type === 'heatmap' && !trace.text)
            .map(trace => [...(trace.z._inputArray || trace.z)].map(row => [...row]))),
        exceptions: texts('[data-testid="stException"]'),
        alerts: texts('[data-testid="stAlert"]'),
    };
}"""

TABLES = 300  # milliseconds
ICONS = re.compile(r"\b(check_circle|cancel|grid_view|policy|chevron_left|chevron_right|fact_check|image_search)\b")


@dataclass
class Seen:
    """One page as a person reads it."""

    address: str
    title: str
    metrics: dict[str, str]
    markdown: list[str]
    texts: list[str]
    spoken: list[str]
    pictures: list[dict[str, Any]]
    tables: list[list[list[str]]]
    maps: list[list[list[float]]]
    exceptions: list[str]
    alerts: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, found: dict[str, Any]) -> Seen:
        """Take away what people do not see: joiners, names of icons."""
        for name in ("markdown", "texts"):
            found[name] = [plain(text) for text in found[name]]
        for picture in found["pictures"]:
            picture["below"] = [plain(text) for text in picture["below"]]
        return cls(**{**found, "title": plain(found["title"])})

    def find(self, pattern: str) -> list[tuple[str, ...]]:
        """The groups of a pattern wherever a piece of text is of this form."""
        matches = (re.fullmatch(pattern, text) for text in (*self.markdown, *self.texts, *self.spoken))
        return [match.groups() for match in matches if match]


def plain(text: str) -> str:
    """Text without the names of icons and the joiners that keep Markdown away."""
    return " ".join(ICONS.sub("", text.replace("\u2060", "")).split())


async def wait_drawn(page: Any, ended: int, path: str, seconds: float) -> None:
    """Wait until a script has ended after the first `ended` ones and its view of the page at `path` is drawn."""
    await page.wait_for_function(DRAWN, arg=[ended, path, 150], timeout=seconds * 1000, polling=100)


async def lacking(page: Any, ended: int, path: str) -> str:
    """What a page that is not drawn lacks, in words."""
    try:
        return str(await asyncio.wait_for(page.evaluate(LACKING, [ended, path]), 20))
    except Exception as problem:  # a page that answers nothing at all
        return f"it does not answer: {problem!r}"[:200]


async def read(page: Any, path: str, seconds: float) -> Seen:
    """The page as it stands, between two scripts. Tables draw what can be read of them a little later."""
    await page.wait_for_timeout(TABLES)
    while (found := await page.evaluate(READ)) is None:
        await wait_drawn(page, 0, path, seconds)
    return Seen.of(found)
