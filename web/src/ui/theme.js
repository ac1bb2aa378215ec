/** Looks of the 3D views, in the colours of ComfyUI's theme. */

const STYLE = `
.ws-view { --ws-text: var(--input-text, #ddd); --ws-muted: var(--descrip-text, #999); --ws-field: var(--comfy-input-bg, #222);
  --ws-surface: var(--comfy-menu-bg, #2b2c30); --ws-border: var(--border-color, #4e4e4e); --ws-accent: #4f9dff;
  --ws-warning: oklch(from var(--ws-text) calc(0.42 + 0.4 * l) 0.15 72); --ws-error: oklch(from var(--ws-text) calc(0.42 + 0.35 * l) 0.19 28);
  box-sizing: border-box; display: flex; flex-direction: column; width: 100%; height: 100%; min-width: 0; overflow: hidden;
  color: var(--ws-text); background: var(--ws-surface); border: 1px solid var(--ws-border); border-radius: 8px;
  font: 12px/1.35 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; outline: none; user-select: none; container-type: size; }
.ws-view *, .ws-view *::before { box-sizing: border-box; }
.ws-view:focus-visible { border-color: var(--ws-accent); }
.ws-bar { display: flex; align-items: center; gap: 2px; padding: 4px 6px; flex: none; flex-wrap: wrap; }
.ws-bar > .ws-gap { flex: 1; }
.ws-bar > .ws-line, .ws-line { width: 1px; align-self: stretch; margin: 3px 4px; background: var(--ws-border); flex: none; }
.ws-button { display: inline-flex; align-items: center; justify-content: center; gap: 5px; height: 26px; min-width: 26px; padding: 0 5px;
  border: 1px solid transparent; border-radius: 6px; background: none; color: inherit; font: inherit; cursor: pointer; flex: none; }
.ws-button:hover:not(:disabled) { background: color-mix(in srgb, var(--ws-text) 12%, transparent); }
.ws-button:focus-visible, .ws-view select:focus-visible, .ws-view input:focus-visible, .ws-timeline:focus-visible
  { outline: 2px solid var(--ws-accent); outline-offset: -1px; }
.ws-button[aria-pressed="true"] { background: color-mix(in srgb, var(--ws-accent) 30%, transparent); border-color: var(--ws-accent); }
.ws-button:disabled { opacity: 0.35; cursor: default; }
.ws-button.ws-record { color: var(--ws-error); }
.ws-button.ws-filled { background: var(--ws-field); border-color: var(--ws-border); }
.ws-button svg { display: block; }
.ws-body { position: relative; display: flex; flex: 1; min-height: 0; }
.ws-stage { position: relative; flex: 1; min-width: 0; overflow: hidden; touch-action: none;
  background: radial-gradient(ellipse at 50% 35%, #2d323b, #15171c 85%); }
.ws-view-canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; touch-action: none; }
.ws-view [hidden] { display: none !important; }
.ws-panel { width: 264px; flex: none; overflow: auto; padding: 6px 10px 10px; background: var(--ws-surface); border-left: 1px solid var(--ws-border);
  scrollbar-width: thin; }
.ws-section { margin: 0; padding: 0; border: 0; min-width: 0; }
.ws-section + .ws-section { margin-top: 8px; padding-top: 8px; border-top: 1px solid var(--ws-border); }
.ws-section > legend, .ws-heading { padding: 0; margin-bottom: 5px; font-weight: 600; float: left; width: 100%; }
.ws-section > * { clear: both; }
.ws-row { display: flex; align-items: center; gap: 5px; min-height: 24px; margin-top: 3px; }
.ws-row > .ws-name { flex: 1; min-width: 0; color: var(--ws-muted); white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.ws-row > .ws-triple { display: flex; gap: 3px; flex: none; width: 162px; }
.ws-view input[type="text"], .ws-view select { width: 100%; min-width: 0; height: 22px; padding: 0 4px; border: 1px solid transparent; border-radius: 5px;
  background: var(--ws-field); color: var(--ws-text); font: inherit; font-variant-numeric: tabular-nums; }
.ws-view input[type="text"]:hover, .ws-view select:hover { border-color: var(--ws-border); }
.ws-view input[aria-invalid="true"] { border-color: #ff5a4f; }
.ws-row > .ws-field { width: 162px; flex: none; display: flex; align-items: center; gap: 4px; }
.ws-row > .ws-field > .ws-unit { color: var(--ws-muted); flex: none; }
.ws-check { display: flex; align-items: center; gap: 7px; min-height: 24px; margin-top: 3px; cursor: pointer; }
.ws-check input { accent-color: var(--ws-accent); margin: 0; }
.ws-buttons { display: flex; flex-wrap: wrap; gap: 4px; margin-top: 5px; }
.ws-facts { color: var(--ws-muted); margin-top: 4px; white-space: pre-line; user-select: text; }
.ws-status { flex: none; display: flex; align-items: center; gap: 6px; min-height: 22px; padding: 2px 8px; color: var(--ws-muted);
  border-top: 1px solid var(--ws-border); }
.ws-status > .ws-message { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; user-select: text; }
.ws-status[data-kind="warning"] > .ws-message { color: var(--ws-warning); }
.ws-status[data-kind="error"] > .ws-message { color: var(--ws-error); }
.ws-notice { position: absolute; left: 50%; top: 12px; transform: translateX(-50%); max-width: min(460px, calc(100% - 24px)); padding: 9px 12px;
  border: 1px solid var(--ws-border); border-radius: 8px; background: color-mix(in srgb, var(--ws-surface) 94%, transparent); color: var(--ws-text);
  box-shadow: 0 4px 18px rgba(0, 0, 0, 0.35); white-space: pre-line; user-select: text; z-index: 2; }
.ws-notice[data-kind="error"] { border-color: #ff5a4f; }
.ws-notice[data-kind="hint"] { border-style: dashed; color: var(--ws-muted); pointer-events: none; }
.ws-notice[data-kind="hint"] button { pointer-events: auto; }
.ws-notice .ws-buttons { margin-top: 7px; }
.ws-menu { position: absolute; z-index: 5; min-width: 170px; max-height: calc(100% - 12px); overflow: auto; padding: 4px; border: 1px solid var(--ws-border);
  border-radius: 8px; background: var(--ws-surface); box-shadow: 0 6px 24px rgba(0, 0, 0, 0.45); scrollbar-width: thin; }
.ws-menu > .ws-button { width: 100%; justify-content: flex-start; padding: 0 8px; }
.ws-menu > .ws-heading { float: none; padding: 4px 8px 2px; margin: 0; color: var(--ws-muted); font-weight: 400; }
.ws-timeline-row { display: flex; align-items: center; gap: 4px; padding: 3px 6px; border-top: 1px solid var(--ws-border); flex: none; }
.ws-timeline { position: relative; flex: 1; min-width: 60px; height: 40px; border-radius: 6px; cursor: pointer; outline: none; }
.ws-timeline > canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
.ws-frame-number { flex: none; min-width: 62px; text-align: right; font-variant-numeric: tabular-nums; color: var(--ws-muted); }
.ws-help { position: absolute; inset: 0; z-index: 6; overflow: auto; padding: 14px 18px; background: color-mix(in srgb, var(--ws-surface) 96%, transparent); }
.ws-help > .ws-button { position: absolute; right: 8px; top: 8px; }
.ws-help h3 { margin: 0 0 8px; font-size: 13px; }
.ws-help dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 14px; margin: 0; }
.ws-help dt { text-align: right; } .ws-help dd { margin: 0; color: var(--ws-muted); }
.ws-help kbd { padding: 1px 5px; border: 1px solid var(--ws-border); border-radius: 4px; background: var(--ws-field); font: inherit; }

.ws-full-window { position: fixed; inset: 0; z-index: 3000; padding: 10px; background: rgba(0, 0, 0, 0.6); }
.ws-full-window > .ws-view { border-radius: 10px; }
.ws-away { display: flex; align-items: center; justify-content: center; width: 100%; height: 100%; color: var(--descrip-text, #999);
  background: var(--comfy-input-bg, #222); border-radius: 8px; font: 12px system-ui, sans-serif; }
@container (max-width: 520px) { .ws-panel { position: absolute; right: 0; top: 0; bottom: 0; z-index: 3; } .ws-optional { display: none; } }
`;

/** Put the style into the page once. */
export function installTheme() {
  if (document.getElementById("worldstereo-view-style")) return;
  const element = document.createElement("style");
  element.id = "worldstereo-view-style";
  element.textContent = STYLE;
  document.head.append(element);
}
