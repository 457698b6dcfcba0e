// Pictures come by drop, by paste or from the file chooser.
import { byId } from "./dom.js";

function isFolder(item) {
  return item.kind === "file" && item.webkitGetAsEntry?.()?.isDirectory;
}

export function startIntake(take, complain) {
  const input = byId("files-input");
  byId("choose").onclick = byId("add").onclick = () => input.click();
  input.onchange = () => {
    take([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  };

  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    take(files);
  });

  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  const cover = byId("dropping");
  let depth = 0; // of elements that were entered and not left
  const end = () => {
    depth = 0;
    cover.hidden = true;
  };
  document.addEventListener("dragenter", (event) => {
    if (!isFiles(event)) return;
    depth++;
    cover.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (isFiles(event) && --depth <= 0) end();
  });
  document.addEventListener("dragover", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    end();
    const folders = [...event.dataTransfer.items].filter(isFolder).length;
    if (folders) complain("A folder cannot be dropped here: drop its pictures, or use sr3 upscale FOLDER.");
    else take([...event.dataTransfer.files]);
  });
}
