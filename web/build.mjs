/**
 * Build web/dist: the entry that ComfyUI imports at start, and the 3D views that it imports when needed.
 *
 *     npm ci && npm run build            (an output folder may follow: npm run build -- /tmp/dist)
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const outdir = process.argv[2] ?? join(here, "dist");
const shared = { bundle: true, format: "esm", target: "es2022", charset: "utf8", absWorkingDir: here };

// .mjs: ComfyUI imports every .js at start.
const views = join(outdir, "worldstereo_3d.mjs");
await build({ ...shared, entryPoints: ["src/bundle.js"], outfile: views, minify: true });

// Browsers keep .mjs files; the name of a changed one must differ.
const hash = createHash("sha256").update(await readFile(views)).digest("hex").slice(0, 12);
await build({
  ...shared,
  entryPoints: ["src/entry.js"],
  outfile: join(outdir, "worldstereo.js"),
  external: ["../../scripts/*"],
  define: { BUNDLE_HASH: JSON.stringify(hash) },
});
