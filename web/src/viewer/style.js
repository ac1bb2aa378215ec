/** Looks that only the world viewer needs, beside ui/theme.js. */

const STYLE = `
.ws-world .ws-row > .ws-field { width: 112px; }
.ws-world .ws-legend { display: flex; align-items: center; gap: 6px; margin-top: 4px; color: var(--ws-muted); font-variant-numeric: tabular-nums; }
.ws-world .ws-legend[hidden] { display: none; }
.ws-world .ws-legend > i { flex: 1; height: 8px; border-radius: 4px; background: linear-gradient(90deg, #450d5c, #2b708f, #fce826); }
.ws-world .ws-swatch { display: inline-block; flex: none; width: 10px; height: 10px; border-radius: 3px; box-shadow: 0 0 0 1px rgba(0, 0, 0, 0.4); }
.ws-world .ws-clips { margin-top: 4px; max-height: 132px; overflow: auto; scrollbar-width: thin; }
.ws-world .ws-clips .ws-check { min-height: 21px; margin-top: 0; font-variant-numeric: tabular-nums; }
.ws-world .ws-parts { margin-top: 4px; max-height: 118px; overflow: auto; scrollbar-width: thin; }
.ws-world .ws-part { display: flex; border-radius: 6px; }
.ws-world .ws-part > .ws-button { height: 22px; }
.ws-world .ws-part > .ws-button:first-child { flex: 1; min-width: 0; justify-content: flex-start; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
.ws-world .ws-section > .ws-button[hidden], .ws-world .ws-row[hidden] { display: none; }
.ws-world .ws-section > .ws-button { margin-top: 5px; }
`;

/** Put the style into the page once. */
export function installViewerStyle() {
  if (document.getElementById("worldstereo-world-style")) return;
  const element = document.createElement("style");
  element.id = "worldstereo-world-style";
  element.textContent = STYLE;
  document.head.append(element);
}
