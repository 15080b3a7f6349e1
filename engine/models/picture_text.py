"""What models share that read a picture and a whole sentence together: ViLT and BLIP."""

from __future__ import annotations

from torch import Tensor, nn

from engine.errors import EngineError
from engine.models.adapter import Adapter, Batch, Inputs
from engine.models.pixel_mask import checked_mask
from engine.models.questions import check_ids, question_batch
from engine.models.timm_vit import image_tensor
from engine.models.tokens import TextTokenizer


class PictureTextAdapter(Adapter):
    """A picture and a text; texts of a batch are padded to the longest, with a mask."""

    library = "transformers"
    modalities = ("image", "text")

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """``{"image": [B, 3, H, W], "text": texts or ids, "pixel_mask": [B, H, W] (1 = picture)}``.

        Raises:
            EngineError: something is missing, or texts and pictures differ in number.
        """
        name = type(model).__name__
        if isinstance(inputs, Tensor):
            raise EngineError(f"{name} needs {{'image': images, 'text': texts}}, not one tensor")
        images = image_tensor(model, inputs)
        batch = question_batch(inputs, tokenizer, images.device)
        check_ids(batch["text"], self.text_limits(model))
        if len(batch["text"]) != len(images):
            texts = len(batch["text"])
            raise EngineError(f"{len(images)} images but {texts} texts: row i of both must belong together")
        batch["image"] = images
        mask = checked_mask(inputs.get("pixel_mask"), images)
        return batch if mask is None else {**batch, "pixel_mask": mask}
