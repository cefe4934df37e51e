// Draws the page's figures with plotly from the JSON beside each, and lets the key switch curves on and off.
"use strict";
(() => {
  // A finger scrolls the page; only a mouse draws frames to zoom into.
  const fingers = matchMedia("(pointer: coarse)").matches;
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: fingers ? false : "hover",
    // Named one by one: plotly's own choice has a button that sends the figure to a server.
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
  };
  for (const box of document.querySelectorAll(".plot")) {
    const { data, layout } = JSON.parse(box.nextElementSibling.textContent);
    if (fingers) layout.dragmode = false;
    Plotly.newPlot(box, data, layout, config);
  }

  const ticks = [...document.querySelectorAll("#key input")];
  const show = () => {
    const on = new Set(ticks.filter((tick) => tick.checked).map((tick) => tick.value));
    for (const box of document.querySelectorAll(".curves .plot")) {
      Plotly.restyle(box, { visible: box.data.map((curve) => on.has(curve.uid)) });
    }
  };
  for (const tick of ticks) tick.addEventListener("change", show);
  for (const button of document.querySelectorAll("#key button")) {
    button.addEventListener("click", () => {
      const what = button.dataset.show;
      for (const tick of ticks) tick.checked = what === "first" ? tick.defaultChecked : what === "all";
      show();
    });
  }
})();
