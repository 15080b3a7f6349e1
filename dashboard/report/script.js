'use strict';
(() => {
  const packed = document.getElementById('library');
  const figures = JSON.parse(document.getElementById('figures').textContent);
  if (!packed || typeof DecompressionStream === 'undefined') return; // the tables stay
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const drawn = [];
  let library = null;

  const unpack = async () => {
    const bytes = Uint8Array.from(atob(packed.textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    const script = document.createElement('script');
    script.textContent = await new Response(stream).text();
    document.head.append(script); // runs at once; the policy of the page knows its hash
    if (!window.Plotly) throw new Error('the chart library did not start');
  };

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    return {
      'font.color': value('--text'), 'font.family': style.fontFamily, 'font.size': 13,
      'xaxis.gridcolor': value('--line'), 'xaxis.zerolinecolor': value('--quiet'), 'xaxis.linecolor': value('--line'),
      'hoverlabel.bgcolor': value('--panel'), 'hoverlabel.font.color': value('--text'),
      'hoverlabel.bordercolor': value('--line'),
    };
  };

  const draw = async (place) => {
    library ??= unpack();
    await library;
    const { data, layout } = figures[place.dataset.figure];
    await window.Plotly.newPlot(place, data, layout, { displayModeBar: false, responsive: true, scrollZoom: false });
    await window.Plotly.relayout(place, colours());
    place.on('plotly_click', (event) => { location.hash = event.points[0].customdata[1]; });
    drawn.push(place);
  };

  dark.addEventListener('change', () => drawn.forEach((place) => window.Plotly.relayout(place, colours())));

  for (const figure of document.querySelectorAll('figure.chart')) {
    const [button, table, place] = ['button', '.static', '.live'].map((name) => figure.querySelector(name));
    const show = (live) => {
      button.setAttribute('aria-pressed', String(live));
      button.textContent = live ? 'Back to the table' : 'Explore interactively';
      table.classList.toggle('on-paper-only', live);
      place.hidden = !live;
    };
    button.hidden = false;
    button.addEventListener('click', async () => {
      const live = button.getAttribute('aria-pressed') !== 'true';
      if (!live) return show(false);
      button.disabled = true;
      try {
        show(true);
        if (!drawn.includes(place)) await draw(place);
        else window.Plotly.Plots.resize(place);
      } catch (problem) {
        show(false);
        button.textContent = `No chart here: ${problem.message}`;
      }
      button.disabled = false;
    });
  }
})();
