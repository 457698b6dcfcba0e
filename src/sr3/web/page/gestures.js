// Mouse wheel, drag, pinch and keys on a group of panes, as changes of the viewport.
import { fit, pannable, panBy, viewport, zoomBy, zoomTo } from "./viewport.js";

const KEY_PAN = 60; // CSS pixels
const KEY_ZOOM = 1.25;
const KEY_SPLIT = 0.02;

const local = (event, pane) => {
  const box = pane.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
};

// `paneOf` finds the pane of an event; `moveSplit`, where there is a divider, takes its share of the width and
// whether that is added to the present one, and returns what it is then.
export function listen(group, { paneOf, moveSplit, divider }) {
  group.addEventListener(
    "wheel",
    (event) => {
      const pane = paneOf(event.target);
      if (!pane) return;
      const speed = event.deltaMode === 1 ? 0.05 : event.ctrlKey ? 0.01 : 0.002;
      // Where it cannot zoom any further the page scrolls.
      if (zoomBy(Math.exp(-event.deltaY * speed), local(event, pane)) || event.ctrlKey) event.preventDefault();
    },
    { passive: false },
  );
  group.addEventListener("dblclick", (event) => {
    const pane = paneOf(event.target);
    if (!pane || event.target === divider) return;
    if (viewport.fitted) zoomTo(Math.max(1, 2 * viewport.zoom), local(event, pane));
    else fit();
  });
  listenToPointers(group, { paneOf, moveSplit, divider });
  group.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !byKey(event, moveSplit)) return;
    event.preventDefault();
  });
}

function listenToPointers(group, { paneOf, moveSplit, divider }) {
  const pointers = new Map();
  let pane = null;
  let splitting = false;
  let grip = 0; // share of the width between the divider and the finger that moves it

  const middle = () => {
    const [a, b = a] = pointers.values();
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, distance: Math.hypot(a.x - b.x, a.y - b.y) };
  };
  group.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || pointers.size === 2) return;
    pane = pointers.size ? pane : paneOf(event.target);
    if (!pane) return;
    splitting = !pointers.size && Boolean(moveSplit) && (divider.contains(event.target) || !pannable());
    pointers.set(event.pointerId, local(event, pane));
    group.setPointerCapture(event.pointerId);
    if (event.pointerType === "mouse") (divider ?? group).focus({ preventScroll: true });
    group.classList.toggle("held", !splitting);
    if (!splitting) return;
    const share = local(event, pane).x / pane.clientWidth;
    // A click beside the divider calls it; a finger there may only want to scroll.
    if (event.pointerType === "mouse" && !divider.contains(event.target)) moveSplit(share);
    grip = moveSplit(0, { relative: true }) - share;
  });
  group.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = middle();
    pointers.set(event.pointerId, local(event, pane));
    const after = middle();
    if (splitting && pointers.size === 1) return moveSplit(after.x / pane.clientWidth + grip);
    if (pointers.size === 2 && before.distance > 0) zoomBy(after.distance / before.distance, after);
    panBy(after.x - before.x, after.y - before.y);
  });
  const release = (event) => {
    pointers.delete(event.pointerId);
    if (!pointers.size) group.classList.remove("held");
  };
  for (const kind of ["pointerup", "pointercancel"]) group.addEventListener(kind, release);
}

// Returns whether the key means something here.
function byKey({ key, shiftKey }, moveSplit) {
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  if (arrow && moveSplit && !shiftKey) {
    moveSplit((arrow[0] || -arrow[1]) * KEY_SPLIT, { relative: true });
  } else if (arrow) panBy(-arrow[0] * KEY_PAN, -arrow[1] * KEY_PAN);
  else if (moveSplit && key === "Home") moveSplit(0);
  else if (moveSplit && key === "End") moveSplit(1);
  else if (moveSplit && key.startsWith("Page")) moveSplit(key === "PageUp" ? 0.1 : -0.1, { relative: true });
  else if (key === "+" || key === "=") zoomBy(KEY_ZOOM);
  else if (key === "-" || key === "_") zoomBy(1 / KEY_ZOOM);
  else if (key === "0") fit();
  else if ("1234".includes(key)) zoomTo(Number(key));
  else return false;
  return true;
}
