/** The 3D views, loaded when the first one comes into sight. */
export { createPathEditor } from "./editor/path_editor.js";
export { createWorldViewer } from "./viewer/world_viewer.js";
