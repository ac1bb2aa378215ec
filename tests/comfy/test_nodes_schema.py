"""Every node is offered by the server, and its schema agrees with its code and its help page."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

HELP = Path(__file__).resolve().parents[2] / "web" / "dist" / "docs"

# The permanent contract: ids and input names of saved workflows. Add inputs at the end; never rename.
INPUTS = {
    "WorldStereo_LoadModel": "backbone worldstereo weight_dtype variant reference_update",
    "WorldStereo_ApplyWeights": "model worldstereo weights variant reference_update",
    "WorldStereo_SaveMergedModel": "backbone worldstereo dtype save_control filename_prefix variant "
    "reference_update",
    "WorldStereo_LoadDepth": "file scale kind fov_deg",
    "WorldStereo_DrawWorld": "world kind width height trajectory",
    "WorldStereo_BuildTrajectory": "preset amount_deg distance easing frames focal_end width height memory "
    "continue_from fov_deg fps unit",
    "WorldStereo_LoadTrajectory": "file frames width height fps sensor_width_mm up_axis unit_scale fit",
    "WorldStereo_SaveTrajectory": "trajectory filename_prefix format sensor_width_mm up_axis unit_scale "
    "first_frame",
    "WorldStereo_BuildPath": "waypoints interpolation speed closed trajectory waypoint_count memory",
    "WorldStereo_DrawPath": "memory line place reach height look start_at_picture max_waypoints",
    "WorldStereo_AddWaypoint": "camera_info duration easing roll_deg path memory from_input_picture viewer",
    "WorldStereo_SamplePath": "path frames easing start look_at distances width height memory continue_from",
    "WorldStereo_EditPath": "memory path continue_from camera_path frames easing height width",
    "WorldStereo_EditTrajectory": "trajectory operation memory",
    "WorldStereo_CheckTrajectory": "memory trajectory frames max_holes clearance on_warning first_frame "
    "radius points_per_pixel min_confidence max_turn_deg max_travel",
    "WorldStereo_SuggestTrajectory": "memory rank moves frames easing max_holes clearance continue_from "
    "max_turn_deg max_travel",
    "WorldStereo_TakeCamera": "trajectory frame viewer memory",
    "WorldStereo_CreateMemory": "image geometry fov_deg edge_threshold far_contraction sky edge_mode "
    "depth_kind",
    "WorldStereo_CreatePanoramaMemory": "image geometry views width height fov_deg edge_threshold "
    "far_contraction sky density",
    "WorldStereo_CropPanorama": "image yaw_deg pitch_deg fov_deg width height",
    "WorldStereo_RenderMemory": "memory trajectory radius points_per_pixel min_confidence first_frame "
    "uncertain_below uncertain_softness size",
    "WorldStereo_RetrieveReferences": "memory trajectory max_references method frames",
    "WorldStereo_UpdateMemory": "memory images trajectory keep_frames clip_name geometry alignment "
    "fusion sky min_confidence cell_size carving edge_threshold percentile depth_kind radius",
    "WorldStereo_InspectMemory": "memory",
    "WorldStereo_ViewMemory": "memory view_state",
    "WorldStereo_SaveMemory": "memory filename_prefix",
    "WorldStereo_LoadMemory": "file",
    "WorldStereo_PickView": "memory view",
    "WorldStereo_CropMemory": "memory shape keep right down forward width height length radius trajectory "
    "frame unit selection views",
    "WorldStereo_CropToView": "memory trajectory frame keep near far unit",
    "WorldStereo_DeleteUnderMask": "memory mask trajectory frame reach views depth_tolerance radius "
    "selection",
    "WorldStereo_RemoveClip": "memory clip",
    "WorldStereo_TransformMemory": "memory right down forward yaw_deg pitch_deg roll_deg scale pivot unit "
    "trajectory selection",
    "WorldStereo_RecolourMemory": "memory reference strength clips selection",
    "WorldStereo_MergeMemories": "first second align numbers merge_within first_view second_view unit views",
    "WorldStereo_CompareMemories": "before after tolerance trajectory unit",
    "WorldStereo_DrawCoverage": "memory trajectory depth_tolerance radius",
    "WorldStereo_RenderControls": "memory trajectory depth_style edges_from low_threshold high_threshold "
    "close_gaps clip radius points_per_pixel",
    "WorldStereo_CarryMask": "memory mask painted_on trajectory frame reach depth_tolerance radius",
    "WorldStereo_FitImage": "image resolution fit scale",
    "WorldStereo_EncodeClipVision": "clip_vision image preprocessing",
    "WorldStereo_MakeNullContext": "",
    "WorldStereo_EncodeFirstFrame": "positive negative vae image frames mode clip_vision_output start_latent",
    "WorldStereo_EncodeKeyframes": "images vae frames tiled",
    "WorldStereo_EncodeControl": "control vae trajectory render holes frames references tiled "
    "hole_threshold hole_softness memory start_latent edges semantic",
    "WorldStereo_ApplyControl": "model control condition strength start_percent end_percent early middle "
    "late reference_strength reference_radius modulation global_vector pictures warped_references geometry "
    "attention parts_start parts_end",
    "WorldStereo_MakeSigmas": "schedule steps shift start control denoise",
    "WorldStereo_MakeUniPCSampler": "order official_timesteps",
    "WorldStereo_LookEarly": "model positive negative latent vae seed steps size cfg",
    "WorldStereo_EnlargeClip": "latent vae larger sigmas start_level first_frame tiled",
    "WorldStereo_SplitKeyframes": "latent",
    "WorldStereo_WarpViews": "memory trajectory max_views sharpness tolerance radius references",
    "WorldStereo_MatchViews": "memory first second style lines tolerance",
    "WorldStereo_ExportCorrespondences": "memory filename_prefix max_points min_views model tolerance",
    "WorldStereo_ExportPointCloud": "memory up_axis colours min_confidence filename_prefix",
    "WorldStereo_ExportWorld": "memory target name if_exists min_confidence metres_per_unit trajectory "
    "images pictures fps depth splat_size confidence",
    "WorldStereo_ListTrajectories": "trajectories",
    "WorldStereo_OpenWorld": "name memory",
    "WorldStereo_GenerateClips": "world trajectories model control vae positive negative sampler sigmas cfg "
    "seed frames mode clip_vision moge_model if_changed colour_anchor reuse_latents strength "
    "reference_strength max_references keep_frames radius points_per_pixel alignment "
    "retrieval",
    "WorldStereo_DecideClip": "world clips decision",
    "WorldStereo_BranchWorld": "world name last_clip",
    "WorldStereo_LoadClip": "world clip",
    "WorldStereo_SaveClip": "world memory images trajectory latent geometry seed report made_with",
    "WorldStereo_CleanWorld": "world action",
    "WorldStereo_AnchorColours": "images render holes strength latent vae",
}


@pytest.fixture
def schemas(run_in_comfy):
    return run_in_comfy("node_checks.py", "schemas")


def test_the_ids_and_inputs_are_those_promised(schemas):
    found = {node: " ".join(entry["id"] for entry in facts["inputs"]) for node, facts in schemas.items()}
    assert found == INPUTS


def test_every_input_and_output_has_a_tooltip(schemas):
    silent = [
        f"{node}.{entry['id']}"
        for node, facts in schemas.items()
        for entry in [*facts["inputs"], *facts["outputs"]]
        if not entry["tooltip"]
    ]
    assert silent == []


def test_every_node_says_what_it_does_and_can_be_searched(schemas):
    for node, facts in schemas.items():
        assert facts["description"].endswith("."), node
        assert facts["search_aliases"], node
        assert facts["category"].split("/")[0] == "WorldStereo", node
        assert facts["category"].split("/")[1] in ("loaders", "camera", "memory", "generate", "export"), node


def test_inputs_are_the_parameters_of_execute(schemas):
    for node, facts in schemas.items():
        assert {entry["id"] for entry in facts["inputs"]} == set(facts["parameters"]), node


def test_defaults_are_the_same_in_schema_and_python(schemas):
    for node, facts in schemas.items():
        for entry in facts["inputs"]:
            parameter = facts["parameters"][entry["id"]]
            if entry["has_default"] and not (node == "WorldStereo_LoadModel" and entry["id"] == "backbone"):
                assert parameter == {"default": entry["default"]}, f"{node}.{entry['id']}"
            elif entry["optional"]:
                assert parameter == {"default": None}, f"{node}.{entry['id']}"


def test_optional_inputs_come_last(schemas):
    for node, facts in schemas.items():
        optional = [entry["optional"] for entry in facts["inputs"]]
        assert optional == sorted(optional), node


def test_every_node_has_a_help_page(schemas):
    pages = {path.stem for path in HELP.glob("*.md")}
    assert pages == set(schemas)
    for node, facts in schemas.items():
        text = (HELP / f"{node}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {facts['display_name']}\n"), node


def test_the_server_offers_every_node_with_its_help(comfy_server):
    offered = comfy_server.object_info()
    assert set(INPUTS) <= set(offered)
    for node in INPUTS:
        page = f"{comfy_server.url}/extensions/ComfyUI-WorldStereo/docs/{node}.md"
        with urllib.request.urlopen(page, timeout=30) as answer:
            assert answer.read().startswith(b"# "), node
