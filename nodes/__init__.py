"""What ComfyUI sees: schemas, unpacking, one call into the core, packing. No tensor maths."""

from .camera import BuildTrajectory
from .camera_files import LoadTrajectory, SaveTrajectory
from .conditioning import EncodeClipVision, EncodeControl, EncodeFirstFrame, FitImage
from .export import ExportPointCloud
from .generate import ApplyControl, MakeSigmas, MakeUniPCSampler, SplitKeyframes
from .loaders import ApplyWeights, LoadDepth, LoadModel, SaveMergedModel
from .memory import CreateMemory, InspectMemory, LoadMemory, SaveMemory, UpdateMemory
from .render import RenderMemory, RetrieveReferences

NODES = (
    LoadModel,
    ApplyWeights,
    SaveMergedModel,
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
)
