// What is done: saving the server's own files, another answer, and the command that repeats it.
import { Refused, ask, jobPath } from "./api.js";
import { byId, element, setText } from "./dom.js";
import { isActive } from "./pictures.js";
import { isStochastic } from "./settings.js";
import { savable } from "./sources.js";
import { bytes, size } from "./words.js";

const KINDS = { mean: "mean", deviation: "map of the deviation", enlarged: "enlarged by bicubic" };

// The browser takes the file from the server, as it is. First ask whether the server still has it.
export async function save({ job, result }, complain) {
  try {
    await ask(jobPath(job.id));
    const link = element("a", { href: result.url, download: result.name });
    document.body.append(link);
    link.click();
    link.remove();
  } catch (error) {
    if (error instanceof Refused && error.status === 404) complain(`${result.name}: the server no longer has it; press Enlarge to draw it again.`);
    else complain(error instanceof Refused ? error.message : "No connection to the server: save again when it is back.");
  }
}

// Text that can be copied also where the page is not secure, which has no clipboard.
export async function copyCommand() {
  const code = byId("command");
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
  setText(byId("copy"), "Copied");
  setTimeout(() => setText(byId("copy"), "Copy"), 2000);
}

function fileLine(job, result, complain) {
  const what = KINDS[result.kind] ?? `seed ${result.seed}`;
  const text = `${result.name} · ${what} · ${size(result.width, result.height)} · ${bytes(result.bytes)}`;
  const button = element("button", { type: "button", textContent: "Save", onclick: () => save({ job, result }, complain) });
  button.setAttribute("aria-label", `Save ${result.name}, ${what}`);
  return element("li", {}, element("span", { textContent: text }), button);
}

function drawFiles(picture, complain) {
  const files = picture.jobs.flatMap((job) => job.results.map((result) => [job, result]));
  const box = byId("files-box");
  box.hidden = files.length < 2;
  const key = files.map(([job, result]) => `${job.id}/${result.name}`).join();
  if (byId("files").dataset.key === key) return;
  byId("files").dataset.key = key;
  byId("files").replaceChildren(...files.map(([job, result]) => fileLine(job, result, complain)));
  setText(box.querySelector("summary"), `All ${files.length} files`);
}

function drawWarnings(lines) {
  const list = byId("warnings");
  list.hidden = !lines.length;
  if (list.textContent !== lines.join("")) list.replaceChildren(...lines.map((line) => element("li", { textContent: line })));
}

export function drawResults(picture, complain) {
  const chosen = savable(picture);
  byId("done").hidden = !chosen;
  if (!chosen) return;
  const { job, result } = chosen;
  const ending = result.name.split(".").at(-1).toUpperCase();
  setText(byId("save"), `Save ${ending}`);
  setText(byId("saved-name"), `${result.name} · ${size(result.width, result.height)} · ${bytes(result.bytes)}`);
  setText(byId("command"), job.command);
  byId("another").hidden = !isStochastic(job.settings.model);
  byId("another").disabled = isActive(picture);
  drawWarnings(job.warnings ?? []);
  drawFiles(picture, complain);
}

// The settings of the next answer: those of the picture, one sample, the seed after the last.
export function anotherSettings(picture) {
  const seeds = picture.jobs.map((job) => job.settings.seed ?? 0);
  const settings = { ...picture.settings, seed: Math.max(...seeds) + 1 };
  delete settings.samples;
  return settings;
}
