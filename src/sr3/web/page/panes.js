// Samples side by side, the two that differ most first, all with the zoom and place of the stage. A picture is loaded
// when its pane is on the screen, and let go when it is not.
import { mostApart } from "./apart.js";
import { byId, element, setText } from "./dom.js";
import { listen } from "./gestures.js";
import { apartFirst, changed, samplesOf, summaryOf } from "./pictures.js";
import { place, put } from "./sheet.js";
import { onMove, setPane } from "./viewport.js";

const group = byId("panes");
const sources = new WeakMap(); // pane: source

const sheetOf = (pane) => pane.querySelector(".sheet");
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.seen = isIntersecting;
    put(sheetOf(target), isIntersecting ? sources.get(target) : null).then(changed);
  }
}, { rootMargin: "200px" });

export function startPanes() {
  listen(group, { paneOf: (target) => target.closest(".pane") });
  onMove(() => {
    for (const pane of group.children) place(sheetOf(pane));
  });
  new ResizeObserver(measure).observe(group);
}

function measure() {
  const pane = group.firstElementChild;
  if (!group.hidden && pane?.clientWidth) setPane(pane.clientWidth, pane.clientHeight);
}

function paneOf(index) {
  if (group.children[index]) return group.children[index];
  const pane = element("figure", { className: "pane" }, element("div", { className: "sheet" }), element("figcaption"));
  group.append(pane);
  watcher.observe(pane);
  return pane;
}

// Samples of several jobs are compared here, once all of them are on the screen.
let compared = "";
async function compare(picture) {
  const samples = samplesOf(picture);
  const key = samples.map((sample) => sample.key).join();
  if (picture.jobs.length < 2 || samples.length < 3 || picture.comparedAs === key || compared === key) return;
  const images = samples.map((sample) => [...group.children].find((pane) => sources.get(pane)?.key === sample.key)?.querySelector(".picture"));
  if (!images.every((image) => image?.complete)) return;
  compared = key;
  const pair = await mostApart(images, () => compared !== key || group.hidden);
  if (compared === key) compared = "";
  if (!pair) return;
  Object.assign(picture, { comparedAs: key, apart: pair.map((index) => samples[index].key) });
  changed();
}

export function drawPanes(picture) {
  const { samples, apart } = picture && !group.hidden ? apartFirst(picture) : { samples: [], apart: 0 };
  const summaries = samples.length ? [summaryOf(picture, "mean"), summaryOf(picture, "deviation")].filter(Boolean) : [];
  const shown = [...samples, ...summaries];
  while (group.children.length > shown.length) {
    watcher.unobserve(group.lastElementChild);
    group.lastElementChild.remove();
  }
  for (const [index, source] of shown.entries()) {
    const pane = paneOf(index);
    const differs = index < apart && samples.length > 2;
    pane.classList.toggle("apart", differs);
    setText(pane.querySelector("figcaption"), differs ? `${source.label} · differ most` : source.label);
    sources.set(pane, source);
    if (pane.seen) put(sheetOf(pane), source).then(() => compare(picture));
  }
  if (picture?.output) group.style.setProperty("--aspect", picture.output.width / picture.output.height);
  group.classList.toggle("few", shown.length <= 4);
  measure();
  for (const pane of group.children) place(sheetOf(pane));
}
