/**
 * Buttons, fields and sections. Each has a name that screen readers say; a tooltip shows it with its key.
 */

import { icon } from "./icons.js";

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} [className] @param {string} [text]
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/**
 * @param {object} options
 * @param {string} options.label name and tooltip
 * @param {() => void} options.onClick
 * @param {string} [options.icon]
 * @param {string} [options.text] shown beside the icon
 * @param {string} [options.key] keyboard shortcut, for the tooltip
 * @param {boolean} [options.isToggle]
 * @param {string} [options.className]
 * @returns {HTMLButtonElement}
 */
export function button({ label, onClick, icon: name, text, key, isToggle, className = "" }) {
  const element = make("button", `ws-button ${className}`);
  element.type = "button";
  element.innerHTML = name ? icon(name) : "";
  if (text) element.append(text);
  element.setAttribute("aria-label", label);
  element.title = key ? `${label} (${key})` : label;
  if (key) element.setAttribute("aria-keyshortcuts", key);
  if (isToggle) element.setAttribute("aria-pressed", "false");
  element.addEventListener("click", onClick);
  return element;
}

/** @param {HTMLElement} element @param {boolean} isPressed */
export const setPressed = (element, isPressed) => element.setAttribute("aria-pressed", String(isPressed));

/** Another icon and name on a button. @param {HTMLElement} element @param {string} name @param {string} label */
export function setIcon(element, name, label) {
  element.innerHTML = icon(name);
  element.setAttribute("aria-label", label);
  element.title = label;
}

/** @param {string} title @param {...HTMLElement} children */
export function section(title, ...children) {
  const element = make("fieldset", "ws-section");
  element.append(make("legend", "", title), ...children);
  return element;
}

/** @param {string} name @param {HTMLElement} field @param {string} [className] */
export function row(name, field, className = "ws-field") {
  const element = make("div", "ws-row");
  const label = make("span", "ws-name", name);
  label.title = name;
  const holder = field.classList.contains("ws-triple") ? field : make("div", className);
  if (holder !== field) holder.append(field);
  element.append(label, holder);
  return element;
}

/** At most `digits` decimals, without trailing zeros. @param {number} value @param {number} digits */
export const shortNumber = (value, digits) => String(Number(value.toFixed(digits)) + 0);

/**
 * A number that is typed, stepped with the arrow keys, or dragged sideways. Shift steps ten times as far, Alt a tenth.
 * @param {object} options
 * @param {string} options.label
 * @param {(value: number) => void} options.onInput while it changes
 * @param {() => void} options.onCommit at the end of a change
 * @param {number} [options.digits]
 * @param {number} [options.min]
 * @param {number} [options.max]
 * @param {() => number} [options.step]
 */
export function numberField({ label, onInput, onCommit, digits = 3, min = -Infinity, max = Infinity, step = () => 1 }) {
  const input = make("input");
  input.type = "text";
  input.inputMode = "decimal";
  input.autocomplete = "off";
  input.spellcheck = false;
  input.setAttribute("aria-label", label);
  input.title = label;
  let shown = "";
  let isChanged = false;
  const set = (value) => {
    shown = shortNumber(value, digits);
    if (document.activeElement !== input || !isChanged) input.value = shown;
    input.removeAttribute("aria-invalid");
  };
  const accept = (value) => {
    if (!Number.isFinite(value) || value < min || value > max) return false;
    isChanged = true;
    onInput(value);
    return true;
  };
  const finish = () => {
    if (isChanged) onCommit();
    isChanged = false;
    input.value = shown;
    input.removeAttribute("aria-invalid");
  };
  input.addEventListener("change", () => {
    const text = input.value.trim().replace(",", ".");
    if (text === shown || text === "") return finish();
    const isGood = accept(Number(text));
    if (isGood) return finish();
    input.setAttribute("aria-invalid", "true");
    input.value = shown;
  });
  input.addEventListener("blur", finish);
  input.addEventListener("focus", () => input.select());
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") input.blur();
    if (event.key === "Escape") {
      input.value = shown;
      input.blur();
    }
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    event.preventDefault();
    const size = step() * (event.shiftKey ? 10 : event.altKey ? 0.1 : 1);
    const value = Number(input.value.replace(",", ".")) + (event.key === "ArrowUp" ? size : -size);
    if (accept(Math.min(max, Math.max(min, value)))) input.value = shortNumber(value, digits);
  });
  return { element: input, set, setDisabled: (isDisabled) => (input.disabled = isDisabled) };
}

/**
 * @param {string} label
 * @param {[string, string][]} choices value and text
 * @param {(value: string) => void} onChange
 */
export function selectField(label, choices, onChange) {
  const element = make("select");
  element.setAttribute("aria-label", label);
  element.title = label;
  for (const [value, text] of choices) {
    const option = make("option", "", text);
    option.value = value;
    element.append(option);
  }
  element.addEventListener("change", () => onChange(element.value));
  return element;
}

/** @param {string} label @param {(checked: boolean) => void} onChange */
export function checkField(label, onChange) {
  const element = make("label", "ws-check");
  const input = make("input");
  input.type = "checkbox";
  input.addEventListener("change", () => onChange(input.checked));
  element.append(input, label);
  return { element, input };
}

/**
 * A menu below a button, closed by a choice, Escape or a press elsewhere.
 * @param {HTMLElement} anchor
 * @param {HTMLElement} container positioned
 * @param {(string | { label: string, icon?: string, onClick: () => void })[]} entries text = heading
 */
export function openMenu(anchor, container, entries) {
  const menu = make("div", "ws-menu");
  menu.setAttribute("role", "menu");
  const close = () => {
    menu.remove();
    anchor.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", closeOutside, true);
  };
  const closeOutside = (event) => {
    if (!menu.contains(event.target) && !anchor.contains(event.target)) close();
  };
  for (const entry of entries) {
    if (typeof entry === "string") {
      menu.append(make("div", "ws-heading", entry));
      continue;
    }
    const choose = () => {
      close();
      anchor.focus();
      entry.onClick();
    };
    const item = button({ label: entry.label, icon: entry.icon, text: entry.label, onClick: choose });
    item.setAttribute("role", "menuitem");
    menu.append(item);
  }
  menu.addEventListener("keydown", (event) => {
    const items = [...menu.querySelectorAll("button")];
    const at = items.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) items[(at + step + items.length) % items.length].focus();
    if (event.key === "Escape") {
      close();
      anchor.focus();
    }
    if (step || event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
    }
  });
  container.append(menu);
  const [from, inside] = [anchor.getBoundingClientRect(), container.getBoundingClientRect()];
  const grow = container.clientWidth / inside.width || 1;
  const left = Math.min((from.left - inside.left) * grow, container.clientWidth - menu.offsetWidth - 6);
  menu.style.left = `${Math.max(6, left)}px`;
  menu.style.top = "6px";
  anchor.setAttribute("aria-expanded", "true");
  document.addEventListener("pointerdown", closeOutside, true);
  menu.querySelector("button")?.focus();
  return close;
}
