"""Socket types that ComfyUI's API does not name itself, and what travels on each."""

from __future__ import annotations

from comfy_api.latest import io

# geometry.trajectory.Trajectory: one camera per frame, image size, fps, name, source.
TrajectorySocket = io.Custom("WORLDSTEREO_TRAJECTORY")
# geometry.camera_path.CameraPath: waypoints that are not sampled yet.
PathSocket = io.Custom("WORLDSTEREO_PATH")
# memory.memory.GeometricMemory: global points and the bank of views.
MemorySocket = io.Custom("WORLDSTEREO_MEMORY")
# geometry.selection.WorldSelection: boxes and strokes that mean a part of the world.
SelectionSocket = io.Custom("WORLDSTEREO_SELECTION")
# memory.retrieval.References: chosen views with their slots, cameras and scores.
ReferencesSocket = io.Custom("WORLDSTEREO_REFERENCES")
# adapters.comfy: model.condition.ControlCondition with its size and frame count.
ConditionSocket = io.Custom("WORLDSTEREO_CONDITION")
# world.world.World: a world folder as it was when it was read.
WorldSocket = io.Custom("WORLDSTEREO_WORLD")
# tuple of Trajectory, in the order in which their clips are made.
TrajectoriesSocket = io.Custom("WORLDSTEREO_TRAJECTORIES")

# Core's depth estimators; dicts described in comfy_extras/nodes_moge.py and nodes_depth_anything_3.py.
MogeGeometrySocket = io.Custom("MOGE_GEOMETRY")
Da3GeometrySocket = io.Custom("DA3_GEOMETRY")
MogeModelSocket = io.Custom("MOGE_MODEL")
