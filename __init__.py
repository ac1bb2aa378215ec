"""ComfyUI-WorldStereo: one picture, a camera path, consistent clips and a 3D world.

Nothing is imported at module level, so that test runners may import this folder as a package.
"""

WEB_DIRECTORY = "./web/dist"


async def comfy_entrypoint():
    """Register the model folder and hand ComfyUI the list of nodes."""
    from .worldstereo_core.adapters.comfy.needed_api import check_comfyui

    # First: a node file that meets a missing name could only say AttributeError.
    check_comfyui()

    from comfy_api.latest import ComfyExtension

    from .nodes import NODES
    from .nodes.replacements import register_replacements
    from .worldstereo_core.adapters.comfy.loader import register_model_folder

    register_model_folder()

    class WorldStereoExtension(ComfyExtension):
        async def on_load(self):
            await register_replacements()

        async def get_node_list(self):
            return list(NODES)

    return WorldStereoExtension()
