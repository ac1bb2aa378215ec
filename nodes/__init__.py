"""What ComfyUI sees: schemas, unpacking, one call into the core, packing. No tensor maths."""

from .camera import BuildTrajectory
from .camera_files import LoadTrajectory, SaveTrajectory
from .conditioning import EncodeClipVision, EncodeControl, EncodeFirstFrame, EncodeKeyframes, FitImage
from .early_look import LookEarly
from .export import ExportPointCloud
from .generate import ApplyControl, MakeSigmas, MakeUniPCSampler, SplitKeyframes
from .loaders import LoadDepth, LoadModel
from .memory import CreateMemory, InspectMemory, LoadMemory, SaveMemory, UpdateMemory
from .render import RenderMemory, RetrieveReferences

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
    EncodeKeyframes,
    EncodeControl,
    ApplyControl,
    MakeSigmas,
    MakeUniPCSampler,
    LookEarly,
    SplitKeyframes,
    ExportPointCloud,
)
