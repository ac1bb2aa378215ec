/** The viewer's texts. */
import { EN } from "./strings_en.js";
import { JA } from "./strings_ja.js";
import { ZH } from "./strings_zh.js";

export const VIEWER_STRINGS = { en: EN, zh: ZH, ja: JA };
