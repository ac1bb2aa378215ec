/** What ComfyUI's frontend loads at start: the texts on nodes and the widgets; 3D follows when one is in sight. */
import "./node_text.js";
import "./widget_host.js";
