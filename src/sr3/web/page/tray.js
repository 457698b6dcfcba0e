// The list of pictures, with small views of those that are on the screen.
import { byId, element, setText } from "./dom.js";
import { all, isActive, show, shown } from "./pictures.js";
import { stateText } from "./words.js";

const SIDE = 96; // pixels of a small view
const list = byId("tray");
const items = new Map(); // picture: li
const waiting = [];
let drawing = false;

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    waiting.push(target);
    drawSmall();
  }
});

// One file after the other, so that there is never more than one large picture.
async function drawSmall() {
  if (drawing) return;
  drawing = true;
  for (let canvas = waiting.shift(); canvas; canvas = waiting.shift()) {
    try {
      const whole = await createImageBitmap(canvas.picture.file);
      const scale = SIDE / Math.min(whole.width, whole.height);
      const [width, height] = [whole.width * scale, whole.height * scale];
      const context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(whole, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
      whole.close();
    } catch {
      // A file that the browser cannot show has an empty square.
    }
  }
  drawing = false;
}

function itemOf(picture, remove) {
  if (items.has(picture)) return items.get(picture);
  const canvas = element("canvas", { width: SIDE, height: SIDE, picture });
  canvas.setAttribute("aria-hidden", "true");
  const button = element("button", { type: "button", className: "item", onclick: () => show(picture) });
  button.append(canvas, element("b", { textContent: picture.name }), element("small"));
  const away = element("button", { type: "button", className: "remove", textContent: "×", onclick: () => remove(picture) });
  away.setAttribute("aria-label", `Remove ${picture.name}`);
  const item = element("li", {}, button, away);
  items.set(picture, item);
  list.append(item);
  watcher.observe(canvas);
  return item;
}

export function drawTray(remove) {
  for (const [picture, item] of items) {
    if (all().includes(picture)) continue;
    item.remove();
    items.delete(picture);
  }
  for (const picture of all()) {
    const item = itemOf(picture, remove);
    const button = item.firstChild;
    button.setAttribute("aria-current", picture === shown());
    button.classList.toggle("failed", picture.state === "failed");
    setText(button.lastChild, stateText(picture));
  }
  byId("tray-box").hidden = all().length === 0;
  const idle = all().filter((picture) => picture.state !== "done" && !isActive(picture)).length;
  byId("enlarge-all").hidden = all().length < 2 || idle < 2;
  setText(byId("enlarge-all"), `Enlarge all ${idle}`);
}
