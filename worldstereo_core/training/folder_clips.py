"""Clips of real scenes: windows of posed pictures, with what a memory of the earlier ones would know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from ..checks import WorldStereoError
from ..sizes import select_keyframes
from .posed_folders import PosedFolder, read_posed_folder
from .world_clips import Source, WorldClips, WorldScene

_read_folder = lru_cache(maxsize=8)(read_posed_folder)


@dataclass(frozen=True)
class FolderClips(WorldClips):
    """Clips of folders of posed RGB-D; ``first_world`` and ``clips_per_world`` do nothing here.

    A folder of N frames gives consecutive windows, which share their end frames. Each is known by the frames
    kept of those before it. One more, the first window played backwards, comes back to what was seen.

    Attributes:
        folders: one scene each, see ``posed_folders.read_posed_folder``.
        step: take every such frame; slow footage needs larger steps.
        depth_scale: what depth is multiplied by to be in the unit of the poses.
    """

    folders: tuple[str, ...] = ()
    step: int = 1
    depth_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "folders", tuple(self.folders))
        if not self.folders:
            raise WorldStereoError("folders: got none, expected at least one folder of posed pictures.")
        if self.step < 1:
            raise WorldStereoError(f"step: got {self.step}, expected 1 or more.")
        for folder in self.folders:
            self._num_windows(self._folder(folder))

    def __len__(self) -> int:
        return sum(self._num_clips(self._folder(folder)) for folder in self.folders)

    def scene(self, index: int) -> WorldScene:
        """Clip ``index`` of all, folder after folder. Raises: IndexError past the end."""
        number = range(len(self))[index]
        for name in self.folders:
            folder = self._folder(name)
            if number < self._num_clips(folder):
                return self._window(folder, number, index)
            number -= self._num_clips(folder)
        raise AssertionError("the length counts every folder's clips")

    def _folder(self, name: str) -> PosedFolder:
        return _read_folder(name, depth_scale=self.depth_scale)

    def _num_windows(self, folder: PosedFolder) -> int:
        count = (len(folder) - 1) // ((self.frames - 1) * self.step)
        if count < 1:
            raise WorldStereoError(
                f"{folder.folder}: holds {len(folder)} frames, expected at least "
                f"{(self.frames - 1) * self.step + 1} for clips of {self.frames} frames, every {self.step}. "
                "Ask for fewer frames or a smaller step, or add pictures."
            )
        return count

    def _num_clips(self, folder: PosedFolder) -> int:
        windows = self._num_windows(folder)
        return windows + (windows > 1)

    def _frames_of(self, window: int) -> list[int]:
        length = (self.frames - 1) * self.step
        return list(range(window * length, (window + 1) * length + 1, self.step))

    def _window(self, folder: PosedFolder, number: int, seed: int) -> WorldScene:
        windows = self._num_windows(folder)
        is_return = number == windows
        target = self._frames_of(0)[::-1] if is_return else self._frames_of(number)
        cameras, images, depths = folder.read(target, self.height, self.width)
        sources = [Source(cameras[:1], images[:1], depths[:1])]
        for earlier in range(number):
            frames = self._frames_of(earlier)
            kept = [frames[i] for i in select_keyframes(self.frames, min(self.kept_frames, self.frames))]
            sources.append(Source(*folder.read(kept, self.height, self.width)))
        memory = self._memory(sources, torch.Generator().manual_seed(seed))
        return WorldScene("folder", cameras, images, depths, tuple(sources), memory)
