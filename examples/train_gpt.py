"""Train a small GPT on Python's own documentation, the loop written out: python examples/train_gpt.py [STEPS]"""

import sys

import gdengine as gd
from gdengine import optim
from gdengine.data import CharTokenizer, Windows, python_docs
from gdengine.functional import cross_entropy
from gdengine.models import GPT, GPTConfig

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 500
gd.manual_seed(0)
text = python_docs()
tokenizer = CharTokenizer.from_text(text)
loader = Windows(tokenizer.encode(text), block_size=64, batch_size=12, seed=0)
model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, block_size=64, n_layer=4, n_head=4, n_embd=128))
model.to("cuda" if gd.cuda.is_available() else "cpu")
lr = optim.warmup_cosine(peak=1e-3, warmup=steps // 10, total=steps)
opt = optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.1, clip_norm=1.0)
for step, (x, y) in zip(range(steps), loader, strict=False):
    loss = cross_entropy(model(x), y)
    loss.backward()
    opt.step()
    if step % 50 == 0 or step == steps - 1:
        print(f"step {step:4d}  loss {loss.item():.3f}  lr {opt.lr:.1e}  |gradient| {opt.grad_norm:.2f}")
prompt = tokenizer.encode("The ")[None]
print(tokenizer.decode(model.generate(prompt, 300, temperature=0.8)[0]))
