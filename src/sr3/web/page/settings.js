// The form of settings: filled from what the server offers, read as `sr3 upscale` names them. What is at its default
// is left out, so that the command to copy is short.
import { byId, setLine, setOptions, setText } from "./dom.js";
import { megapixels, plural, size } from "./words.js";

const UNITS = { width: "px", height: "px", long_side: "px", megapixels: "MP", fit: "×" };
let models = [];
let maxSamples = Infinity;
let maxPixels = Infinity;

const model = () => models.find((one) => one.name === byId("model").value);
export const isStochastic = (name) => models.find((one) => one.name === name)?.stochastic ?? true;

export function fillSettings(offered, limits) {
  models = offered;
  maxSamples = limits.samples;
  maxPixels = limits.pixels;
  setOptions(byId("model"), models.map(({ name, title }) => [name, title ?? name]), byId("model").value || models[0].name);
  setOptions(byId("format"), [["", "Same"], ...limits.formats.filter((format) => format !== "same").map((format) => [format, format.toUpperCase()])], byId("format").value);
  byId("samples").max = limits.samples;
  takeModel();
}

// Another model has other steps, and another scale and detail by default.
function takeModel() {
  const { description, scale, steps, steps_choices: choices, detail, stochastic } = model();
  setLine(byId("model-text"), description);
  const isChoice = choices?.length > 1;
  byId("steps-field").hidden = !isChoice;
  if (isChoice) setOptions(byId("steps"), choices.map((count) => [String(count), String(count)]), String(steps));
  byId("detail-field").hidden = typeof detail !== "number";
  byId("detail").value = detail ?? 1;
  byId("samples-field").hidden = byId("seed-field").hidden = !stochastic;
  if (byId("size-kind").value === "scale") byId("size").value = scale;
  drawDetail();
}

function drawDetail() {
  byId("detail-value").value = Number(byId("detail").value).toFixed(2);
}

function takeSizeKind(input) {
  const kind = byId("size-kind").value;
  const { scale } = model();
  const [width, height] = input ? [input.width * scale, input.height * scale] : [1920, 1080];
  const value = { scale, width, height, long_side: Math.max(width, height), megapixels: Math.max(1, Math.round((width * height) / 1e5) / 10), fit: width }[kind];
  const field = byId("size");
  field.value = value;
  field.min = kind === "scale" || kind === "megapixels" ? 0.01 : 1;
  field.step = kind === "scale" || kind === "megapixels" ? "any" : 1;
  byId("size-high").hidden = kind !== "fit";
  byId("size-high").required = kind === "fit";
  byId("size-high").value = height;
  setText(byId("size-unit"), UNITS[kind] ?? "");
}

function sizeSettings() {
  const kind = byId("size-kind").value;
  const value = byId("size").valueAsNumber;
  if (kind === "fit") return { fit: `${value}x${byId("size-high").valueAsNumber}` };
  return kind === "scale" && value === model().scale ? {} : { [kind]: value };
}

export function readSettings() {
  const { name, steps, detail, stochastic } = model();
  const settings = { ...sizeSettings() };
  if (name !== models[0].name) settings.model = name;
  if (!byId("steps-field").hidden && Number(byId("steps").value) !== steps) settings.steps = Number(byId("steps").value);
  if (!byId("detail-field").hidden && byId("detail").valueAsNumber !== detail) settings.detail = byId("detail").valueAsNumber;
  if (stochastic && byId("samples").valueAsNumber !== 1) settings.samples = byId("samples").valueAsNumber;
  if (stochastic && byId("seed").valueAsNumber !== 0) settings.seed = byId("seed").valueAsNumber;
  if (byId("format").value) settings.format = byId("format").value;
  return settings;
}

// Returns whether all values are valid; says which is not, and goes to it.
export function checkSettings() {
  const fields = [...byId("settings").querySelectorAll("input")].filter((field) => field.checkVisibility() && !field.checkValidity());
  const name = fields[0]?.getAttribute("aria-label") ?? fields[0]?.labels[0]?.textContent.trim();
  setLine(byId("settings-trouble"), fields.length ? `${name}: ${fields[0].validationMessage}` : "");
  fields[0]?.focus();
  return fields.length === 0;
}

// The size of the result, as far as it can be known before the server has read the file.
function result({ width, height }) {
  const value = byId("size").valueAsNumber;
  const high = byId("size-high").valueAsNumber;
  const scale = {
    scale: () => value,
    width: () => value / width,
    height: () => value / height,
    long_side: () => value / Math.max(width, height),
    megapixels: () => Math.sqrt((value * 1e6) / (width * height)),
    fit: () => Math.min(value / width, high / height),
  }[byId("size-kind").value]();
  return [Math.round(width * scale), Math.round(height * scale)];
}

export function drawSettings(picture) {
  if (!models.length) return;
  const input = picture?.input;
  const [width, height] = input ? result(input) : [];
  const tooMany = width * height > maxPixels;
  const more = tooMany ? `: ${megapixels(width * height)}, and the limit is ${megapixels(maxPixels)}` : "";
  setLine(byId("size-text"), width && height ? `${size(input.width, input.height)} becomes ${size(width, height)}${more}` : "");
  byId("size-text").classList.toggle("trouble", tooMany);
}

export function startSettings(onInput, currentInput) {
  byId("model").onchange = takeModel;
  byId("size-kind").onchange = () => takeSizeKind(currentInput());
  byId("detail").oninput = drawDetail;
  byId("settings").addEventListener("input", onInput);
  byId("samples").onchange = () => {
    if (byId("samples").valueAsNumber > maxSamples) setLine(byId("settings-trouble"), `At most ${plural(maxSamples, "sample")} at once.`);
  };
}
