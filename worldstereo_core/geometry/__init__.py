"""Cameras, poses, trajectories, depth, point clouds and their rendering. Frames and units: CONVENTIONS.md."""
