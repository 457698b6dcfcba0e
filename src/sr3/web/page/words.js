// Numbers and states as words.

export const size = (width, height) => `${width} × ${height}`;

export const megapixels = (pixels) => plural(pixels < 1e7 ? Math.round(pixels / 1e5) / 10 : Math.round(pixels / 1e6), "megapixel");

export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB"];
  let power = 0;
  for (; count >= 1000 && power < units.length - 1; power++) count /= 1000;
  return `${power > 0 && count < 10 ? count.toFixed(1) : Math.round(count)} ${units[power]}`;
}

export function duration(seconds) {
  const whole = Math.max(1, Math.ceil(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return whole < 600 && whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.round(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

function waiting(picture) {
  const before = picture.job?.position;
  if (picture.busy) return picture.busy;
  if (!picture.job) return "Waiting for the previous picture";
  return before > 0 ? `Waiting: ${plural(before, "job")} before this one` : "Waiting: next in line";
}

function working({ progress, stopping, deadline }) {
  if (stopping) return "Stopping …";
  if (!progress) return "Starting …";
  const parts = [];
  if (progress.samples > 1) parts.push(`sample ${progress.sample + 1} of ${progress.samples}`);
  if (progress.steps > 1) parts.push(`step ${progress.step} of ${progress.steps}`);
  const left = deadline ? `about ${duration((deadline - Date.now()) / 1000)} left` : "";
  const text = [parts.join(", "), left].filter(Boolean).join(" · ") || "Working …";
  return text[0].toUpperCase() + text.slice(1);
}

// What happens to a picture, in one line.
export function stateText(picture) {
  if (picture.state === "uploading") return picture.busy || "Uploading the picture …";
  if (picture.state === "waiting") return waiting(picture);
  if (picture.state === "running") return working(picture);
  if (picture.state === "failed") return picture.error;
  if (picture.state === "stopped") return "Stopped";
  if (picture.state === "done") return picture.output ? size(picture.output.width, picture.output.height) : "Done";
  return bytes(picture.file.size);
}

// What is seen on the stage, beside the general text on what is invented.
export function invented(picture, samples, hasMap, stochastic) {
  if (!picture || picture.state === "ready") return "";
  if (picture.state === "running" && samples === 0) return "This is the model's estimate so far. Each step makes it sharper and settles more details.";
  if (samples === 0) return "";
  if (!stochastic) return "This model has only one result per picture, so it does not show where it guesses.";
  if (samples === 1) return "This is one sample of many. “Another sample” draws the next, so that you see which details change.";
  const map = hasMap ? " The deviation shows by how much they differ: dark blue where they agree, yellow where the model guesses." : "";
  return `These are ${samples} samples of many. What differs between them was not in the input.${map}`;
}
