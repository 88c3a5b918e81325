"""Parts of fine-tuning that a chip family brings: the start, trainable codes, and the integer forward pass."""

from neurodeploy.families.finetuning.traces import model_rows
from neurodeploy.families.loihi.finetuning.coded import LoihiStart
from neurodeploy.families.loihi.finetuning.integer import IntegerNetwork
from neurodeploy.families.loihi.finetuning.trainable import make_latents

start = LoihiStart.of

__all__ = ["IntegerNetwork", "make_latents", "model_rows", "start"]
