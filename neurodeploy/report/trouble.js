// Says on the page what went wrong in a script: a raster that is missing must not look like one without spikes.
"use strict";

function showTrouble(message) {
  const place = document.getElementById("script-error");
  place.textContent = "The rasters cannot be shown: " + message;
  place.hidden = false;
}

window.addEventListener("error", (event) => showTrouble(event.message));
window.addEventListener("unhandledrejection", (event) => showTrouble(String(event.reason)));
