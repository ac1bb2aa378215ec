"""Small WorldStereo models: procedural worlds to learn from, the stages of training, the loop that runs them."""
