"""Small WorldStereo models: procedural worlds to learn from, the stages of training and their loop."""
