"""AVTNet_YOLT ("you only look twice"): a coarse answer chooses a cell of ten seconds, a fine one a place within it."""

import torch
from torch import Tensor, nn

from models.avtnet import AudioVisualText, step_logits, weigh_steps
from models.layers import STEPS, in_float32
from models.losses import CELLS, CLIP_SECONDS, cell_of


class AVTNetYOLT(AudioVisualText):
    """The third network: returns {"coarse": (B, 1), "fine": (B, 1)}, a share of the clip and a share of the cell.

    Also returns {"steps": (B, 2, 200)}, each branch's evidence for each second.
    """

    def __init__(self, dropout: float = 0.3, **sizes):
        super().__init__(**sizes)
        self.step_dropout = nn.Dropout(dropout)
        self.coarse_head = nn.Conv1d(self.channels, 1, 1)
        self.fine_head = nn.Conv1d(self.channels, 1, 1)
        self.cell_head = nn.Linear(STEPS // CELLS, 1)
        if self.sharpness:   # initialised to read the place within the cell off the evidence, like the time head
            with torch.no_grad():
                self.cell_head.weight.copy_(step_logits(STEPS // CELLS)[None])
                self.cell_head.bias.zero_()

    def forward(self, mfcc: Tensor, frames: Tensor, text_roi: Tensor) -> dict[str, Tensor]:
        x = self.step_dropout(self.fuse(mfcc, frames, text_roi))
        steps = torch.cat([self.coarse_head(x), self.fine_head(x)], 1)            # (B, 2, 200)
        coarse = self.time_head(weigh_steps(steps[:, 0], self.sharpness))      # (B, 1)
        evidence = steps[:, 1].unflatten(1, (CELLS, STEPS // CELLS))              # (B, 20, 10)
        # Every cell's answer, (B, 20, 1).
        with in_float32(x):
            fine = self.cell_head(weigh_steps(evidence, self.sharpness).float()).sigmoid()
        index = cell_of(coarse).nan_to_num().long().unsqueeze(2)                  # (B, 1, 1); nan is no cell's index
        return {"coarse": coarse, "fine": torch.gather(fine, 1, index).squeeze(1), "steps": steps}

    @staticmethod
    def seconds(outputs: dict[str, Tensor]) -> Tensor:
        """The answer in seconds, (B,): (cell + fine) / 20 of the clip."""
        coarse, fine = outputs["coarse"].float(), outputs["fine"].float()
        return ((cell_of(coarse) + fine) / CELLS * CLIP_SECONDS).squeeze(1)
