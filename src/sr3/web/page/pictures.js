// The pictures of this tab, which one is shown, and what is known of each.

const changes = new EventTarget();
const pictures = [];
let current = null;
let scheduled = false;
let count = 0;

export const all = () => pictures;
export const shown = () => current;
export const onChange = (listener) => changes.addEventListener("change", listener);

// Tell everybody, once a frame at most. A hidden tab has no frames, so a timer does it too.
export function changed() {
  if (scheduled) return;
  scheduled = true;
  const tell = () => {
    if (!scheduled) return;
    scheduled = false;
    changes.dispatchEvent(new Event("change"));
  };
  requestAnimationFrame(tell);
  setTimeout(tell, 200);
}

export function add(file) {
  const picture = {
    id: ++count,
    file,
    name: file.name || "picture.png",
    state: "ready", // then uploading, waiting, running, and done, stopped or failed
    busy: "", // why sending has to wait
    error: "",
    jobs: [], // as the server tells them
    job: null, // the one that is drawn now
    preview: null,
    progress: null,
    deadline: 0,
    input: null, // sizes in pixels, once they are known
    output: null,
    unseen: false, // the browser cannot show the file
    stopping: false,
    apart: null, // keys of the two samples of several jobs that differ most
    left: "enlarged",
    right: "", // the key of a source; empty for the newest
  };
  pictures.push(picture);
  if (!current) current = picture;
  changed();
  return picture;
}

export function show(picture) {
  current = picture;
  changed();
}

export function remove(picture) {
  const place = pictures.indexOf(picture);
  pictures.splice(place, 1);
  if (current === picture) current = pictures[Math.min(place, pictures.length - 1)] ?? null;
  changed();
}

export const isActive = (picture) => ["uploading", "waiting", "running"].includes(picture.state);

// Keep the newest word on a job. A stream that was opened again may repeat what it said.
export function takeJob(picture, job) {
  const place = picture.jobs.findIndex((known) => known.id === job.id);
  if (place < 0) picture.jobs.push(job);
  else picture.jobs[place] = job;
  picture.job = job;
  picture.output = job.output ?? picture.output;
}

export function takeResult(picture, result) {
  const results = picture.job.results.filter((known) => known.name !== result.name);
  takeJob(picture, { ...picture.job, results: [...results, result] });
}

const keyOf = (job, result) => `${job.id}/${result.name}`;

// The samples in the order they were drawn: {key, job, result, label, url}.
export function samplesOf(picture) {
  const samples = picture.jobs.flatMap((job) =>
    job.results.filter((result) => result.kind === "sample").map((result) => ({ job, result })),
  );
  return samples.map(({ job, result }, index) => ({
    key: keyOf(job, result),
    job,
    result,
    label: `Sample ${index + 1} · seed ${result.seed}`,
    url: result.view_url,
  }));
}

// The newest mean or map of deviation, if there is one.
export function summaryOf(picture, kind) {
  for (const job of picture.jobs.toReversed()) {
    const result = job.results.find((one) => one.kind === kind);
    if (result) return { key: keyOf(job, result), job, result, label: kind === "mean" ? "Mean of the samples" : "Deviation", url: result.view_url };
  }
  return null;
}

// The keys of the two samples that differ most: as the server says it of one job, or as the page has found it.
function pairOf(picture, samples) {
  if (picture.jobs.length > 1) return picture.apart ?? [];
  const numbers = picture.jobs[0]?.pair ?? [];
  return numbers.map((number) => samples.find(({ result }) => result.sample === number)?.key);
}

// The samples with the two that differ most first.
export function apartFirst(picture) {
  const samples = samplesOf(picture);
  const pair = pairOf(picture, samples);
  const first = pair.map((key) => samples.find((sample) => sample.key === key)).filter(Boolean);
  return { samples: [...first, ...samples.filter((sample) => !first.includes(sample))], apart: first.length };
}
