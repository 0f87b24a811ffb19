"""What gdengine costs, beside what its users would pick instead: ``python -m benchmarks cpu`` and ``… gpu``.

One process a contender, woken in turn over a pipe, so that one computes at a time (`process`, `worker`). Every round
lets each of them do its calls, and a ratio is taken within a round (`rounds`), so that a machine whose speed drifts
moves both sides of it. Who trains has to arrive at the same losses, who computes at the same numbers (`agreement`).
`cpu` and `gpu` say what is compared, `parts` runs it and writes it down, `report` and `pictures` read that again.
"""
