// The plot of a search: each trial by its cost and what it keeps, with the Pareto front as a line.
"use strict";

window.addEventListener("error", (event) => {
  const place = document.getElementById("script-error");
  place.textContent = "The plot cannot be shown: " + event.message;
  place.hidden = false;
});

(function () {
  const data = JSON.parse(document.getElementById("pareto-data").textContent);
  const plot = document.getElementById("pareto");

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function safe(text) {
    return text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  }

  function trace(points, name, look, bars) {
    const intervals = {
      type: "data", symmetric: false, thickness: 1,
      array: points.map((p) => p.high - p.y), arrayminus: points.map((p) => p.y - p.low),
      visible: points.some((p) => p.high > p.low),
    };
    return {
      type: "scatter", name: name, x: points.map((p) => p.x), y: points.map((p) => p.y),
      text: points.map((p) => p.text.map(safe).join("<br>")),
      hovertemplate: "%{text}<br>%{x:,.4~g}, %{y:.2f} %<extra></extra>",
      ...look, ...(bars ? { error_y: intervals } : {}),
    };
  }

  function draw() {
    const grid = { gridcolor: colour("--line"), zeroline: false, linecolor: colour("--line") };
    const limit = { type: "line", xref: "paper", x0: 0, x1: 1, y0: data.limit, y1: data.limit,
                    line: { dash: "dash", width: 1.5, color: colour("--fail") } };
    Plotly.react(plot, [
      trace(data.others, "other trials", { mode: "markers", marker: { size: 7, color: colour("--both"), opacity: 0.6 } }, false),
      trace(data.front, "Pareto front", { mode: "lines+markers", line: { color: colour("--high"), shape: "hv" },
                                          marker: { size: 8, color: colour("--high") } }, true),
      trace(data.best, "best that keeps the budget", { mode: "markers", marker: { symbol: "star", size: 17, color: colour("--low") } }, false),
    ], {
      height: 460, margin: { l: 64, r: 12, t: 16, b: 56 }, hovermode: "closest",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 13, color: colour("--ink") },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--quiet"), activecolor: colour("--link") },
      legend: { orientation: "h", y: -0.2, yanchor: "top", x: 0 },
      xaxis: { ...grid, title: { text: data.x_title } },
      yaxis: { ...grid, title: { text: data.y_title } },
      shapes: data.limit === null ? [] : [limit],
    }, { responsive: true, displaylogo: false });
  }

  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
