// Which part of a picture is seen, and how large: one for all that is compared. Knows no elements.
//
// `zoom` is in pixels of the screen per pixel of the picture, so that 1 is exact on every screen; `x`, `y` is the
// picture's point in the middle, in its pixels; a pane's size is in CSS pixels.

const MOST = 4;

export const viewport = { zoom: 1, x: 0, y: 0, fitted: true, width: 0, height: 0, pane: { width: 0, height: 0 } };
const listeners = [];

export const onMove = (listener) => listeners.push(listener);

const density = () => globalThis.devicePixelRatio || 1;
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

function fitZoom() {
  const { width, height, pane } = viewport;
  if (!width || !pane.width) return 1;
  return Math.min((pane.width / width) * density(), (pane.height / height) * density(), MOST);
}

// Zoom out to the whole picture, or to its own pixels where it is smaller than the pane.
const least = () => Math.min(fitZoom(), 1);

// Half of what a pane shows, in the picture's pixels.
function half() {
  const scale = viewport.zoom / density();
  return { x: viewport.pane.width / scale / 2, y: viewport.pane.height / scale / 2 };
}

function settle() {
  if (viewport.fitted) viewport.zoom = fitZoom();
  const { x, y } = half();
  const { width, height } = viewport;
  viewport.x = 2 * x >= width ? width / 2 : clamp(viewport.x, x, width - x);
  viewport.y = 2 * y >= height ? height / 2 : clamp(viewport.y, y, height - y);
  for (const listener of listeners) listener();
}

// A picture of another size keeps the place that is seen.
export function setPicture(width, height) {
  if (width === viewport.width && height === viewport.height) return;
  const [relativeX, relativeY] = [viewport.x / (viewport.width || 1), viewport.y / (viewport.height || 1)];
  Object.assign(viewport, { width, height, x: relativeX * width, y: relativeY * height });
  settle();
}

export function setPane(width, height) {
  if (width === viewport.pane.width && height === viewport.pane.height) return;
  viewport.pane = { width, height };
  settle();
}

// Zoom with a point of the pane held, by default its middle. Returns whether anything changed.
export function zoomTo(zoom, { x, y } = { x: viewport.pane.width / 2, y: viewport.pane.height / 2 }) {
  const next = clamp(zoom, least(), MOST);
  if (next === viewport.zoom) return false;
  const offset = (scale) => ({ x: (x - viewport.pane.width / 2) / scale, y: (y - viewport.pane.height / 2) / scale });
  const [before, after] = [offset(viewport.zoom / density()), offset(next / density())];
  viewport.x += before.x - after.x;
  viewport.y += before.y - after.y;
  Object.assign(viewport, { zoom: next, fitted: next === fitZoom() });
  settle();
  return true;
}

export const zoomBy = (factor, point) => zoomTo(viewport.zoom * factor, point);

export function fit() {
  viewport.fitted = true;
  settle();
}

// Move the picture by CSS pixels.
export function panBy(x, y) {
  const scale = viewport.zoom / density();
  viewport.x -= x / scale;
  viewport.y -= y / scale;
  settle();
}

export function pannable() {
  const { x, y } = half();
  return 2 * x < viewport.width - 0.5 || 2 * y < viewport.height - 0.5;
}

// The CSS transform of a sheet of the picture's size in a pane.
export function transform() {
  const scale = viewport.zoom / density();
  const whole = (value) => Math.round(value * density()) / density();
  const x = whole(viewport.pane.width / 2 - viewport.x * scale);
  const y = whole(viewport.pane.height / 2 - viewport.y * scale);
  return `translate(${x}px, ${y}px) scale(${scale})`;
}
