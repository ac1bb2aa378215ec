/** Drawn icons, 20 × 20, in the colour of the text around them. */

/** @type {Record<string, string>} */
const SHAPES = {
  add: '<path d="M10 4v12M4 10h12"/>',
  insert: '<path d="M2.5 15c3 0 3-9 7.5-9s4.5 9 7.5 9"/><path d="M10 1.500v9M7.5 8 10 10.5 12.5 8"/>',
  record: '<rect x="2" y="5.5" width="11" height="9" rx="2"/><path d="m13 9 5-2.500v7L13 11"/><circle cx="7.5" cy="10" r="2" fill="currentColor"/>',
  capture: '<path d="M3 7V4.500A1.5 1.5 0 0 1 4.5 3H7M13 3h2.500A1.5 1.5 0 0 1 17 4.500V7M17 13v2.500a1.5 1.5 0 0 1-1.5 1.500H13M7 17H4.500A1.5 1.5 0 0 1 3 15.500V13"/><circle cx="10" cy="10" r="2.6"/>',
  duplicate: '<rect x="7" y="7" width="10" height="10" rx="2"/><path d="M13 4.500A1.5 1.5 0 0 0 11.5 3h-7A1.5 1.5 0 0 0 3 4.500v7A1.5 1.5 0 0 0 4.5 13"/>',
  remove: '<path d="M3.5 5.500h13M8 5V3.500h4V5M5.5 5.500l.7 11h7.600l.7-11M8.5 8.500v5M11.5 8.500v5"/>',
  move: '<path d="M10 2v16M2 10h16M7.8 4.2 10 2l2.2 2.200M7.8 15.8 10 18l2.2-2.200M4.2 7.8 2 10l2.2 2.200M15.8 7.8 18 10l-2.2 2.2"/>',
  rotate: '<path d="M16.5 10a6.5 6.5 0 1 1-2-4.7"/><path d="M15.2 1.800v3.800h-3.8"/>',
  eye: '<path d="M1.5 10S4.5 4.5 10 4.5 18.5 10 18.5 10 15.5 15.5 10 15.5 1.5 10 1.5 10Z"/><circle cx="10" cy="10" r="2.5"/>',
  frame: '<path d="M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4"/><circle cx="10" cy="10" r="1" fill="currentColor"/>',
  home: '<path d="m3 9.5 7-6 7 6M5 8.500V16.500h10V8.5"/>',
  top: '<path d="m10 3 7 3.5-7 3.5-7-3.500ZM3 10.5 10 14l7-3.5"/><path d="M3 14 10 17.5 17 14"/>',
  play: '<path d="M6 3.500v13l10-6.500Z" fill="currentColor"/>',
  pause: '<path d="M6.5 4v12M13.5 4v12" stroke-width="3"/>',
  first: '<path d="M15 4.500v11L7 10ZM5 4.500v11" fill="currentColor"/>',
  last: '<path d="M5 4.500v11L13 10ZM15 4.500v11" fill="currentColor"/>',
  lock: '<rect x="4" y="9" width="12" height="8" rx="1.5"/><path d="M6.5 9V6.500a3.5 3.5 0 0 1 7 0V9"/>',
  unlock: '<rect x="4" y="9" width="12" height="8" rx="1.5"/><path d="M6.5 9V6a3.5 3.5 0 0 1 6.8-1.2"/>',
  presets: '<path d="M2.5 16C5 16 5 5 10 5s4 6 7.5 6"/><circle cx="2.8" cy="16" r="1.3" fill="currentColor"/><circle cx="10" cy="5" r="1.3" fill="currentColor"/><circle cx="17.2" cy="11" r="1.3" fill="currentColor"/>',
  panel: '<path d="M3 5.500h8M15 5.500h2M3 14.500h2M9 14.500h8M3 10h5M12 10h5"/><circle cx="13" cy="5.5" r="1.8"/><circle cx="7" cy="14.5" r="1.8"/><circle cx="10" cy="10" r="1.8"/>',
  grow: '<path d="M12 3h5v5M8 17H3v-5M17 3l-5.5 5.500M3 17l5.5-5.5"/>',
  shrink: '<path d="M17 8h-5V3M3 12h5v5M12 8l5-5M8 12l-5 5"/>',
  help: '<circle cx="10" cy="10" r="7.5"/><path d="M7.8 7.800a2.3 2.3 0 1 1 3.3 2.100c-.8.4-1.1.9-1.1 1.6"/><circle cx="10" cy="14" r=".6" fill="currentColor"/>',
  warning: '<path d="M10 2.8 18.2 17H1.800Z"/><path d="M10 8v4"/><circle cx="10" cy="14.5" r=".6" fill="currentColor"/>',
  run: '<path d="M16.5 9.500A6.6 6.6 0 0 0 4.3 7M3.5 10.500A6.6 6.6 0 0 0 15.7 13"/><path d="M4 3v4.200h4.200M16 17v-4.200h-4.2"/>',
  target: '<circle cx="10" cy="10" r="6.5"/><circle cx="10" cy="10" r="2"/><path d="M10 1.500v3M10 15.500v3M1.5 10h3M15.5 10h3"/>',
  speed: '<path d="M3 15.500a8 8 0 1 1 14 0"/><path d="m10 12.5 3.5-5"/><circle cx="10" cy="12.5" r="1.2" fill="currentColor"/>',
  picture: '<rect x="2.5" y="4" width="15" height="12" rx="1.5"/><path d="m3 14 4.5-4.5 3 3 2.5-2.5 4 4"/><circle cx="13" cy="7.5" r="1.2"/>',
  close: '<path d="m5 5 10 10M15 5 5 15"/>',
  chevron: '<path d="m6 8 4 4 4-4"/>',
  box: '<path d="m10 2.5 6.5 3.700v7.600L10 17.500l-6.5-3.700V6.200ZM3.5 6.2 10 10l6.5-3.800M10 10v7.5"/>',
  brush: '<path d="M16.5 3.5 9 11M7.5 10.500l2 2c.3 2.5-2 4.5-6 4.5 1.5-1.2 1-2.5 1.5-4 .4-1.2 1.3-2 2.5-2.500Z"/>',
  hand: '<path d="M6 10V5.200a1.2 1.2 0 0 1 2.4 0V9M8.4 8.500V3.900a1.2 1.2 0 0 1 2.4 0V8.500M10.8 8.500V4.700a1.2 1.2 0 0 1 2.4 0V9.500M13.2 7.200a1.2 1.2 0 0 1 2.4 0V12c0 3-1.8 5.200-4.800 5.200-2.6 0-3.600-1-4.800-3L3.900 10.800c-.5-1 .9-1.900 1.700-.9L6.800 11.500"/>',
  lasso: '<path d="M10 3.500c4.100 0 7.200 1.900 7.200 4.400s-3.100 4.400-7.200 4.400-7.200-1.900-7.200-4.400S5.900 3.500 10 3.500Z" stroke-dasharray="2.600 2"/><path d="M7 12.300c-1.600.6-2.400 2.100-1.200 3.200 1.200 1 2.900-.6 1.600-2.600M6 15.600c.4 1 .2 1.800-.6 2.400"/>',
  subtract: '<path d="M4 10h12"/>',
  intersect: '<circle cx="7.500" cy="10" r="5"/><circle cx="12.500" cy="10" r="5"/><path d="M10 5.800a5 5 0 0 1 0 8.400 5 5 0 0 1 0-8.400Z" fill="currentColor" stroke="none"/>',
  clear: '<path d="M4 16h12M12.5 4 16 7.5 9.5 14H6.800L4 11.200Z"/>',
};

/**
 * @param {string} name
 * @returns {string} SVG source, hidden from screen readers: the control has the name
 */
export const icon = (name) =>
  `<svg viewBox="0 0 20 20" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${SHAPES[name]}</svg>`;
