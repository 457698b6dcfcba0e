// The page: takes pictures in, has them drawn, and shows what is known whenever something changes.
import { Refused, forgetJob, read } from "./api.js";
import { announce, byId, setLine, setText } from "./dom.js";
import { startIntake } from "./intake.js";
import { isReachable, keepLink, lose, onFound, onLost, untilReachable } from "./link.js";
import { drawPanes, startPanes } from "./panes.js";
import { add, all, changed, isActive, onChange, remove, samplesOf, show, shown, summaryOf } from "./pictures.js";
import { draw, forget, stop } from "./queue.js";
import { anotherSettings, copyCommand, drawResults, save } from "./results.js";
import { checkSettings, drawSettings, fillSettings, isStochastic, readSettings, startSettings } from "./settings.js";
import { savable } from "./sources.js";
import { drawStage, startStage } from "./stage.js";
import { drawTray } from "./tray.js";
import { bytes, invented, megapixels, plural, stateText } from "./words.js";

const GONE = "No connection to the server. The page continues by itself when the server is back.";
let limits = null;
let complaint = "";

function complain(text) {
  complaint = text;
  changed();
}

// ---- pictures in, pictures out

function take(files) {
  const tooLarge = files.filter((file) => limits && file.size > limits.bytes);
  const fitting = files.filter((file) => !tooLarge.includes(file));
  complain(tooLarge.length ? `${tooLarge[0].name} has ${bytes(tooLarge[0].size)}; the limit is ${bytes(limits.bytes)}: reduce it, or use sr3 upscale.` : "");
  const hadFocus = [byId("choose"), document.body].includes(document.activeElement);
  const added = fitting.map(add);
  if (!added.length) return;
  show(added[0]);
  announce(`${plural(added.length, "picture")} added.`);
  requestAnimationFrame(() => hadFocus && byId("enlarge").focus({ preventScroll: true }));
}

function takeAway(picture) {
  forget(picture);
  remove(picture);
  announce(`${picture.name} removed.`);
  (byId("tray").querySelector("button") ?? byId("choose")).focus();
}

function enlarge(pictures) {
  complain("");
  if (!checkSettings()) return;
  for (const picture of pictures) if (!isActive(picture)) draw(picture, readSettings());
}

async function saveAll() {
  for (const picture of all()) {
    const answer = savable(picture);
    if (answer) await save(answer, complain);
  }
}

// ---- showing

function drawRunning(picture) {
  const active = isActive(picture);
  byId("running").hidden = !active;
  if (!active) return;
  const bar = byId("progress");
  const { progress } = picture;
  if (progress) bar.value = progress.done;
  else bar.removeAttribute("value");
  setText(byId("progress-text"), stateText(picture));
  byId("stop").disabled = picture.stopping;
}

function drawView(picture) {
  const count = samplesOf(picture).length;
  const beside = count > 1 && document.querySelector("[name=view]:checked").value === "beside";
  byId("views").hidden = count < 2;
  byId("stage").hidden = beside;
  byId("panes").hidden = !beside;
  drawStage(picture);
  drawPanes(picture);
}

let said = "";
function say(picture) {
  const key = `${picture.id} ${picture.state} ${samplesOf(picture).length}`;
  if (key === said) return;
  said = key;
  const texts = { waiting: stateText(picture), running: "Working.", stopped: "Stopped.", done: `Done: ${plural(samplesOf(picture).length, "sample")}.` };
  if (texts[picture.state]) announce(`${picture.name}: ${texts[picture.state]}`);
}

// A control that vanishes hands the focus on: to stopping while there is work, then to what came of it.
function handFocusOn(before) {
  const lost = before.disabled || !before.checkVisibility();
  if (!lost || !document.body.contains(before) || before === document.body) return;
  const next = ["stop", "divider", "panes", "enlarge", "choose"].map(byId).find((one) => one.checkVisibility() && !one.disabled);
  next?.focus({ preventScroll: true });
}

function drawAll() {
  const focused = document.activeElement ?? document.body;
  drawPage();
  handFocusOn(focused);
}

function drawPage() {
  const picture = shown();
  byId("drop").hidden = Boolean(picture);
  byId("viewer").hidden = !picture;
  document.body.classList.toggle("fresh", picture?.state === "ready");
  setLine(byId("notice"), complaint || (isReachable() ? "" : GONE));
  drawTray(takeAway);
  byId("save-all").hidden = all().filter(savable).length < 2;
  drawSettings(picture);
  byId("enlarge").disabled = !picture || isActive(picture) || !limits;
  if (!picture) return drawPanes(null);
  drawView(picture);
  drawRunning(picture);
  drawResults(picture, complain);
  setLine(byId("trouble"), picture.state === "failed" ? picture.error : "");
  const stochastic = isStochastic(picture.jobs.at(-1)?.settings.model);
  setText(byId("about-now"), invented(picture, samplesOf(picture).length, Boolean(summaryOf(picture, "deviation")), stochastic));
  say(picture);
}

// ---- the beginning

function listenToControls() {
  byId("settings").onsubmit = (event) => {
    event.preventDefault();
    if (shown()) enlarge([shown()]);
  };
  byId("enlarge-all").onclick = () => enlarge(all().filter((picture) => picture.state !== "done"));
  byId("save-all").onclick = saveAll;
  byId("stop").onclick = () => stop(shown());
  byId("another").onclick = () => draw(shown(), anotherSettings(shown()), { again: true });
  byId("save").onclick = () => save(savable(shown()), complain);
  byId("copy").onclick = copyCommand;
  for (const side of ["left", "right"]) {
    byId(`${side}-choice`).onchange = (event) => {
      shown()[side] = event.target.value;
      changed();
    };
  }
  for (const id of ["views", "overlay", "strength"]) byId(id).addEventListener("input", changed);
  addEventListener("pagehide", (event) => {
    if (!event.persisted) for (const picture of all()) for (const job of picture.jobs) forgetJob(job.id);
  });
  setInterval(() => shown() && isActive(shown()) && drawRunning(shown()), 500);
}

async function askLimits() {
  for (;;) {
    try {
      const [models, found] = await Promise.all([read("/api/models"), read("/api/limits")]);
      limits = found;
      fillSettings(models, limits);
      setText(byId("limits"), `Files up to ${bytes(limits.bytes)}, results up to ${megapixels(limits.pixels)}. Pictures stay on the machine that runs sr3.`);
      return changed();
    } catch (error) {
      if (error instanceof Refused) return complain(error.message);
      lose();
      await untilReachable();
    }
  }
}

startStage();
startPanes();
startSettings(changed, () => shown()?.input);
startIntake(take, complain);
listenToControls();
onChange(drawAll);
onLost(changed);
onFound(() => complain(""));
keepLink();
changed();
askLimits();
