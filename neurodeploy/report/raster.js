// The interactive spike raster: two backends on one sample and node, compared with each other.
"use strict";

// The elements of each raster have ids that begin with the same word, ``at``.
function showRaster(at) {
  const part = (id) => document.getElementById(at + id);
  const data = JSON.parse(part("raster-data").textContent);
  const plot = part("raster");
  const choice = Object.fromEntries(["sample", "node", "a", "b"].map((key) => [key, part(key)]));
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const MANY_POINTS = 4000; // above this, SVG markers make zooming slow and WebGL draws them
  let webglWorks = document.createElement("canvas").getContext("webgl") !== null;

  function fillSelects() {
    for (const [differs, title] of [[true, "Backends differ"], [false, data.backends.length > 1 ? "Backends agree" : "One backend"]]) {
      const group = document.createElement("optgroup");
      group.label = title;
      for (const sample of data.samples.filter((s) => s.differs === differs)) {
        const label = sample.label === null ? "" : ", label " + sample.label;
        group.append(new Option("Sample " + sample.index + label, sample.index));
      }
      if (group.children.length) choice.sample.append(group);
    }
    for (const node of data.nodes) choice.node.append(new Option(node.name + " (" + size(node) + ")", node.name));
    for (const key of ["a", "b"]) for (const name of data.backends) choice[key].append(new Option(name, name));
    choice.b.selectedIndex = Math.min(1, data.backends.length - 1);
  }

  function size(node) {
    return node.shape.reduce((n, extent) => n * extent, 1);
  }

  // The address carries the choice, so that a raster can be linked to; what the page does not hold is left as it is.
  // Where there are several chips it names one, and says nothing of the others' rasters.
  function readAddress() {
    const wanted = new URLSearchParams(window.location.hash.slice(1));
    return (wanted.get("chip") || "") === (data.chip || "") && choose(wanted);
  }

  function choose(wanted) {
    let honoured = false;
    for (const [key, select] of Object.entries(choice)) {
      const value = wanted.get(key);
      if (value === null) continue;
      const known = Array.from(select.options).some((option) => option.value === value);
      if (known) select.value = value;
      honoured = honoured || known;
    }
    return honoured;
  }

  function chosen() {
    return Object.fromEntries(Object.entries(choice).map(([key, select]) => [key, select.value]));
  }

  function writeAddress() {
    window.history.replaceState(null, "", "#" + new URLSearchParams({ ...(data.chip ? { chip: data.chip } : {}), ...chosen() }));
  }

  // Spikes of one backend: a map from row * neurons + neuron to the spike's size, or null if the backend did not run this sample.
  function spikes(raster, backend) {
    const steps = raster.spikes[backend];
    if (steps === null) return null;
    const sizes = raster.values ? raster.values[backend] : null;
    const found = new Map();
    let code = 0;
    steps.forEach((step, i) => {
      code += step;
      found.set(code, sizes ? sizes[i] : 1);
    });
    return found;
  }

  function hold(a, b) {
    const sides = { both: [], changed: [], onlyA: [], onlyB: [] };
    for (const [code, value] of a) {
      if (!b.has(code)) sides.onlyA.push(code);
      else (b.get(code) === value ? sides.both : sides.changed).push(code);
    }
    for (const code of b.keys()) if (!a.has(code)) sides.onlyB.push(code);
    return sides;
  }

  function place(unit, shape) {
    const indices = [];
    for (const extent of shape.slice().reverse()) {
      indices.unshift(unit % extent);
      unit = Math.floor(unit / extent);
    }
    return "(" + indices.join(", ") + ")";
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function safe(text) {
    return text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  }

  function trace(codes, node, name, symbol, ink, webgl) {
    const n = size(node);
    const dot = codes.length > MANY_POINTS ? 3 : 6;
    return {
      type: webgl ? "scattergl" : "scatter",
      mode: "markers",
      name: safe(name) + " (" + codes.length.toLocaleString("en") + ")",
      x: codes.map((code) => Math.floor(code / n)),
      y: codes.map((code) => code % n),
      text: codes.map((code) => place(code % n, node.shape)),
      hovertemplate: "row %{x}, neuron %{text}<extra>" + safe(name) + "</extra>",
      marker: { symbol: symbol, color: ink, size: symbol === "circle" ? dot : 9, line: { width: 0 } },
    };
  }

  function layout(node) {
    const grid = { gridcolor: colour("--line"), zeroline: false, linecolor: colour("--line"), tickformat: "d" };
    const margin = Math.max(0.5, size(node) * 0.02);
    return {
      height: 440,
      margin: { l: 60, r: 12, t: 34, b: 48 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 13, color: colour("--ink") },
      hovermode: "closest",
      showlegend: true,
      legend: { orientation: "h", y: -0.24, yanchor: "top", x: 0, itemsizing: "constant" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--quiet"), activecolor: colour("--link") },
      xaxis: { ...grid, title: { text: "row (time step)" }, range: [-0.5, data.steps - 0.5] },
      yaxis: { ...grid, title: { text: "neuron" }, range: [-margin, size(node) - 1 + margin] },
    };
  }

  function showDecisions(sample) {
    const list = part("decisions");
    list.replaceChildren();
    const add = (text, mark) => {
      const item = document.createElement("li");
      item.textContent = text;
      if (mark) item.className = mark;
      list.append(item);
    };
    if (sample.label !== null) add("label " + sample.label);
    data.backends.forEach((name, i) => {
      const decision = sample.decisions[i];
      if (decision === null) return add(name + ": no decision recorded");
      const right = sample.label === null ? null : decision[0] === sample.label;
      const spoken = !data.counts ? "score " + decision[1] : decision[1] === 0 ? "no output spike" : decision[1] + (decision[1] === 1 ? " spike" : " spikes");
      const verdict = right === null ? "" : right ? " ✓" : " ✗";
      add(name + " decides " + decision[0] + verdict + " (" + spoken + ")", right === null ? "" : right ? "right" : "wrong");
    });
  }

  function say(text, note) {
    part("counts").textContent = text;
    const place = part("raster-note");
    place.textContent = note;
    place.hidden = !note;
  }

  function draw() {
    const { sample: index, node: nodeName, a: nameA, b: nameB } = chosen();
    const sample = data.samples.find((s) => String(s.index) === index);
    const number = data.nodes.findIndex((n) => n.name === nodeName);
    showDecisions(sample);
    const node = data.nodes[number];
    const raster = sample.rasters[number];
    const a = spikes(raster, data.backends.indexOf(nameA));
    const b = spikes(raster, data.backends.indexOf(nameB));
    const here = "Sample " + index + ", node " + nodeName + (raster.note ? ", in what is shown: " : ": ");
    const absent = [[nameA, a], [nameB, b]].filter((side) => side[1] === null).map((side) => side[0]);
    const sides = hold(a || new Map(), b || new Map());
    if (absent.length) {
      say(here + absent.join(" and ") + " did not run or record this; the other side is shown alone.", raster.note);
    } else {
      const changed = sides.changed.length ? ", " + sides.changed.length + " of another size" : "";
      const only = nameA === nameB ? "" : ", " + sides.onlyA.length + " only in " + nameA + ", " + sides.onlyB.length + " only in " + nameB;
      say(here + sides.both.length + " spikes in both" + only + changed + ".", raster.note);
    }
    const total = Object.values(sides).reduce((n, codes) => n + codes.length, 0);
    const webgl = webglWorks && total > MANY_POINTS;
    const traces = [
      trace(sides.both, node, "in both", "circle", colour("--both"), webgl),
      trace(sides.onlyA, node, "only " + nameA, "triangle-up", colour("--only-a"), webgl),
      trace(sides.onlyB, node, "only " + nameB, "triangle-down", colour("--only-b"), webgl),
    ];
    if (sides.changed.length) traces.push(trace(sides.changed, node, "of another size", "diamond", colour("--only-a"), webgl));
    // Buttons are named one by one: plotly's default bar has one that sends the data to its maker's server.
    const buttons = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];
    const config = { responsive: true, displaylogo: false, modeBarButtons: [buttons] };
    Plotly.react(plot, traces, layout(node), config).then(() => {
      if (webgl && plot.querySelector(".no-webgl")) {
        webglWorks = false;
        Plotly.purge(plot);
        return draw();
      }
      plot.dataset.drawn = [index, nodeName, nameA, nameB].join("|");
    });
  }

  if (!data.samples.length || !data.nodes.length) {
    say("No spikes were recorded.", "");
    part("controls").hidden = true;
    return;
  }
  fillSelects();
  choose(new URLSearchParams(data.start));
  readAddress();
  draw();
  part("controls").addEventListener("change", () => {
    writeAddress();
    draw();
  });
  window.addEventListener("hashchange", () => {
    if (!readAddress()) return;
    draw();
    part("rasters").scrollIntoView();
  });
  dark.addEventListener("change", draw);
}

for (const script of document.querySelectorAll('script[type="application/json"]')) {
  showRaster(script.id.slice(0, -"raster-data".length));
}
