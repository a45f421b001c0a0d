// Folding sections, leafing through frames and rotating clouds. The page is complete without it.
"use strict";

for (const button of document.querySelectorAll("button.all")) {
  const folds = [...button.closest("section").querySelectorAll("details.sequence")];
  button.addEventListener("click", () => {
    const open = folds.some((fold) => !fold.open);
    for (const fold of folds) fold.open = open;
    button.textContent = open ? "Close all" : "Open all";
  });
}

function openTarget() {
  const target = location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
  for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
openTarget();

for (const leaves of document.querySelectorAll(".leaves")) {
  const [slider, number, image] = ["input", "output", "img"].map((name) => leaves.querySelector(name));
  const strips = JSON.parse(leaves.querySelector("script").textContent);
  slider.addEventListener("input", () => {
    [number.textContent, image.src] = strips[slider.value];
    image.alt = `small pictures of frame ${number.textContent}`;
  });
}

function bytes(text) {
  return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
}

function colors(text) {
  const rgb = bytes(text);
  return Array.from({ length: rgb.length / 3 }, (_, i) => `rgb(${rgb[3 * i]},${rgb[3 * i + 1]},${rgb[3 * i + 2]})`);
}

function coordinates(text, low, size) {
  const shares = new Uint16Array(bytes(text).buffer); // little-endian, as all browsers are
  return [0, 1, 2].map((axis) =>
    Float32Array.from({ length: shares.length / 3 }, (_, i) => low[axis] + (size[axis] * shares[3 * i + axis]) / 65535),
  );
}

function layout(data) {
  const style = getComputedStyle(document.documentElement);
  const axis = (i) => ({
    range: [data.low[i], data.low[i] + data.size[i]],
    title: { text: "" },
    ticksuffix: " m",
    nticks: 4,
    color: style.getPropertyValue("--muted"),
    gridcolor: style.getPropertyValue("--line"),
    zeroline: false,
    showspikes: false,
  });
  return {
    margin: { l: 0, r: 0, t: 0, b: 0 },
    paper_bgcolor: "rgba(0,0,0,0)",
    showlegend: false,
    scene: {
      xaxis: axis(0),
      yaxis: axis(1),
      zaxis: axis(2),
      aspectmode: "data",
      dragmode: "orbit",
      camera: { up: { x: 0, y: data.up, z: 0 }, eye: { x: 0.55, y: 0.75 * data.up, z: 1.15 * data.up } },
    },
  };
}

class Clouds {
  constructor(root) {
    this.root = root;
    this.button = root.querySelector("button.rotate");
    this.scenes = root.querySelector(".scenes");
    this.stills = root.querySelector(".stills");
    this.together = root.querySelector(".together");
    this.byError = root.querySelector(".by-error");
    this.button.addEventListener("click", () => (this.scenes.hidden ? this.open() : this.close()));
    this.byError.addEventListener("change", () => this.recolor());
    root.closest("details").addEventListener("toggle", (event) => event.target.open || this.close());
  }

  async open() {
    if (!document.createElement("canvas").getContext("webgl")) {
      this.button.textContent = "This browser cannot rotate clouds"; // the still pictures stay
      this.button.disabled = true;
      return;
    }
    Clouds.opened?.close(); // browsers keep few WebGL contexts
    Clouds.opened = this;
    this.data = JSON.parse(this.root.querySelector("script").textContent);
    this.show(true);
    this.plots = this.data.clouds.map((cloud) => {
      const figure = document.createElement("figure");
      figure.innerHTML = '<div class="scene"><div></div></div><figcaption></figcaption>';
      figure.lastChild.textContent = cloud.label;
      this.scenes.append(figure);
      return figure.firstChild.firstChild;
    });
    await Promise.all(this.plots.map((plot, i) => this.draw(plot, this.data.clouds[i])));
  }

  async draw(plot, cloud) {
    const [x, y, z] = coordinates(cloud.points, this.data.low, this.data.size);
    const trace = { type: "scatter3d", mode: "markers", x, y, z, hoverinfo: "skip", marker: { size: 1.8, color: this.color(cloud) } };
    await Plotly.newPlot(plot, [trace], layout(this.data), { displaylogo: false, displayModeBar: false, responsive: true });
    for (const event of ["plotly_relayouting", "plotly_relayout"]) {
      plot.on(event, (change) => this.follow(plot, change["scene.camera"]));
    }
  }

  color(cloud) {
    return colors(this.byError.checked && cloud.errors ? cloud.errors : cloud.colors);
  }

  recolor() {
    this.plots.forEach((plot, i) => Plotly.restyle(plot, { "marker.color": [this.color(this.data.clouds[i])] }));
  }

  // Turn the other clouds like the one that the user turns; what they say about it meanwhile is an echo.
  async follow(moved, camera) {
    if (!camera || !this.together.checked || (this.leader && this.leader !== moved)) return;
    this.camera = camera;
    if (this.leader) return;
    this.leader = moved;
    const others = this.plots.filter((plot) => plot !== moved);
    while (this.camera) {
      const latest = this.camera;
      this.camera = undefined;
      await Promise.all(others.map((plot) => Plotly.relayout(plot, { "scene.camera": latest })));
    }
    this.leader = undefined;
  }

  close() {
    if (this.scenes.hidden) return;
    for (const plot of this.plots) Plotly.purge(plot);
    this.leader = this.camera = undefined;
    this.scenes.replaceChildren();
    this.show(false);
    if (Clouds.opened === this) Clouds.opened = undefined;
  }

  show(rotating) {
    this.scenes.hidden = !rotating;
    this.stills.hidden = rotating;
    this.button.textContent = rotating ? "Back to pictures" : "Rotate in 3D";
    for (const label of this.root.querySelectorAll("label")) label.hidden = !rotating;
  }
}

for (const root of document.querySelectorAll(".clouds")) new Clouds(root);
