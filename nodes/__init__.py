"""What ComfyUI sees: schemas, unpacking, one call into the core, packing. No tensor maths."""

from .camera import BuildTrajectory
from .camera_files import LoadTrajectory, SaveTrajectory
from .conditioning import EncodeClipVision, EncodeControl, EncodeFirstFrame, FitImage
from .controls import CarryMask, DrawCoverage, PickView, RenderControls
from .export import ExportPointCloud
from .generate import ApplyControl, MakeSigmas, MakeUniPCSampler, SplitKeyframes
from .loaders import LoadDepth, LoadModel
from .memory import CreateMemory, InspectMemory, LoadMemory, SaveMemory
from .memory_change import RecolourMemory, TransformMemory
from .memory_cut import CropMemory, CropToView, DeleteUnderMask, RemoveClip
from .memory_pair import CompareMemories, MergeMemories
from .panorama import CreatePanoramaMemory, CropPanorama
from .render import RenderMemory, RetrieveReferences
from .update import UpdateMemory

NODES = (
    LoadModel,
    LoadDepth,
    BuildTrajectory,
    LoadTrajectory,
    SaveTrajectory,
    CreateMemory,
    CreatePanoramaMemory,
    CropPanorama,
    RenderMemory,
    RetrieveReferences,
    UpdateMemory,
    InspectMemory,
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
    EncodeFirstFrame,
    EncodeControl,
    ApplyControl,
    MakeSigmas,
    MakeUniPCSampler,
    SplitKeyframes,
    ExportPointCloud,
)
