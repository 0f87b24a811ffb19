"""A small convolutional network reads handwritten digits, shifted a little at random while it learns (needs
scikit-learn): python examples/digits_convnet.py [EPOCHS]"""

import sys

import gdengine as gd
from gdengine import nn, optim
from gdengine.data import Batches, Prefetch, augment, digits
from gdengine.functional import cross_entropy

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 25
gd.manual_seed(0)
train, test = digits()
batches = Batches((train.x, train.y), batch_size=64, seed=0, drop_last=True, augment=[augment.RandomShift(1)])
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),  # 4×4
    nn.Conv2d(32, 64, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),  # 2×2
    nn.Flatten(),
    nn.Linear(256, 10),
)
total = epochs * batches.batches_per_epoch
opt = optim.AdamW(model.parameters(), lr=optim.warmup_cosine(peak=3e-3, warmup=total // 20, total=total))
with Prefetch(batches, 4) as loader:
    for step in range(total):
        x, y = next(loader)
        loss = cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        if step % 100 == 99 or step == total - 1:
            print(f"step {step + 1:4d} of {total}  loss {loss.item():.4f}")
model.eval()
with gd.no_grad():
    right = model(test.x).numpy().argmax(axis=1) == test.y
print(f"test accuracy {right.mean():.4f} ({right.sum()} of {len(right)} digits that it has not seen)")
