// What can be shown of a picture: {key, label, url} or {key, label, file}, and which of it stands left and right.
import { jobPath } from "./api.js";
import { samplesOf, summaryOf } from "./pictures.js";

const ownFile = (picture) => ({ key: `file/${picture.id}`, label: "Input", file: picture.file });

// The pictures that the input gives.
export function inputsOf(picture) {
  const job = picture.job ?? picture.jobs.at(-1);
  if (!job) return [{ ...ownFile(picture), choice: "enlarged" }];
  return [
    { key: `${job.id}/enlarged`, choice: "enlarged", label: "Input, enlarged by bicubic", short: "Input, enlarged", url: `${jobPath(job.id)}/enlarged` },
    { key: `${job.id}/input`, choice: "input", label: "Input, its pixels", short: "Input", url: `${jobPath(job.id)}/input` },
  ];
}

export function previewOf(picture) {
  if (!picture.preview) return null;
  const { url, step } = picture.preview;
  const steps = picture.progress?.steps;
  const label = steps > 1 ? `Step ${step} of ${steps}` : "Preview";
  return { key: url, choice: "", preview: true, label, url };
}

// Everything that may stand on a side.
export function choicesOf(picture) {
  const answers = [...samplesOf(picture), summaryOf(picture, "mean")].filter(Boolean);
  return [...inputsOf(picture), ...answers.map((answer) => ({ ...answer, choice: answer.key }))];
}

// What stands right unless somebody chose: the preview, else the newest sample of one that was added, else the first.
function newest(picture) {
  const samples = samplesOf(picture);
  const last = picture.jobs.at(-1);
  return previewOf(picture) ?? samples.find((sample) => sample.job === last) ?? samples[0] ?? null;
}

export function sidesOf(picture) {
  const choices = choicesOf(picture);
  const named = (choice) => choices.find((one) => one.choice === choice);
  const right = (picture.right && named(picture.right)) || newest(picture);
  return { left: named(picture.left) ?? choices[0], right: right && { ...right, choice: right.choice ?? right.key } };
}

// The result that is looked at, for saving: the right side's, else the first.
export function savable(picture) {
  const { right } = sidesOf(picture);
  return right?.result ? right : (samplesOf(picture)[0] ?? null);
}
