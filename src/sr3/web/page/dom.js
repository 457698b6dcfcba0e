// Short names for what every part of the page does to elements.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

// Show a line of text, or hide its element when there is none.
export function setLine(target, text) {
  setText(target, text);
  target.hidden = !text;
}

// Say something to a screen reader only.
export function announce(text) {
  setText(byId("status"), text);
}

// Replace the options of a select, [value, text] each, and keep the choice; nothing happens when they are the same.
export function setOptions(select, options, value) {
  const wanted = JSON.stringify(options);
  if (select.dataset.options !== wanted) {
    select.dataset.options = wanted;
    select.replaceChildren(...options.map(([key, text]) => element("option", { value: key, textContent: text })));
  }
  if (select.value !== value) select.value = value;
}
