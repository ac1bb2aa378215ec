/** What ComfyUI's frontend offers at run time, and what the build fills in. */
declare module "*/scripts/app.js" {
  export const app: any;
}
declare module "*/scripts/api.js" {
  export const api: any;
}
declare const BUNDLE_HASH: string;
interface Window {
  worldstereo3d: { alive: Set<any>; hostsOf: (node: any) => any[]; bundle: string };
}
