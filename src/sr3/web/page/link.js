// Whether the server answers. A request every few seconds tells it that the tab is open, and the page that the
// server is there.
import { Refused, read } from "./api.js";

const BEAT = 4000; // milliseconds; the server ends the work of a tab that is silent for 10 s
const FIRST_RETRY = 500;

const link = new EventTarget();
let reachable = true;
let retry = FIRST_RETRY;
let timer;

export const isReachable = () => reachable;
export const onFound = (listener, options) => link.addEventListener("found", listener, options);

// Returns what takes the listener away again.
export function onLost(listener) {
  link.addEventListener("lost", listener);
  return () => link.removeEventListener("lost", listener);
}

// A request of another part of the page got no answer.
export function lose() {
  if (!reachable) return;
  reachable = false;
  retry = FIRST_RETRY;
  link.dispatchEvent(new Event("lost"));
  again(retry);
}

export function untilReachable() {
  if (reachable) return Promise.resolve();
  return new Promise((resolve) => link.addEventListener("found", resolve, { once: true }));
}

function again(wait) {
  clearTimeout(timer);
  timer = setTimeout(beat, wait);
}

async function beat() {
  try {
    await read("/api/limits", { signal: AbortSignal.timeout(8000) });
  } catch (error) {
    if (!(error instanceof Refused)) {
      if (reachable) return lose();
      retry = Math.min(2 * retry, BEAT);
      return again(retry);
    }
  }
  again(BEAT);
  if (reachable) return;
  reachable = true;
  link.dispatchEvent(new Event("found"));
}

export const keepLink = () => again(BEAT);
