/** Texts of the 3D views in the frontend's language; English where a language lacks one. */

/**
 * @param {string} locale of the frontend, e.g. "en", "zh", "zh-TW", "ja"
 * @param {Record<string, Record<string, string>>} tables language -> key -> text, with {names} to fill
 * @returns {(key: string, values?: Record<string, unknown>) => string}
 */
export function makeTranslator(locale, tables) {
  const language = tables[locale] ?? tables[locale.split("-")[0]] ?? {};
  return (key, values = {}) => {
    const text = language[key] ?? tables.en[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  };
}
