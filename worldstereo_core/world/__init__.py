"""World folders: a memory and its clips on disk, one clip after the other, decided on by the artist."""
