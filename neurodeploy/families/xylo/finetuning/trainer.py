"""Training for Xylo, as fine-tuning asks of a chip family: its start, what is trained, and the integer forward pass."""

from neurodeploy.families.finetuning.traces import model_rows
from neurodeploy.families.xylo.finetuning.integer import IntegerNetwork
from neurodeploy.families.xylo.finetuning.start import start
from neurodeploy.families.xylo.finetuning.trainable import make_latents

__all__ = ["IntegerNetwork", "make_latents", "model_rows", "start"]
