"""An exponential moving average in plain NumPy: the specification."""


def update(average, x, *, decay):
    average += (1 - decay) * (x - average)
