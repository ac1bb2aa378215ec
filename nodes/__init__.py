"""What ComfyUI sees: schemas, unpacking, one call into the core, packing. No tensor maths."""

from .camera import BuildTrajectory
from .camera_checks import CheckTrajectory, SuggestTrajectory
from .camera_edit import EditTrajectory
from .camera_files import LoadTrajectory, SaveTrajectory
from .camera_path import BuildPath, SamplePath
from .camera_waypoints import AddWaypoint, DrawPath, TakeCamera
from .clips import ListTrajectories, SaveClip
from .colours import AnchorColours
from .conditioning import EncodeClipVision, EncodeControl, EncodeFirstFrame, EncodeKeyframes, FitImage
from .controls import CarryMask, DrawCoverage, PickView, RenderControls
from .correspondence import ExportCorrespondences, MatchViews, WarpViews
from .early_look import LookEarly
from .example import DrawWorld, MakeNullContext
from .export import ExportPointCloud
from .export_world import ExportWorld
from .generate import ApplyControl, MakeSigmas, MakeUniPCSampler, SplitKeyframes
from .generate_clips import GenerateClips
from .loaders import ApplyWeights, LoadDepth, LoadModel, SaveMergedModel
from .memory import CreateMemory, InspectMemory, LoadMemory, SaveMemory
from .memory_change import RecolourMemory, TransformMemory
from .memory_cut import CropMemory, CropToView, DeleteUnderMask, RemoveClip
from .memory_pair import CompareMemories, MergeMemories
from .panorama import CreatePanoramaMemory, CropPanorama
from .path_editor import EditPath
from .render import RenderMemory, RetrieveReferences
from .update import UpdateMemory
from .world import BranchWorld, CleanWorld, DecideClip, LoadClip, OpenWorld
from .world_viewer import ViewMemory

NODES = (
    LoadModel,
    ApplyWeights,
    SaveMergedModel,
    LoadDepth,
    DrawWorld,
    BuildTrajectory,
    LoadTrajectory,
    SaveTrajectory,
    BuildPath,
    DrawPath,
    AddWaypoint,
    SamplePath,
    EditPath,
    EditTrajectory,
    CheckTrajectory,
    SuggestTrajectory,
    TakeCamera,
    CreateMemory,
    CreatePanoramaMemory,
    CropPanorama,
    RenderMemory,
    RetrieveReferences,
    UpdateMemory,
    InspectMemory,
    ViewMemory,
    SaveMemory,
    LoadMemory,
    PickView,
    CropMemory,
    CropToView,
    DeleteUnderMask,
    RemoveClip,
    TransformMemory,
    RecolourMemory,
    MergeMemories,
    CompareMemories,
    DrawCoverage,
    RenderControls,
    CarryMask,
    FitImage,
    EncodeClipVision,
    MakeNullContext,
    EncodeFirstFrame,
    EncodeKeyframes,
    EncodeControl,
    ApplyControl,
    MakeSigmas,
    MakeUniPCSampler,
    LookEarly,
    SplitKeyframes,
    ExportPointCloud,
    ExportWorld,
    WarpViews,
    MatchViews,
    ExportCorrespondences,
    ListTrajectories,
    OpenWorld,
    GenerateClips,
    DecideClip,
    BranchWorld,
    LoadClip,
    SaveClip,
    CleanWorld,
    AnchorColours,
)
