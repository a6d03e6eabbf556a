// Draws <div data-chart="name"> from <script type="application/json" data-chart-of="name">, in the theme's colours.
"use strict";
(function () {
  const drawn = new Map(); // element → uPlot

  // Ticks of a time axis, as uPlot wants them: from so many seconds on, the text, and what is added where a year or a
  // day begins.
  const TIMES = [
    [31536000, "{YYYY}", null, null, null, null, null, null, 1],
    [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{D} {MMM}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{D} {MMM}", null, null, null, 1],
  ];

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // Theme colours are light-dark(): what the browser makes of one is read from an element that has it.
  function resolve(name) {
    const probe = document.createElement("span");
    probe.className = "probe-" + name;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found || colour("--" + name);
  }

  function translucent(found) {
    return found.replace(/^rgb\(/, "rgba(").replace(/\)$/, ", 0.15)");
  }

  function axis(label, side, extra) {
    const ink = resolve("dim"), line = resolve("line");
    return Object.assign({
      stroke: ink, label: label || null, side: side, labelSize: label ? 20 : 0,
      grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 },
    }, extra);
  }

  function seriesOf(one) {
    const ink = resolve("tone-" + one.tone);
    const base = { label: one.label, stroke: ink, width: 1.5, scale: one.right ? "right" : "y", spanGaps: false };
    if (one.kind === "bars") return Object.assign(base, { fill: translucent(ink), paths: uPlot.paths.bars({ size: [0.7, 60] }), points: { show: false } });
    if (one.kind === "step") return Object.assign(base, { paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } });
    if (one.kind === "area") return Object.assign(base, { fill: translucent(ink), points: { show: false } });
    return base;
  }

  function options(spec, width) {
    const x = axis(spec.xLabel, 2, spec.names ? {
      values: function (_, ticks) { return ticks.map(function (tick) { return spec.names[tick] ?? ""; }); },
      incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000],
    } : spec.zone ? { values: TIMES } : {});
    const axes = [x, axis(spec.yLabel, 3, { size: 60 })];
    const right = spec.series.some(function (one) { return one.right; });
    if (right) axes.push(axis(spec.rightLabel, 1, { scale: "right", size: 60, grid: { show: false } }));
    const zone = spec.zone;
    const named = spec.names ? { value: function (_, at) { return at == null ? "–" : spec.names[at] ?? ""; } } : {};
    if (zone) named.value = "{YYYY}-{MM}-{DD} {HH}:{mm}";
    return {
      width: width, height: spec.height, axes: axes,
      scales: { x: { time: Boolean(zone) }, y: { range: fromZero }, right: { range: fromZero } },
      tzDate: zone ? function (at) { return uPlot.tzDate(new Date(at * 1000), zone); } : undefined,
      series: [Object.assign({ label: spec.xLabel }, named)].concat(spec.series.map(seriesOf)),
    };
  }

  function fromZero(_, low, high) {
    if (low == null || high == null) return [0, 1];
    const top = high > 0 ? high * 1.05 : 0, bottom = low < 0 ? low * 1.05 : 0;
    return top === bottom ? [bottom, bottom + 1] : [bottom, top];
  }

  function draw(place) {
    const data = document.querySelector('[data-chart-of="' + CSS.escape(place.dataset.chart) + '"]');
    if (!data || !window.uPlot) return;
    const spec = JSON.parse(data.textContent);
    const before = drawn.get(place);
    if (before) before.destroy();
    const values = [spec.x].concat(spec.series.map(function (one) { return one.values; }));
    drawn.set(place, new uPlot(options(spec, place.clientWidth || 300), values, place));
  }

  function drawAll(root) {
    for (const place of drawn.keys()) if (!place.isConnected) { drawn.get(place).destroy(); drawn.delete(place); }
    root.querySelectorAll("[data-chart]").forEach(draw);
  }

  document.addEventListener("DOMContentLoaded", function () {
    drawAll(document);
    let width = window.innerWidth;
    window.addEventListener("resize", function () {
      if (window.innerWidth === width) return;
      width = window.innerWidth;
      drawn.forEach(function (plot, place) { plot.setSize({ width: place.clientWidth, height: plot.height }); });
    });
  });
  document.addEventListener("velocity:theme", function () { drawAll(document); });
  document.addEventListener("velocity:filled", function (event) { drawAll(event.detail); });
  document.addEventListener("htmx:afterSwap", function () { drawAll(document); });
})();
