"""The stages of compiling that are Loihi's own: inputs, losses, changes and cautions."""
