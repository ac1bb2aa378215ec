"""What ComfyUI sees: schemas, unpacking, one call into the core, packing. No tensor maths."""

from .camera import BuildTrajectory
from .camera_files import LoadTrajectory, SaveTrajectory
from .clips import ListTrajectories, SaveClip
from .colours import AnchorColours
from .conditioning import EncodeClipVision, EncodeControl, EncodeFirstFrame, FitImage
from .export import ExportPointCloud
from .generate import ApplyControl, MakeSigmas, MakeUniPCSampler, SplitKeyframes
from .generate_clips import GenerateClips
from .loaders import LoadDepth, LoadModel
from .memory import CreateMemory, InspectMemory, LoadMemory, SaveMemory, UpdateMemory
from .render import RenderMemory, RetrieveReferences
from .world import BranchWorld, CleanWorld, DecideClip, LoadClip, OpenWorld

NODES = (
    LoadModel,
    LoadDepth,
    BuildTrajectory,
    LoadTrajectory,
    SaveTrajectory,
    CreateMemory,
    RenderMemory,
    RetrieveReferences,
    UpdateMemory,
    InspectMemory,
    SaveMemory,
    LoadMemory,
    FitImage,
    EncodeClipVision,
    EncodeFirstFrame,
    EncodeControl,
    ApplyControl,
    MakeSigmas,
    MakeUniPCSampler,
    SplitKeyframes,
    ExportPointCloud,
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
