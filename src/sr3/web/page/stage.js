// The stage: left and right picture with the divider, the overlay and its legend.
import { byId, element, setLine, setOptions, setText } from "./dom.js";
import { listen } from "./gestures.js";
import { changed, summaryOf } from "./pictures.js";
import { cover, place, put } from "./sheet.js";
import { choicesOf, sidesOf } from "./sources.js";
import { fit, onMove, pannable, setPane, setPicture, viewport, zoomBy, zoomTo } from "./viewport.js";

const LEGEND_WIDTH = 480; // CSS pixels
const CRISP = 2; // from this zoom on single pixels are shown as they are

const stage = byId("stage");
const divider = byId("divider");
const sheets = { left: stage.querySelector("#left .sheet"), right: stage.querySelector("#right .sheet") };
let split = 0.5;

function moveSplit(share, { relative = false } = {}) {
  split = Math.min(Math.max(relative ? split + share : share, 0), 1);
  const percent = Math.round(100 * split);
  stage.style.setProperty("--split", `${100 * split}%`);
  divider.setAttribute("aria-valuenow", percent);
  divider.setAttribute("aria-valuetext", `${percent} per cent before, ${100 - percent} per cent after`);
  return split;
}

function moved() {
  place(sheets.left);
  place(sheets.right);
  const level = `${Math.round(100 * viewport.zoom)} %`;
  setText(byId("zoom-level"), level);
  for (const group of [stage, byId("panes")]) {
    group.classList.toggle("pannable", pannable());
    group.classList.toggle("crisp", viewport.zoom >= CRISP);
  }
}

export function startStage() {
  listen(stage, { paneOf: () => stage, moveSplit, divider });
  onMove(moved);
  new ResizeObserver(() => measure()).observe(stage);
  byId("zoom-in").onclick = () => zoomBy(1.5);
  byId("zoom-out").onclick = () => zoomBy(1 / 1.5);
  byId("zoom-fit").onclick = fit;
  byId("zoom-pixels").onclick = () => zoomTo(1);
  moveSplit(0.5);
}

function measure() {
  if (!stage.hidden && stage.clientWidth) setPane(stage.clientWidth, stage.clientHeight);
}

function showSide(side, source) {
  const layer = sheets[side].parentElement;
  layer.hidden = !source;
  setText(layer.querySelector("figcaption"), source ? (source.short ?? source.label) : "");
  put(sheets[side], source);
}

// The file itself gives the size until the server has said that of the result.
function withSize(source, picture) {
  if (!source.file) return source;
  const onShown = (image) => {
    picture.input = { width: image.naturalWidth, height: image.naturalHeight };
    if (!picture.output) setPicture(image.naturalWidth, image.naturalHeight);
    changed();
  };
  const onFailed = () => {
    picture.unseen = true;
    changed();
  };
  return { ...source, onShown, onFailed };
}

export function drawStage(picture) {
  measure();
  if (picture.output) setPicture(picture.output.width, picture.output.height);
  else if (picture.input) setPicture(picture.input.width, picture.input.height);
  const { left, right } = sidesOf(picture);
  stage.classList.toggle("split", Boolean(right));
  const unseen = left.file && picture.unseen;
  setLine(byId("unseen"), unseen ? `The browser cannot show ${picture.name} by itself. It is shown once sr3 has read it.` : "");
  showSide("left", stage.hidden ? null : withSize(left, picture));
  showSide("right", stage.hidden ? null : right);
  drawChoices(picture, left, right);
  drawOverlay(summaryOf(picture, "deviation"));
  place(sheets.left);
  place(sheets.right);
}

function drawChoices(picture, left, right) {
  byId("sides").hidden = stage.hidden || !right;
  if (!right) return;
  const options = choicesOf(picture).map(({ choice, label }) => [choice, label]);
  setOptions(byId("left-choice"), options, left.choice);
  const extra = right.choice === "" ? [["", right.label]] : [];
  setOptions(byId("right-choice"), [...options, ...extra], right.choice);
}

function drawOverlay(map) {
  byId("overlay-choice").hidden = stage.hidden || !map;
  const on = Boolean(map) && !stage.hidden && byId("overlay").checked;
  byId("strength-field").hidden = !on;
  cover(sheets.right, on ? map : null, byId("strength").value / 100);
  drawLegend(on ? map : null);
}

// The legend is the part of the map's picture below the map.
function drawLegend(map) {
  const legend = byId("legend");
  legend.hidden = !map;
  if (!map) return legend.replaceChildren();
  if (legend.dataset.key === map.key && legend.firstChild) return;
  legend.dataset.key = map.key;
  const image = element("img", { alt: "Legend: the standard deviation of the samples, from dark blue, none, to yellow, most", src: map.url });
  const frame = element("div", {}, image);
  image.addEventListener("load", () => {
    const scale = Math.min(1, LEGEND_WIDTH / image.naturalWidth, legend.clientWidth / image.naturalWidth);
    const { height } = map.job.output;
    image.style.transform = `scale(${scale})`;
    image.style.top = `${-height * scale}px`;
    frame.style.width = `${image.naturalWidth * scale}px`;
    frame.style.height = `${(image.naturalHeight - height) * scale}px`;
  });
  legend.replaceChildren(frame);
}
