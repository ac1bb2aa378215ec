"""Procedural worlds: rooms, streets and landscapes from a seed, drawn by casting rays with exact geometry."""
