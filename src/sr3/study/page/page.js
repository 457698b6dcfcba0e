// One subject's way through the study: consent, instructions, pairs, thanks.
// The server says what comes next; the page shows it, measures how long it was seen, and sends the choice.
"use strict";

const REST = 600; // milliseconds of empty plates before a pair
const PENDING = "sr3-study-answer"; // a choice that the server has not acknowledged yet
const PASSING = [401, 403, 408, 425, 429]; // refusals of a proxy, which are not the last word
const SECTIONS = ["consent", "ready", "trial", "done"];
const upright = matchMedia("(orientation: portrait) and (max-width: 44rem)");

const byId = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));
const nextFrame = () => new Promise((resume) => requestAnimationFrame(resume));

let page = {};
let left = false; // the subject has withdrawn

class Refused extends Error {}

// ---- talking to the server

async function ask(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  if (response.status >= 400 && response.status < 500 && !PASSING.includes(response.status)) throw new Refused(String(response.status));
  if (!response.ok) throw new Error(String(response.status));
  return response;
}

// Repeat a request until the server answers: it may have been started anew, or the connection may have been lost.
async function insist(path, options) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    try {
      const response = await ask(path, options);
      byId("status").textContent = "";
      return response;
    } catch (error) {
      if (error instanceof Refused) throw error;
      byId("status").textContent = "No connection. Trying again; nothing is lost.";
      await pause(wait);
    }
  }
}

const read = async (path) => (await insist(path)).json();
const post = (path, body) =>
  insist(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });

// What makes a repeated request known as such. (randomUUID needs https.)
const nonce = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

async function sendPending() {
  const kept = localStorage.getItem(PENDING);
  if (kept === null) return;
  try {
    const { id, answer } = JSON.parse(kept);
    await post(`api/pairs/${id}/answer`, answer);
  } catch (error) {
    if (!(error instanceof Refused || error instanceof SyntaxError)) throw error;
  }
  localStorage.removeItem(PENDING);
}

// ---- showing one section at a time

function show(name) {
  for (const section of SECTIONS) byId(section).hidden = section !== name;
  document.body.classList.toggle("looking", name === "trial");
  byId("withdraw").hidden = name === "consent" || left;
  scrollTo(0, 0);
  byId(name === "trial" ? "question" : `${name}-title`).focus({ preventScroll: true });
}

function seconds(value) {
  return `${value} ${value === 1 ? "second" : "seconds"}`;
}

function showConsent(state) {
  byId("consent-title").textContent = page.title;
  byId("consent-text").replaceChildren(
    ...page.consent.map((text) => Object.assign(document.createElement("p"), { textContent: text })),
  );
  byId("consent-pairs").textContent = state.total;
  byId("consent-exposure").textContent = seconds(state.exposure);
  const minutes = Math.max(1, Math.round((state.total * (state.exposure + 3)) / 60));
  byId("consent-time").textContent = `${minutes} ${minutes === 1 ? "minute" : "minutes"}`;
  show("consent");
}

function showReady(state) {
  const begun = state.done > 0;
  byId("ready-title").textContent = begun ? "Welcome back" : "How it works";
  byId("ready-question").textContent = state.question;
  byId("ready-exposure").textContent = seconds(state.exposure);
  byId("start").textContent = begun ? `Continue with pair ${state.done + 1} of ${state.total}` : "Start";
  nameSides();
  show("ready");
}

function showDone(state) {
  byId("done-title").textContent = left ? "Your answers have been deleted" : "Thank you";
  byId("done-text").textContent = left ? "You have left the study. You can close this page." : state.thanks;
  show("done");
}

function nameSides() {
  const [first, second] = upright.matches ? ["Upper", "Lower"] : ["Left", "Right"];
  const keys = upright.matches ? ["↑", "↓"] : ["←", "→"];
  byId("first").querySelector(".label").textContent = first;
  byId("second").querySelector(".label").textContent = second;
  byId("first").setAttribute("aria-label", `${first} image`);
  byId("second").setAttribute("aria-label", `${second} image`);
  const words = [`${first.toLowerCase()} or ${second.toLowerCase()}, by touch or click, or with the keys `];
  for (const key of keys) words.push(Object.assign(document.createElement("kbd"), { textContent: key }), " and ");
  byId("ready-how").replaceChildren(...words.slice(0, -1));
}

// ---- one pair

async function load(pair) {
  const slots = pair.middle ? ["first", "middle", "second"] : ["first", "second"];
  return Promise.all(
    slots.map(async (slot) => {
      const picture = await (await insist(`api/pairs/${pair.id}/${slot}`)).blob();
      const image = new Image();
      image.alt = "";
      image.draggable = false;
      image.src = URL.createObjectURL(picture);
      await image.decode();
      return [slot, image];
    }),
  );
}

function prepare(state) {
  const { pair, done, total, question } = state;
  byId("question").textContent = question;
  byId("count").textContent = `${done + 1} of ${total}`;
  Object.assign(byId("bar"), { max: total, value: done + 1 });
  const plates = byId("plates");
  plates.className = pair.middle ? "three" : "";
  plates.style.setProperty("--w", pair.width);
  plates.style.setProperty("--h", pair.height);
  byId("middle").hidden = !pair.middle;
  for (const side of ["first", "second"]) {
    byId(side).disabled = true;
    byId(side).classList.remove("chosen");
  }
  nameSides();
  byId("hint").textContent = "";
}

// The usual time between two frames, in milliseconds: the median over the rest before a pair.
async function rest() {
  const gaps = [];
  const began = performance.now();
  for (let before = await nextFrame(); before - began < REST; ) {
    const now = await nextFrame();
    gaps.push(now - before);
    before = now;
  }
  return gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? 1000 / 60;
}

// Show the pictures for a time, by the clock of the frames. They vanish in the frame nearest to the wanted one,
// and at once if the page is put aside. Returns milliseconds from the first frame with them to the first without.
function expose(images, wanted, frame) {
  const plates = byId("plates");
  return new Promise((resolve) => {
    let shown = null;
    const end = (now) => {
      document.removeEventListener("visibilitychange", aside);
      plates.classList.remove("exposed");
      for (const [, image] of images) {
        image.remove();
        URL.revokeObjectURL(image.src);
      }
      resolve(shown === null ? 0 : now - shown);
    };
    let over = false;
    const aside = () => {
      if (!document.hidden || over) return;
      over = true;
      end(performance.now());
    };
    const tick = (now) => {
      if (over) return;
      if (shown === null) {
        shown = now;
        plates.classList.add("exposed");
      } else if (now - shown >= wanted - frame / 2) {
        over = true;
        end(now);
        return;
      }
      requestAnimationFrame(tick);
    };
    document.addEventListener("visibilitychange", aside);
    requestAnimationFrame(tick);
  });
}

// Wait for a click, a touch or an arrow key. Returns the side and the milliseconds since the pictures vanished.
function choose() {
  const plates = byId("plates");
  const began = performance.now();
  return new Promise((resolve) => {
    const take = (choice) => {
      document.removeEventListener("keydown", onKey);
      for (const side of ["first", "second"]) {
        byId(side).disabled = true;
        byId(side).onclick = null;
      }
      byId(choice).classList.add("chosen");
      resolve({ choice, response: performance.now() - began });
    };
    const onKey = (event) => {
      if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || byId("sure").open) return;
      const keys = upright.matches ? ["ArrowUp", "ArrowDown"] : ["ArrowLeft", "ArrowRight"];
      const which = keys.indexOf(event.key);
      if (which < 0) return;
      event.preventDefault();
      take(["first", "second"][which]);
    };
    for (const side of ["first", "second"]) {
      byId(side).disabled = false;
      byId(side).onclick = () => take(side);
    }
    plates.classList.add("choosing");
    byId("hint").textContent = "Your choice?";
    document.addEventListener("keydown", onKey);
  });
}

async function judge(state) {
  const { pair } = state;
  prepare(state);
  const images = await load(pair);
  for (const [slot, image] of images) byId(slot).append(image);
  await post(`api/pairs/${pair.id}/view`, { nonce: nonce() });
  byId("withdraw").style.visibility = "hidden";
  const frame = await rest();
  const exposure = await expose(images, 1000 * state.exposure, frame);
  byId("withdraw").style.visibility = "";
  const { choice, response } = await choose();
  const answer = {
    choice,
    exposure: exposure / 1000,
    frame: frame / 1000,
    response: response / 1000,
    layout: upright.matches ? "column" : "row",
    width: byId("first").getBoundingClientRect().width,
    density: devicePixelRatio,
  };
  localStorage.setItem(PENDING, JSON.stringify({ id: pair.id, answer }));
  await sendPending();
  byId("plates").classList.remove("choosing");
}

async function judgeAll() {
  for (;;) {
    const state = await read("api/state");
    if (left) return;
    if (state.stage === "done") return showDone(state);
    if (state.stage === "consent") return showConsent(state);
    if (byId("trial").hidden) {
      byId("question").textContent = state.question;
      show("trial");
    }
    try {
      await judge(state);
    } catch (error) {
      // Refused: another window was quicker, so ask again what comes next. Else a picture did not arrive whole.
      if (!(error instanceof Refused)) byId("status").textContent = "A picture could not be loaded. Trying again.";
      await pause(1000);
      byId("status").textContent = "";
    }
  }
}

// ---- buttons, and the beginning

byId("agree").onclick = async () => {
  byId("agree").disabled = true;
  await post("api/consent", { nonce: nonce() });
  const state = await read("api/state");
  byId("agree").disabled = false;
  if (state.stage === "trial") showReady(state);
  else byId("status").textContent = "Please allow a cookie for this page: it only remembers where you are in the study.";
};
byId("start").onclick = judgeAll;
byId("withdraw").onclick = () => byId("sure").showModal();
byId("sure").onclose = async () => {
  if (byId("sure").returnValue !== "leave") return;
  left = true;
  localStorage.removeItem(PENDING);
  await post("api/withdraw");
  showDone({});
};
upright.addEventListener("change", nameSides);

async function begin() {
  page = await read("api/page");
  document.title = page.title;
  for (const place of document.querySelectorAll(".contact")) place.textContent = page.contact;
  await sendPending();
  const state = await read("api/state");
  if (state.stage === "consent") showConsent(state);
  else if (state.stage === "trial") showReady(state);
  else showDone(state);
}

begin();
