"""A small transformer that learns to write a made language, character by character."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from kladml import Experiment, register

SYLLABLES = ("ba", "ko", "ri", "tu", "ne", "la", "mi", "so")


class Windows(Dataset):
    def __init__(self, text, length):
        self.letters = sorted(set(text))
        self.codes = torch.tensor([self.letters.index(letter) for letter in text])
        self.length = length

    def __len__(self):
        return (len(self.codes) - 1) // self.length

    def __getitem__(self, index):
        window = self.codes[index * self.length : (index + 1) * self.length + 1]
        return window[:-1], window[1:]


class Transformer(nn.Module):
    def __init__(self, letters, length, width):
        super().__init__()
        self.embed = nn.Embedding(letters, width)
        self.place = nn.Parameter(torch.randn(length, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.1, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, letters, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length), persistent=False)

    def forward(self, codes):
        return self.head(self.body(self.embed(codes) + self.place, mask=self.mask, is_causal=True))


@register("chars")
class Chars(Experiment):
    @dataclass
    class Hyperparams:
        epochs: int = 3
        lr: float = 3e-3
        width: int = 16
        length: int = 24
        batch_size: int = 8
        accumulate: int = 3

    def setup(self):
        hyper = self.hyperparams
        data = Windows(made_text(2400), hyper.length)
        train, self.held_out = torch.utils.data.random_split(data, [len(data) - 16, 16])
        self.train = DataLoader(train, hyper.batch_size, shuffle=True)
        self.model = Transformer(len(data.letters), hyper.length, hyper.width).to(self.device)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        decayed = [one for one in self.model.parameters() if one.ndim > 1]
        groups = [{"params": decayed}, {"params": [one for one in self.model.parameters() if one.ndim < 2], "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, hyper.lr)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda update: min(1.0, (update + 1) / 5))

    def train_epoch(self, epoch):
        self.model.train()
        for codes, following in self.steps(self.train, accumulate=self.hyperparams.accumulate):
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                scores = self.model(codes.to(self.device))
                loss = cross_entropy(scores.flatten(0, 1), following.to(self.device).flatten())
            (loss / self.hyperparams.accumulate).backward()
            self.mean("loss", loss, weight=len(codes))
            if self.completes_group:
                self.update()

    def update(self):
        self.log_metric("norm", nn.utils.clip_grad_norm_(self.model.parameters(), 1.0))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        self.log_metric("lr", self.schedule.get_last_lr()[0])
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.model.parameters(), strict=True):
                slow.lerp_(fast, 0.1)

    @torch.no_grad()
    def evaluate(self):
        codes, following = (torch.stack(part).to(self.device) for part in zip(*self.held_out, strict=True))
        return {"loss": cross_entropy(self.average(codes).flatten(0, 1), following.flatten())}


def made_text(length):
    picks = torch.randint(len(SYLLABLES), (length // 2,), generator=torch.Generator().manual_seed(11)).tolist()
    return "".join(SYLLABLES[pick] + (" " if at % 3 == 2 else "") for at, pick in enumerate(picks))[:length]
