"""A multilayer perceptron reads handwritten digits (needs scikit-learn): python examples/digits_mlp.py [EPOCHS]"""

import sys

import gdengine as gd
from gdengine import optim
from gdengine.data import Batches, digits
from gdengine.functional import cross_entropy
from gdengine.models import MLP

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 40
gd.manual_seed(0)
train, test = digits()
x_train, x_test = train.x.reshape(-1, 64), test.x.reshape(-1, 64)
batches = Batches((x_train, train.y), batch_size=32, seed=0)
model = MLP([64, 128, 128, 10])
total = epochs * batches.batches_per_epoch
opt = optim.AdamW(model.parameters(), lr=optim.warmup_cosine(peak=3e-3, warmup=total // 20, total=total))
for epoch in range(epochs):
    for x, y in batches.epoch():
        loss = cross_entropy(model(x), y)
        loss.backward()
        opt.step()
    if epoch % 10 == 9 or epoch == epochs - 1:
        print(f"epoch {epoch + 1:3d}  loss {loss.item():.4f}")
with gd.no_grad():
    right = model(x_test).numpy().argmax(axis=1) == test.y
print(f"test accuracy {right.mean():.4f} ({right.sum()} of {len(right)} digits that it has not seen)")
