// A sheet: the place of one picture in a pane, with the map of deviation over it. A picture appears when it is
// decoded, so that nothing flickers, and pictures that are not shown are not kept.
import { element } from "./dom.js";
import { onFound } from "./link.js";
import { transform, viewport } from "./viewport.js";

const states = new WeakMap(); // sheet: {wanted, shown, failed, busy}
let outages = 0;
onFound(() => outages++);

function stateOf(sheet) {
  if (!states.has(sheet)) states.set(sheet, { wanted: null, shown: null, failed: "", busy: false });
  return states.get(sheet);
}

async function decode({ file, url }) {
  const image = element("img", { alt: "", draggable: false });
  image.src = file ? URL.createObjectURL(file) : url;
  try {
    await image.decode();
  } finally {
    if (file) URL.revokeObjectURL(image.src);
  }
  return image;
}

// A map has its legend below it and may be wider than the picture; the sheet cuts both off.
function asMap(image) {
  image.classList.add("map");
  image.style.left = `${(viewport.width - image.naturalWidth) / 2}px`;
}

function show(sheet, source, image) {
  image.classList.add("picture");
  if (source.result?.kind === "deviation") asMap(image);
  if (source.choice === "input") image.classList.add("pixels");
  const old = sheet.querySelector(".picture");
  if (old) old.replaceWith(image);
  else sheet.prepend(image);
  source.onShown?.(image);
}

// Pictures are loaded one after the other; of those that come meanwhile only the last is.
async function load(sheet, state) {
  while (state.wanted && state.wanted.key !== state.shown) {
    const source = state.wanted;
    const image = await decode(source).catch(() => null);
    const isWanted = state.wanted?.key === source.key;
    if (image && (isWanted || (source.preview && state.wanted?.preview))) {
      state.shown = source.key;
      show(sheet, source, image);
    } else if (!image && isWanted) {
      state.failed = `${outages} ${source.key}`;
      source.onFailed?.();
      return;
    }
  }
}

// Show a source, {key, url} or {key, file}, or nothing.
export async function put(sheet, source) {
  const state = stateOf(sheet);
  state.wanted = source;
  if (!source) {
    state.shown = null;
    sheet.querySelector(".picture")?.remove();
  } else if (!state.busy && state.failed !== `${outages} ${source.key}`) {
    state.busy = true;
    await load(sheet, state);
    state.busy = false;
  }
}

// Lay the map over the picture.
export function cover(sheet, source, strength) {
  let map = sheet.querySelector(".overlay");
  if (map && map.dataset.key !== source?.key) map = map.remove();
  if (!source) return;
  if (!map) {
    map = element("img", { className: "overlay map", alt: "", draggable: false, src: source.url });
    map.dataset.key = source.key;
    map.addEventListener("load", () => asMap(map));
    sheet.append(map);
  }
  map.style.opacity = strength;
}

export function place(sheet) {
  sheet.style.width = `${viewport.width}px`;
  sheet.style.height = `${viewport.height}px`;
  sheet.style.transform = transform();
}
