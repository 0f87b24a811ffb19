"""Who is compared. Each module has ``make(**options)``, whose result offers

- ``about()``: versions, and the device;
- ``clock``: a `benchmarks.timing.HostClock` or `DeviceClock`;
- ``memory()``: of the device, as JSON; ``release()``: give back what is not used;
- the tasks, each of which builds a `benchmarks.timing.Call`: ``train(workload, start, dtype)``, ``update(shapes)``,
  ``kernel(operation, dtype, **sizes)``, and what only some have.

``make`` raises ImportError where the contender is absent. They run in processes of their own (`benchmarks.worker`),
where nothing else is imported.
"""
