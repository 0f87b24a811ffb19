"""A language model of byte pairs learns to write the sources of Python's standard library (needs tokenizers).

python examples/stdlib_bpe.py [STEPS]

Whole files are held out. The measure is bits per byte, which means the same for every tokenizer: what the file would
take, compressed by the model. Counting single tokens, or pairs, is what it has to beat.
"""

import math
import sys

import numpy as np

import gdengine as gd
from gdengine import optim
from gdengine.data import Bigram, BPETokenizer, Unigram, Windows, batched, read_documents, split_files, unseen_windows
from gdengine.functional import cross_entropy
from gdengine.models import GPT, GPTConfig

TIME, BATCH, VOCABULARY = 64, 16, 1024

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
gd.manual_seed(0)
documents = read_documents("stdlib")
documents = documents[:: max(1, 900 // steps)]  # a short run learns from, and is measured on, fewer files
kept = split_files([d.name for d in documents], [len(d.text) for d in documents], 0.1)
learned = [d.text for d, held_out in zip(documents, kept, strict=True) if not held_out]
measured = [d.text for d, held_out in zip(documents, kept, strict=True) if held_out]
tokenizer = BPETokenizer.train(learned, VOCABULARY)
train, test = (np.concatenate([tokenizer.encode(text) for text in texts]) for texts in (learned, measured))
windows = unseen_windows(test, train, TIME, limit=200)
x, y = windows[:, :-1], windows[:, 1:]
bits = y.size / tokenizer.lengths()[y].sum() / math.log(2)  # per byte, of a nat per token
print(f"{len(learned)} files, {len(train):,} tokens of {tokenizer.vocab_size}; {len(measured)} files held out")

model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, block_size=TIME, n_layer=4, n_head=4, n_embd=128))
lr = optim.warmup_cosine(peak=4e-3, warmup=min(100, steps // 4), total=steps)
opt = optim.AdamW(model.named_parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.1, clip_norm=1.0)
for step, (inputs, targets) in zip(range(steps), Windows(train, TIME, BATCH, seed=0), strict=False):
    loss = cross_entropy(model(inputs), targets)
    loss.backward()
    opt.step()
    if step % 200 == 0 or step == steps - 1:
        print(f"step {step:4d}  loss {loss.item():.3f} nats a token")

with gd.no_grad():
    total = sum(cross_entropy(model(a), b, reduction="sum").item() for a, b in batched(windows, 50))
print(f"held out: unigram {Unigram(train, tokenizer.vocab_size).loss(y) * bits:.3f} bits per byte")
print(f"held out: bigram {Bigram(train, tokenizer.vocab_size).loss(x, y) * bits:.3f} bits per byte")
print(f"held out: model {total / y.size * bits:.3f} bits per byte")
print(tokenizer.decode(model.generate(tokenizer.encode("def ")[None], 100, temperature=0.8)[0]))
