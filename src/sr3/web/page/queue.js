// One picture of this tab after the other: sent, followed to its end, and sent anew when the server has lost it.
import { Refused, Unreachable, forgetJob, sendPicture, stopJob } from "./api.js";
import { follow } from "./events.js";
import { lose, untilReachable } from "./link.js";
import { changed, takeJob, takeResult } from "./pictures.js";

const FULL = [429, 503]; // the queue is full, or the server is starting
const MOST_ATTEMPTS = 5; // of a job that the server lost

const runs = [];
let working = false;

class Aborted extends Error {}

// Draw a picture. The settings of `again` draw another sample beside those that are there.
export function draw(picture, settings, { again = false } = {}) {
  if (!again) forget(picture);
  Object.assign(picture, { state: "waiting", job: null, error: "", stopping: false, deadline: 0, right: "", settings });
  runs.push({ picture, settings, cut: new AbortController() });
  changed();
  work();
}

// Stop within one step; what is whole is kept.
export async function stop(picture) {
  const place = runs.findIndex((run) => run.picture === picture);
  if (place < 0) return;
  const { cut } = runs[place];
  picture.stopping = true;
  changed();
  if (place > 0) {
    runs.splice(place, 1);
    end(picture, "stopped");
  } else if (picture.job) await stopJob(picture.job.id).catch(() => {});
  else cut.abort();
}

// Let go of everything about a picture, here and on the server.
export function forget(picture) {
  const place = runs.findIndex((run) => run.picture === picture);
  if (place >= 0) runs[place].cut.abort();
  if (place > 0) runs.splice(place, 1);
  for (const job of picture.jobs) forgetJob(job.id);
  Object.assign(picture, { jobs: [], job: null, preview: null, progress: null });
}

async function work() {
  if (working) return;
  working = true;
  for (; runs.length; runs.shift()) await attempt(runs[0]);
  working = false;
}

async function attempt(run) {
  const { picture } = run;
  try {
    for (let number = 1; ; number++) {
      const job = await send(run);
      if (await watch(run, job)) return;
      if (number === MOST_ATTEMPTS) throw new Error("The server lost this picture; press Enlarge to try again.");
    }
  } catch (error) {
    if (run.cut.signal.aborted) end(picture, "stopped");
    else end(picture, "failed", error.message);
  }
}

function end(picture, state, error = "") {
  Object.assign(picture, { state, error, busy: "", job: null, preview: null, progress: null, stopping: false });
  changed();
}

// Nothing answers: the server, or the file itself, is gone.
async function checkFile(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error(`${file.name}: the file cannot be read any more; choose it again.`);
  }
}

async function send({ picture, settings, cut }) {
  for (;;) {
    Object.assign(picture, { state: "uploading", job: null, progress: null });
    changed();
    try {
      const job = await sendPicture(picture.file, settings, cut.signal);
      picture.busy = "";
      return job;
    } catch (error) {
      if (cut.signal.aborted) throw new Aborted();
      if (error instanceof Refused && FULL.includes(error.status)) await waitForRoom(picture, error, cut.signal);
      else if (error instanceof Unreachable) {
        await checkFile(picture.file);
        lose();
        await untilReachable();
      } else throw error;
    }
  }
}

async function waitForRoom(picture, refusal, signal) {
  picture.busy = `${refusal.message.replace(/\.?$/, ".")} Trying again automatically.`;
  changed();
  await new Promise((resume) => {
    const timer = setTimeout(resume, 1000 * Math.min(refusal.retryAfter, 30));
    signal.addEventListener("abort", () => (clearTimeout(timer), resume()), { once: true });
  });
  if (signal.aborted) throw new Aborted();
}

// Follow a job to its end; false when the server has lost it.
async function watch({ picture, cut }, job) {
  takeJob(picture, job);
  picture.state = job.state === "running" ? "running" : "waiting";
  changed();
  try {
    for await (const event of follow(job.id, cut.signal)) {
      take(picture, event);
      changed();
    }
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return lost(picture, job);
    throw error;
  }
  const { state, error } = picture.job;
  if (state === "stopped" && !picture.stopping) return lost(picture, job); // it took us for gone
  end(picture, state, error ?? "");
  return true;
}

function lost(picture, job) {
  picture.jobs = picture.jobs.filter((one) => one.id !== job.id);
  forgetJob(job.id);
  return false;
}

function take(picture, { type, data }) {
  if (type === "state" || type === "end") {
    takeJob(picture, data);
    if (["waiting", "running"].includes(data.state)) picture.state = data.state;
    setDeadline(picture, data.seconds_left);
  } else if (type === "progress") {
    Object.assign(picture, { state: "running", progress: data });
    setDeadline(picture, data.seconds_left);
  } else if (type === "preview") picture.preview = data;
  else if (type === "result") {
    takeResult(picture, data);
    picture.preview = null;
  }
}

function setDeadline(picture, seconds) {
  if (typeof seconds === "number") picture.deadline = Date.now() + 1000 * seconds;
}
