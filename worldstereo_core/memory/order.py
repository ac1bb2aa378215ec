"""Scene folders in the released layout: order of trajectories, names of bank views, and retrieval shortcuts.

The bank grows along this order, so it decides which views a later trajectory can see again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..geometry.cameras import Cameras

VIEW_ORDER = ("traj2", "traj0", "traj1")
RECONSTRUCTION_ORDER = ("traj_eloop", "traj_up", "traj_right", "traj_left")
# Every how many cameras one is used when a trajectory has more frames than the model.
DECIMATION = 4
# Target frames that choose freely although there are shortcuts (aerial); those that alone use one (regular).
_FREE_AERIAL_FRAMES = frozenset({4, 8, 12, 16})
_SHORTCUT_REGULAR_FRAMES = frozenset({1, 2, 3, 5, 7, 9, 13, 17})


def sort_trajectories(trajectories: Iterable[str], valid_views: Mapping[str, str] | None = None) -> list[str]:
    """Order the trajectories of a panorama scene as the released code walks through them.

    Args:
        trajectories: ``"view/trajectory"`` names; hyphens in the view become underscores.
        valid_views: of the views named here only those with ``"yes"`` are kept.

    Returns:
        Perspective views first (trajectory 2, 0, 1 of each), then targets, the first half of reconstructions,
        wonders, and last the second half of reconstructions. Names compare as text, so view10 precedes view2.
        Trajectories that belong to none of these are left out.
    """
    known = sorted((folder_name(name), name.rsplit("/", 1)[1]) for name in trajectories)
    rejected = {view for view, valid in (valid_views or {}).items() if valid != "yes"}

    def matching(prefix: str, accept: Callable[[str], bool]) -> list[str]:
        return [f"{view}/{name}" for view, name in known if view.startswith(prefix) and accept(name)]

    perspective = sorted(
        (view, VIEW_ORDER.index(name))
        for view, name in known
        if view.startswith("view") and name in VIEW_ORDER and view not in rejected
    )
    return [
        *(f"{view}/{VIEW_ORDER[rank]}" for view, rank in perspective),
        *matching("target", lambda name: name.startswith("traj")),
        *matching("reconstruct", lambda name: name == "traj0"),
        *matching("wonder", lambda name: name.startswith("traj")),
        *matching("reconstruct", lambda name: name == "traj1"),
    ]


def folder_name(trajectory: str) -> str:
    """Folder of the view of a ``"view/trajectory"`` name: hyphens become underscores, for they join names."""
    return trajectory.rsplit("/", 1)[0].replace("-", "_")


def sort_reconstruction_trajectories(names: Iterable[str]) -> list[str]:
    """Order the trajectories of a reconstruction scene; names unknown to it are left out."""
    present = set(names)
    return [name for name in RECONSTRUCTION_ORDER if name in present]


def decimate_cameras(cameras: Cameras, num_keyframes: int) -> Cameras:
    """Every fourth camera of a trajectory longer than ``num_keyframes``, else the trajectory as it is."""
    return cameras[::DECIMATION] if cameras.num_frames > num_keyframes else cameras


def view_name(view: str, trajectory: str, frame: int) -> str:
    """Bank name of a generated frame, e.g. ``"view0/traj2/0003"``."""
    return f"{view}/{trajectory}/{frame:04d}"


def trajectory_shortcuts(
    bank_names: Sequence[str], view: str, trajectory: str, num_frames: int
) -> list[int | None]:
    """Bank views that the released code prefers for a trajectory, one entry per target frame 1..T-1.

    A trajectory which retraces the ground of an earlier one of the same view prefers that one's frames: the
    second trajectories of targets and wonders ("aerial"), the sideways ones of perspective views ("regular").

    Args:
        bank_names: names of the bank's views in order.
        num_frames: target frames T.

    Returns: bank indices or None, ready for ``retrieve_references``; all None where there is no earlier one.
    """

    def shown_by(earlier: str) -> list[int]:
        prefix = f"{view}/{earlier}"
        return [index for index, name in enumerate(bank_names) if name.startswith(prefix)]

    if ("wonder" in view or "target" in view) and trajectory > "traj0":
        candidates, uses = shown_by("traj0")[3::2], lambda frame: frame not in _FREE_AERIAL_FRAMES
    elif "view" in view and trajectory in ("traj0", "traj1"):
        earlier = shown_by("traj2")
        if trajectory == "traj1":
            earlier = earlier[: len(earlier) // 2]
        candidates, uses = earlier[3::2], lambda frame: frame in _SHORTCUT_REGULAR_FRAMES
    else:
        return [None] * (num_frames - 1)
    return [
        candidates[int(frame / num_frames * len(candidates))] if candidates and uses(frame) else None
        for frame in range(1, num_frames)
    ]
