"""Faults put into the kernels on purpose, to see whether a test notices.

    python -m tests.cuda_on_cpu.mutations            # each one, and what noticed it
    python -m tests.cuda_on_cpu.mutations radix      # those of files whose name holds a word

A mutation replaces the first occurrence of ``old`` by ``new`` in a file. It counts as caught when a case of its
operation fails in some schedule. Some only ThreadSanitizer can see (``needs``); some no test can, since the kernel
still computes the same (``harmless``) or because the emulator has no such thing (``beyond``).
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from gdengine.kernels.common.cuda_source import KERNELS
from gdengine.kernels.runtime import KernelError

from . import cases
from .build import BuildError, replaced
from .emulator import SCHEDULES

SAMPLES = Path(__file__).resolve().parent / "samples"


@dataclass(frozen=True)
class Mutation:
    """``cases``: a case that runs it, or the operation whose cases do; the file's folder unless given."""

    file: str
    old: str
    new: str
    cases: str = ""
    needs: str = ""
    harmless: str = ""
    beyond: str = ""

    @property
    def path(self) -> Path:
        folder, name = self.file.split("/")
        return SAMPLES / name if folder == "samples" else KERNELS / folder / name

    @property
    def names(self) -> list[str]:
        """The cases that run it."""
        wanted = self.cases or self.file.split("/")[0]
        return sorted(name for name in cases.load() if name == wanted or name.startswith(f"{wanted}."))

    def __str__(self) -> str:
        return f"{self.file}: {self.old!r} → {self.new!r}"


def _of(file: str, *changes: tuple[str, str], cases: str = "") -> list[Mutation]:
    return [Mutation(file, old, new, cases) for old, new in changes]


MUTATIONS = [
    *_of(
        "adamw/adamw.cu",
        ("r.decay * theta - r.rate", "theta - r.rate"),
        ("r.rest2 * g * g", "r.rest2 * g"),
        ("sqrtf(v) * r.root_scale + r.eps", "sqrtf(v * r.root_scale) + r.eps"),
        ("c += gridDim.x", "c += gridDim.x + 1"),
        ("chunk.length / 4 * 4 : 0", "chunk.length : 0"),
        ("i = wide + threadIdx.x", "i = wide + threadIdx.x + 1"),
        ("if (ok && !ok[0]) return;", ""),
        ("word(random, k)", "word(random, 0)"),
        ("if (clip) rule.scale *= clip[0];", ""),
        ("random & 0xffffu", "random & 0x7fffu"),
        ("coefficients)[chunk.group]", "coefficients)[0]"),
        ("aligned16(theta, grad, m, v, shadow)", "true"),
        ("theta[e] = t;", ""),
    ),
    *_of("common/chunks.cuh", ("min((long long)CHUNK, n - start)", "(long long)CHUNK"), cases="adamw"),
    *_of(
        "sgd/sgd.cu",
        ("r.momentum * b + r.rest * g", "r.momentum * b + g"),
        ("r.nesterov != 0 ? g + r.momentum * b : b", "r.nesterov != 0 ? b : g + r.momentum * b"),
        ("r.first != 0 ? g : ", ""),
        ("i += THREADS * 4", "i += THREADS * 8"),
        ("if (shadow) store4(shadow + e, t);", ""),
        ("rule.scale *= clip[0]", "rule.scale = clip[0]"),
    ),
    *_of(
        "global_norm/global_norm.cu",
        ("partials[blockIdx.x] = sum", "partials[0] = sum"),
        ("i < count; i += THREADS", "i < count; i += 2 * THREADS"),
        ("isfinite(norm) ? 1 : 0", "1"),
        ("max_norm / (norm + 1e-6)", "max_norm / norm"),
        ("(double)x[k] * x[k]", "x[k] * x[k]"),
        ("fmin(1.0,", "fmax(1.0,"),
        ("if (ok[0]) return;", ""),
        ("atomicMin(first,", "atomicMax(first,"),
        ("if (!isfinite(g[chunk.start + i])) {", "if (!isfinite(g[i])) {"),
        ("        break;\n", "        return;\n"),
    ),
    *_of(
        "common/reductions.cuh",
        ("  __syncthreads();  // who still reads the parts of the sum before?\n", ""),
        ("parts[threadIdx.x / 32] = x;\n  __syncthreads();", "parts[threadIdx.x / 32] = x;"),
        ("warp < Warps;", "warp < Warps - 1;"),
        ("distance = 16", "distance = 8"),
        ("T total = parts[0]", "T total = parts[1]"),
        cases="layer_norm",
    ),
    Mutation(
        "common/reductions.cuh",
        "x = warp_max(x);\n  __syncthreads();",
        "x = warp_max(x);",
        "cross_entropy",
        harmless="no kernel takes two maxima in a block",
    ),
    *_of(
        "common/reductions.cuh",
        ("most = fmaxf(most, parts[warp])", "most = parts[warp]"),
        ("fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance))", "__shfl_xor_sync(ALL_LANES, x, distance)"),
        cases="cross_entropy",
    ),
    *_of(
        "common/philox.cuh",
        ("k0 += 0x9E3779B9u", "k0 -= 0x9E3779B9u"),
        ("high0 ^ c3 ^ k1", "high0 ^ c1 ^ k1"),
        ("round < 10", "round < 9"),
        ("(unsigned)(call >> 32)", "0"),
        cases="dropout",
    ),
    *_of(
        "common/vectors.cuh",
        ("(W - misaligned) % W", "0"),
        ("j < head ? j : wide + j", "j"),
        ("(n - head) / W * W", "(n - head + W - 1) / W * W"),
        cases="cross_entropy",
    ),
    *_of(
        "dropout/dropout.cu",
        (">> 8 >= threshold ? v[k]", ">> 8 > threshold ? v[k]"),
        ("e + 4 <= n", "e + 3 <= n"),
        ("if (base) call += base[0];", ""),
        ("e + k < n", "e + k <= n"),
        ("quad += step", "quad += step + 1"),
    ),
    *_of(
        "gelu/gelu.cu",
        ("wide * W + first", "wide * W + first + 1"),
        ("i += step", "i += step + 1"),
        ("aligned16(x, y) ? n / W : 0", "n / W + 1"),
        ("d[k] *= gelu_slope(v[k])", "d[k] = gelu_slope(v[k])"),
    ),
    *_of("common/gelu.cuh", ("3.f * GELU_CUBIC", "2.f * GELU_CUBIC"), cases="gelu"),
    *_of(
        "layer_norm/layer_norm.cu",
        ("row >= rows", "row > rows"),
        ("    __syncwarp();\n", ""),
        ("warp_sum(squares) / n + eps", "warp_sum(squares) / n"),
        ("v[k] += r[k]", "v[k] = r[k]"),
        ("- along_one - h[k] * along_h", "- along_h - h[k] * along_one"),
        ("db[i + k] += g[k]", "db[i + k] = g[k]"),
        ("((size_t)blockIdx.x * 2 + 1) * n", "((size_t)blockIdx.x * 2) * n"),
        ("row += gridDim.x", "row += gridDim.x + 1"),
        ("load(dy + start + i + k) : 0.f", "load(dy + start + i + k) : 1.f"),
        ("parts[warp][lane] = sum;\n  __syncthreads();", "parts[warp][lane] = sum;"),
        ("min(rows, first + each)", "first + each"),
        ("warp > 0 || column >= n", "warp > 0"),
        ("out[column] = accumulate ? out[column] + sum : sum", "out[column] = sum"),
        ("dw[i + k] = db[i + k] = 0.f", "db[i + k] = 0.f"),
    ),
    *_of(
        "cross_entropy/cross_entropy.cu",
        ("sum *= expf(most - highest);", ""),
        ("sum * expf(most - top)", "sum"),
        ("target == ignore ? 0.f : ", ""),
        ("i + k == target", "i == target"),
        ("x[k] == -infinity() ? 0.f : ", ""),
        ("count == W && alike && !accumulate", "count == W && !accumulate"),
        ("count == W && alike && !accumulate", "count == W && alike"),
    ),
    Mutation(
        "cross_entropy/cross_entropy.cu",
        "  if (threadIdx.x > 0) return;\n",
        "",
        "cross_entropy.forward_of_extreme_logits",
        needs="thread",
    ),
    *_of(
        "embedding/embedding.cu",
        ("if (position > 0 && keys[position - 1] == key) return;", ""),
        ("first += AHEAD)", "first += AHEAD + 1)"),
        ("if (first + j >= count || keys[first + j] != key) continue;", "if (first + j >= count) continue;"),
        ("if (first + j >= count || keys[first + j] != key) continue;", "if (keys[first + j] != key) continue;"),
        ("min(4, n - column)", "4"),
        ("position >= count || column >= n", "column >= n"),
        ("id < 0 || id >= v", "id < 0 || id > v"),
        ("id < 0 || id >= v", "id >= v"),
        ("if (key < 0 || key >= v) return;", ""),
        ("blockIdx.y * 128", "blockIdx.y * 64"),
    ),
    *_of(
        "embedding/radix_sort.cu",
        ("histogram[threadIdx.x] = 0;\n  __syncthreads();", "histogram[threadIdx.x] = 0;"),
        ("  __syncthreads();\n  counts[threadIdx.x", "  counts[threadIdx.x"),
        ("if (lane >= distance)", "if (lane > distance)"),
        ("if (lane == 31) warps[warp] = inclusive;\n  __syncthreads();", "if (lane == 31) warps[warp] = inclusive;"),
        ("before = inclusive - own", "before = inclusive"),
        ("    __syncwarp();\n    if (inside && rank == 0)", "    if (inside && rank == 0)"),
        ("(1u << lane) - 1", "(2u << lane) - 1"),
        ("  __syncthreads();\n  int place", "  int place"),
        ("  __syncthreads();\n  for (int i = lane; i < SPAN", "  for (int i = lane; i < SPAN"),
        ("next[warp][digit] = 0;\n  __syncwarp();", "next[warp][digit] = 0;"),
        ("values ? values[at] : at", "at"),
    ),
    Mutation(
        "embedding/radix_sort.cu",
        "__popc(alike);\n    __syncwarp();",
        "__popc(alike);",
        "embedding.sort",
        needs="thread",
    ),
    Mutation(
        "embedding/radix_sort.cu",
        "atomicAdd(&histogram[keys[at] >> shift & (DIGITS - 1)], 1);",
        "histogram[keys[at] >> shift & (DIGITS - 1)] += 1;",
        "embedding.sort",
        needs="thread",
    ),
    Mutation(
        "embedding/radix_sort.cu",
        "atomicAdd(&next[warp][keys[start + i] >> shift & (DIGITS - 1)], 1);",
        "next[warp][keys[start + i] >> shift & (DIGITS - 1)] += 1;",
        "embedding.sort",
        needs="thread",
    ),
    *_of(
        "linear/linear_simt.cu",
        ("    __syncthreads();  // the stage is whole, and nobody reads the other one\n", ""),
        ("row < rows ? end - k : 0", "end - k"),
        ("k < end ? rows - row : 0", "rows - row"),
        ("i < inside ? load(from + i) : 0.f", "load(from + i)"),
        ("a_wide = (AAlongK ? depth : rows)", "a_wide = (AAlongK ? rows : depth)"),
        ("wide && inside >= 4", "wide"),
        ("wide && inside >= 4", "inside >= 4"),
        ("b_wide = (BAlongK ? depth : columns)", "b_wide = (BAlongK ? columns : depth)"),
        ("stage ^= 1;", ""),
        ("b_tiles[stage][k][half * 64 + x]", "b_tiles[stage][k][half * 64 + y]"),
        ("k0 + DEPTH, end, b_wide", "k0, end, b_wide"),
        ("column0 + half * 64 + x", "column0 + half * 32 + x"),
        ("min(m, first + span)", "m"),
        ("(size_t)blockIdx.z * n * k", "0"),
        ("sums[2][4][2][4] = {}", "sums[2][4][2][4]"),
    ),
    *_of(
        "linear/linear_mma.cu",
        ("    __syncthreads();  // the stage has arrived, and nobody reads the one before it\n", ""),
        ("cp_async_wait<STAGES - 2>()", "cp_async_wait<STAGES - 1>()"),
        ("tiles + step % STAGES * 2 * OPERAND;\n    const", "tiles;\n    const"),
        ("start(step + STAGES - 1);", "start(step + STAGES);"),
        ("row0 + row < rows && k0 + k < end", "row0 + row < rows"),
        ("row0 + row < rows && k0 + k < end", "k0 + k < end"),
        ("inside ? 16 : 0);", "16);"),
        ("matrix % 2 : matrix / 2", "matrix / 2 : matrix % 2"),
        ("matrix / 2 : matrix % 2", "matrix / 2 : matrix / 2"),
        ("b[j / 2][j % 2 * 2]", "b[j / 2][j % 2]"),
        ("ldmatrix_x4_trans(r,", "ldmatrix_x4(r,"),
        ("half * 8, column0", "half * 4, column0"),
        ("min(m, first + span)", "m"),
        ("step < steps) {", "step < steps - 1) {"),
    ),
    *_of(
        "linear/epilogue.cuh",
        ("row >= rows || column >= columns", "column >= columns"),
        ("row >= rows || column >= columns", "row >= rows"),
        ("column + i >= columns", "column + i > columns"),
        ("columns % W == 0 && ", ""),
        ("if (saved) write(saved + at, z);", ""),
        ("if (accumulate) z[i] += load(out + at + i);", ""),
        ("read(more, bias + column)", "read(more, bias + row)"),
        ("activation == RELU && z < 0.f", "activation == RELU && z > 0.f"),
    ),
    *_of(
        "linear/linear_passes.cu",
        ("d[k] *= v[k] > 0.f", "d[k] *= v[k] >= 0.f"),
        ("wide * W + first", "wide * W + first + 1"),
        ("min(rows, first + span)", "first + span"),
        ("parts[warp][lane] = sum;\n  __syncthreads();", "parts[warp][lane] = sum;"),
        ("other < WARPS", "other < WARPS - 1"),
        ("warp > 0 || column >= n", "warp > 0"),
        ("(size_t)blockIdx.y * n + column", "column"),
        ("out[i] = accumulate ? out[i] + sum : sum", "out[i] = sum"),
        ("part < parts", "part < parts - 1"),
    ),
    *_of(
        "samples/tensor_cores.cu",
        ("cp_async_wait<1>()", "cp_async_wait<2>()"),
        ("    __syncthreads();  // the stage has arrived\n", ""),
        ("    __syncthreads();  // the stage may be overwritten\n", ""),
        ("inside ? 16 : 0", "16"),
        ("a_tile + (k + row + matrix / 2 * 8)", "a_tile + (k + row + matrix % 2 * 8)"),
        ("if (m < M && n < N)", "if (m < M)"),
        cases="tensor_cores",
    ),
    *_of(
        "samples/hopper.cu",
        ("(step / STAGES + 1) % 2", "step / STAGES % 2"),
        ("step / STAGES % 2);\n    wgmma_fence", "(step / STAGES + 1) % 2);\n    wgmma_fence"),
        ("    mbarrier_arrive(empty + s);\n", ""),
        ("mbarrier_arrive_expect(full + s, stage_bytes)", "mbarrier_arrive_expect(full + s, stage_bytes - 8192)"),
        ("step > 0 || k > 0", "true"),
        ("  named_barrier_sync(1, 128);\n", ""),
        ("    wgmma_wait<0>();\n    mbarrier_arrive(empty", "    mbarrier_arrive(empty"),
        ("    tma_store_wait<0>();\n", ""),
        ("    wgmma_fence();\n", ""),
        cases="tensor_cores",
    ),
    Mutation(
        "samples/hopper.cu",
        "    wgmma_wait<0>();\n    mbarrier_arrive(empty + s);",
        "    mbarrier_arrive(empty + s);\n    wgmma_wait<0>();",
        "tensor_cores.warp_specialised_wgmma_product",
        needs="thread",
    ),
    Mutation(
        "samples/hopper.cu",
        "mbarrier_init(empty + s, 128)",
        "mbarrier_init(empty + s, 127)",
        "tensor_cores.warp_specialised_wgmma_product",
        needs="thread",
    ),
    Mutation(
        "samples/hopper.cu",
        "  fence_async_proxy();\n",
        "",
        "tensor_cores",
        beyond="memory proxies do not exist on the CPU",
    ),
]


def caught_by(mutation: Mutation, schedules: tuple[str, ...] = SCHEDULES) -> str:
    """The case, the schedule and the first line of what it said; empty when nothing noticed."""
    text = mutation.path.read_text()
    before, found, _ = text.partition(mutation.old)
    if not found or "//" in before.rsplit("\n", 1)[-1]:
        raise ValueError(f"{mutation.file} holds no {mutation.old!r} outside of comments: mend the mutation")
    replaced[mutation.path] = text.replace(mutation.old, mutation.new, 1)
    try:
        for schedule in schedules:
            for name in mutation.names:
                try:
                    cases.run(name, schedule)
                except (AssertionError, KernelError) as error:
                    if isinstance(error.__cause__, BuildError):
                        raise
                    return f"{name} in {schedule}: {' '.join(str(error).split())[:160]}"
    finally:
        del replaced[mutation.path]
    return ""


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["--number"]:  # one, by its place in the list: for a process under a sanitizer
        sys.exit(bool(caught_by(MUTATIONS[int(words[1])], ("random", "reverse"))))
    chosen = [m for m in MUTATIONS if not words or any(word in m.file for word in words)]
    caught = 0
    for mutation in chosen:
        by = caught_by(mutation)
        caught += bool(by)
        why = mutation.harmless or mutation.beyond or (mutation.needs and f"needs the {mutation.needs} sanitizer")
        print(f"{'caught' if by else 'MISSED'}  {mutation}\n        {by or why}", flush=True)
    print(f"{caught} of {len(chosen)} caught without a sanitizer")


if __name__ == "__main__":
    main()
