"""Faults put into the kernels on purpose, to see whether a test notices.

    python -m tests.cuda_on_cpu.mutations            # each one, and what noticed it
    python -m tests.cuda_on_cpu.mutations radix      # those of files whose name holds a word

A mutation replaces the first occurrence of ``old`` by ``new`` in a file. It counts as caught when a case of its
operation fails in some schedule. Some only a sanitizer can see (``needs``); some no test can, since the kernel
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
        ("sqrtf(amsgrad ? v_max : v) * r.root_scale + r.eps", "sqrtf((amsgrad ? v_max : v) * r.root_scale) + r.eps"),
        ("amsgrad ? v_max : v", "v"),
        ("v_max = fmaxf(v_max, v)", "v_max = v"),
        ("if (v_max) store16(v_max + e, most);", ""),
        ("if (v_max) v_max[e] = most;", ""),
        ("c += gridDim.x", "c += gridDim.x + 1"),
        ("chunk.length / 4 * 4 : 0", "chunk.length : 0"),
        ("i = wide + threadIdx.x", "i = wide + threadIdx.x + 1"),
        ("if (ok && !ok[0]) return;", ""),
        ("word(random, k)", "word(random, 0)"),
        ("if (clip) rule.scale *= clip[0];", ""),
        ("random & 0xffffu", "random & 0x7fffu"),
        ("coefficients)[chunk.group]", "coefficients)[0]"),
        ("aligned16(theta, grad, m, v, v_max, shadow)", "true"),
        ("theta[e] = t;", ""),
    ),
    *_of("common/chunks.cuh", ("min((long long)CHUNK, n - start)", "(long long)CHUNK"), cases="adamw"),
    *_of(
        "sgd/sgd.cu",
        ("momentum * b + rest * g", "momentum * b + g"),
        ("nesterov != 0 ? g + momentum * b : b", "nesterov != 0 ? b : g + momentum * b"),
        ("first != 0 ? g : ", ""),
        ("theta = decay * theta - lr * (nesterov", "theta = theta - lr * (nesterov"),
        ("theta = decay * theta - lr * (scale", "theta = theta - lr * (scale"),
        ("if (buffer)", "if (true)"),
    ),
    *_of(
        "common/flat_step.cuh",
        ("i += THREADS * 4", "i += THREADS * 8"),
        ("i = wide + threadIdx.x", "i = wide + threadIdx.x + 1"),
        ("c += gridDim.x", "c += gridDim.x + 1"),
        ("chunk.length / 4 * 4 : 0", "chunk.length : 0"),
        ("rule.scale *= flat.clip[0]", "rule.scale = flat.clip[0]"),
        ("if (flat.ok && !flat.ok[0]) return;", ""),
        ("coefficients)[chunk.group]", "coefficients)[0]"),
        ("if (flat.shadow) store4(flat.shadow + e, t);", ""),
        ("if (flat.shadow) store(flat.shadow + e, t);", ""),
        ("aligned16(flat.theta, flat.grad, flat.shadow, vectors...)", "true"),
        ("s[a][k] = own[a]", "s[a][0] = own[a]"),
        ("store16(state[a] + e, s[a])", ""),
        ("state[a][e] = own[a]", ""),
        ("flat.theta[e] = t;", ""),
        cases="lion",
    ),
    *_of(
        "lion/lion.cu",
        ("u > 0 ? 1.f", "u > 0 ? 0.f"),
        ("u < 0 ? -1.f : u", "-1.f"),
        ("decay * theta - lr", "theta - lr"),
        ("beta1 * m + rest1 * g", "beta2 * m + rest2 * g"),
        ("m = beta2 * m + rest2 * g", "m = u"),
    ),
    *_of(
        "moving_average/moving_average.cu",
        ("v[0] += share * (v[1] - v[0])", "v[0] += share * v[1]"),
        ("{average, x}", "{average, average}"),
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
        "common/elementwise.cuh",
        ("wide * W + first", "wide * W + first + 1"),
        ("i += step", "i += step + 1"),
        ("addresses % 16 == 0 ? n / W : 0", "n / W + 1"),
        ("addresses |= reinterpret_cast<unsigned long long>(in[a])", "addresses |= 0"),
        ("x[a][k] = v[a]", "x[a][0] = v[a]"),
        ("store16(out[a] + i * W, x[a])", "store16(out[0] + i * W, x[a])"),
        ("store(out[a] + i, v[a])", "store(out[0] + i, v[a])"),
        cases="swiglu",
    ),
    Mutation(
        "common/elementwise.cuh",
        "addresses |= reinterpret_cast<unsigned long long>(out[a])",
        "addresses |= 0",
        "swiglu",
        harmless="launchers write new arrays, which start on a multiple of 16, or what is read too",
    ),
    *_of(
        "gelu/gelu.cu",
        ("v[0] = gelu(v[0])", "v[0] = v[0]"),
        ("v[0] *= gelu_slope(v[1])", "v[0] = gelu_slope(v[1])"),
        ("{dy, x}, {dx}", "{x, dy}, {dx}"),
    ),
    *_of(
        "common/gelu.cuh",
        ("3.f * GELU_CUBIC", "2.f * GELU_CUBIC"),
        ("share * (1.f - share)", "share * share"),
        ("-2.f * GELU_ROOT", "-GELU_ROOT"),
        cases="gelu",
    ),
    *_of(
        "silu/silu.cu",
        ("v[0] = silu(v[0])", "v[0] = v[0]"),
        ("v[0] *= silu_slope(v[1])", "v[0] = silu_slope(v[1])"),
        ("{dy, x}, {dx}", "{x, dy}, {dx}"),
    ),
    *_of(
        "common/silu.cuh",
        ("x >= 0.f ? 1.f : e", "x >= 0.f ? e : 1.f"),
        ("expf(-fabsf(x))", "expf(-x)"),
        ("1.f + x * sigmoid(-x)", "1.f + x * sigmoid(x)"),
        cases="silu",
    ),
    *_of(
        "swiglu/swiglu.cu",
        ("silu(v[0]) * v[1]", "silu(v[0])"),
        ("{a, b}, {y}", "{b, a}, {y}"),
        ("dy * b * silu_slope(a)", "b * silu_slope(a)"),
        ("v[1] = dy * silu(a)", "v[1] = dy * a"),
        ("{da, db}", "{db, da}"),
    ),
    *_of(
        "layer_norm/layer_norm.cu",
        ("row >= rows", "row > rows"),
        ("    __syncwarp();\n", ""),
        ("warp_sum(squares) / n + eps", "warp_sum(squares) / n"),
        ("v[k] += r[k]", "v[k] = r[k]"),
        ("- along_one - h[k] * along_h", "- along_h - h[k] * along_one"),
        ("sums[1][k] += g[k]", "sums[1][k] = g[k]"),
        ("columns + (n + 3) / 4 * 4", "columns + n / 4 * 4"),
        ("((size_t)blockIdx.x * 2 + 1) * n", "((size_t)blockIdx.x * 2) * n"),
        ("row += gridDim.x", "row += gridDim.x + 1"),
        ("load(dy + start + i + k) : 0.f", "load(dy + start + i + k) : 1.f"),
        ("parts[warp][lane] = sum;\n  __syncthreads();", "parts[warp][lane] = sum;"),
        ("min(rows, first + each)", "first + each"),
        ("warp > 0 || column >= n", "warp > 0"),
        ("out[column] = accumulate ? out[column] + sum : sum", "out[column] = sum"),
        ("store4(dw + i, zeros), ", ""),
    ),
    *_of(
        "conv2d/conv2d.cu",
        ("k / g.window_x % g.window_y", "k / g.window_x"),
        ("+ i * g.step_y - g.top", "+ i - g.top"),
        ("h >= 0 && h < g.height", "h < g.height"),
        ("w >= 0 && w < g.width", "w >= 0 && w <= g.width"),
        (
            "(image * g.all_channels + c) * g.height + h) * g.width + w) : 0.f",
            "(image * g.channels + c) * g.height + h) * g.width + w) : 0.f",
        ),
        ("g.width + w) : 0.f", "g.width + w) : 1.f"),
        ("above < 0 || above % g.stride_y ||", "above < 0 ||"),
        ("above < 0 ||", ""),
        ("|| x >= g.out_x", ""),
        ("total += load", "total = load"),
        ("accumulate ? load(into) + total : total", "total"),
        ("T* into = dx + ((image * g.all_channels", "T* into = dx + ((image * g.channels"),
        ("  __syncthreads();\n", ""),
        ("row + k < rows && column + across < columns", "row + k < rows"),
        ("column + k < columns && row + across < rows", "column + k < columns"),
        ("to += blockIdx.z * to_step", "to += 0"),
        ("k < TILE; k += ROWS", "k < TILE; k += 2 * ROWS"),
    ),
    *_of(
        "rotary/rotary.cu",
        ("e / size % time", "e / size"),
        ("d >= 2 * half", "d > 2 * half"),
        ("d % 2 : d >= half", "d % 2 : d > half"),
        ("d / 2 : d % half", "d / 2 : d"),
        ("+ k] * sign", "+ k]"),
        ("? 1 : half;", "? half : 1;"),
        ("own * c + other * s", "own * c - other * s"),
        ("e += (long long)gridDim.x * blockDim.x", "e += (long long)gridDim.x * blockDim.x + 1"),
        ("y[e] = x[e];", ""),
    ),
    *_of(
        "rms_norm/rms_norm.cu",
        ("row >= rows", "row > rows"),
        ("warp_sum(squares) / n + eps", "warp_sum(squares) / n"),
        ("squares += v[k] * v[k]", "squares += v[k]"),
        ("n % W == 0 && aligned16(x, w, y)", "aligned16(x, w, y)"),
        ("- h[k] * along", "- along"),
        ("h[k] *= r;", ""),
        ("row += gridDim.x", "row += gridDim.x + 1"),
        ("dw[i + k] = 0.f", "dw[i] = 0.f"),
        ("dw[i + k] += g[k] * h[k]", "dw[i + k] = g[k] * h[k]"),
        ("accumulate ? d[k] + value : value", "accumulate ? value : value"),
        ("parts[warp][lane] = sum;\n  __syncthreads();", "parts[warp][lane] = sum;"),
        ("min(rows, first + each)", "first + each"),
        ("warp > 0 || column >= n", "warp > 0"),
        ("out[column] = accumulate ? out[column] + sum : sum", "out[column] = sum"),
    ),
    *_of(
        "common/cross_entropy.cuh",
        ("sum *= expf(most - highest);", ""),
        ("sum * expf(most - top)", "sum"),
        ("return target == ignore ? 0.f : ", "return "),
        ("i + k == target", "i == target"),
        ("x[k] == -infinity() ? 0.f : ", ""),
        ("count == W && alike && !accumulate", "count == W && !accumulate"),
        ("count == W && alike && !accumulate", "count == W && alike"),
        ("!counted || (target >= 0 && target < n) ? dloss : not_a_number()", "dloss"),
        ("known ? total - load(z + target) : not_a_number()", "total - load(z + (known ? target : 0))"),
        cases="cross_entropy",
    ),
    *_of(
        "cross_entropy/cross_entropy.cu",
        ("log_sum_exp(z + row * n, n)", "log_sum_exp(z, n)"),
        ("targets[row], total", "targets[0], total"),
        ("lse[row] = total;", ""),
        ("dlosses[row], z + row * n", "dlosses[0], z + row * n"),
        ("lse[row], dz + row * n", "lse[row], dz"),
        ("ignore, accumulate);", "ignore, 0);"),
    ),
    Mutation(
        "cross_entropy/cross_entropy.cu",
        "  if (threadIdx.x > 0) return;\n",
        "",
        "cross_entropy.forward_of_extreme_logits",
        needs="thread",
    ),
    *_of(
        "linear_cross_entropy/linear_cross_entropy.cu",
        ("z + row * n", "z"),
        ("targets[row]", "targets[0]"),
        ("losses[row] = loss_of", "losses[0] = loss_of"),
        ("  __syncthreads();  // the loss reads a logit that another thread overwrites\n", ""),
        ("dlosses[row]", "dlosses[0]"),
        ("total, logits, n, ignore, 0)", "total, logits, n, ignore, 1)"),
    ),
    *_of(
        "embedding/embedding.cu",
        ("if (position > 0 && keys[position - 1] == key) return;", ""),
        ("first += AHEAD)", "first += AHEAD + 1)"),
        ("if (first + j >= count || keys[first + j] != key) continue;", "if (first + j >= count) continue;"),
        ("if (first + j >= count || keys[first + j] != key) continue;", "if (keys[first + j] != key) continue;"),
        ("min(4, n - column)", "4"),
        ("id < 0 || id >= v", "id < 0 || id > v"),
        ("id < 0 || id >= v", "id >= v"),
        ("if (key < 0 || key >= v) return;", ""),
        ("blockIdx.y * 128", "blockIdx.y * 64"),
    ),
    Mutation(
        "embedding/embedding.cu",
        "position >= count || column >= n",
        "column >= n",
        "embedding.backward",
        needs="address",  # what lies there is no key, unless by chance
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
        ("parts[threadIdx.x] = 0;", "{}"),
        ("threadIdx.x / TILE * (DEPTH / 2) + k", "k"),
        ("if (!summing) return;\n  __syncthreads();", "if (!summing) return;"),
        ("parts[threadIdx.x] + parts[threadIdx.x + TILE]", "parts[threadIdx.x]"),
        ("threadIdx.x >= TILE || row >= rows", "threadIdx.x >= TILE"),
        ("accumulate_sums ? row_sums[row] + along : along", "along"),
        ("row_sums && blockIdx.y == 0", "row_sums"),
        ("db + (size_t)blockIdx.z * n", "db"),
        ("saved, dx, m, k, activation", "nullptr, dx, m, k, activation"),
    ),
    *_of(
        "linear/linear_mma.cu",
        ("    __syncthreads();  // the stage has arrived, and nobody reads the one before it\n", ""),
        ("cp_async_wait<STAGES - 2>()", "cp_async_wait<STAGES - 1>()"),
        ("step % STAGES * 2 + operand", "step % STAGES + operand"),
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
        ("float_to_tf32(__uint_as_float(r[m]))", "r[m]"),
        ("(RowsFirst ? m / 2 : m % 2) * 4", "(RowsFirst ? m % 2 : m / 2) * 4"),
        ("matrix / 2 : matrix % 2) * 4", "matrix / 2 : matrix % 2) * 8"),
        ("return 0x3f800000u;", "return 0x3f803f80u;"),
        ("warp % 4 == i) multiply", "warp % 4 == 0) multiply"),
        ("row_sums && blockIdx.y == 0", "row_sums"),
        ("if (!summing || lane % 4 != 0) return;", "if (!summing) return;"),
        ("if (row < rows) row_sums", "row_sums"),
        ("accumulate_sums ? row_sums[row] + along[2 * half] : along[2 * half]", "along[2 * half]"),
        ("db + (size_t)blockIdx.z * n", "db"),
        ("saved, dx, m, k, activation", "nullptr, dx, m, k, activation"),
    ),
    *_of(
        "linear/linear_wgmma.cu",
        ("place.parity ^ 1);", "place.parity);"),
        ("mbarrier_wait(shared.full + place.stage, place.parity)", "mbarrier_wait(shared.full + place.stage, 0)"),
        ("stage = 0, parity ^= 1;", "stage = 0;"),
        ("      mbarrier_wait(shared.full + place.stage, place.parity);\n", ""),
        ("      mbarrier_wait(shared.empty + place.stage, place.parity ^ 1);\n", ""),
        ("if (step > 0) release(place.before());", ""),
        ("    wgmma_wait<0>();\n    release(place.before());", "    wgmma_wait<0>();"),
        ("    wgmma_wait<0>();\n", ""),
        ("if (step > 0) release(place.before());", "release(place.stage);"),
        ("wgmma_wait<1>();", "wgmma_wait<2>();"),
        ("stage > 0 ? stage - 1 : Stages - 1", "stage"),
        ("mbarrier_arrive_expect(full, STAGE<Columns>)", "mbarrier_arrive_expect(full, STAGE<Columns> - BOX)"),
        ("mbarrier_init(shared.empty + stage, CONSUMERS / 32)", "mbarrier_init(shared.empty + stage, CONSUMERS)"),
        ("mbarrier_init(shared.empty + stage, CONSUMERS / 32)", "mbarrier_init(shared.empty + stage, 4)"),
        ("AlongK ? k : row, AlongK ? row : k", "AlongK ? row : k, AlongK ? k : row"),
        ("tile.first + step * DEPTH", "step * DEPTH"),
        ("stage + (ROWS + j) / 64 * BOX", "stage + j / 64 * BOX"),
        ("a, full, tile.row + j, k", "a, full, tile.row, k"),
        ("boxes + k * 32", "boxes + k * 16"),
        ("boxes + k * 2048, BOX, 1024", "boxes + k * 2048, 1024, BOX"),
        ("!first || k > 0", "true"),
        ("!first || k > 0", "k > 0"),
        ("  wgmma_fence();\n", ""),
        ("shared_address(stage + group * BOX)", "shared_address(stage)"),
        ("min(span, depth - first) + DEPTH - 1", "min(span, depth - first)"),
        ("min(BAND, down - top)", "BAND"),
        ("in_part % (BAND * across)", "in_part % BAND"),
        (
            "number += gridDim.x) {\n    const Tile tile = work.tile(number, Columns);\n    for",
            "number++) {\n    const Tile tile = work.tile(number, Columns);\n    for",
        ),
        ("tile.part * size", "0"),
        ("    __syncwarp();\n    if (wide)", "    if (wide)"),
        ("CHUNK, false);\n    __syncwarp();\n", "CHUNK, false);\n"),
        ("i / 2 % 2 * 8", "i / 2 % 2 * 4"),
        ("!= chunk) continue;", "!= 0) continue;"),
        ("inputs<4>(row + first + 2 * i + down", "inputs<4>(row + first + 2 * i"),
        ("at = first + 2 * i + down", "at = 2 * i + down"),
        ("shared.staging[warp], tile.row + warp * 16", "shared.staging[warp], tile.row + warp * 8"),
        ("lane * 4 ^ row % 8 * 16", "lane * 4"),
        ("row = warp * 16 + i,", "row = i,"),
        ("row_sums && tile.column == 0", "row_sums"),
        ("  named_barrier_sync(barrier, 128);\n  if", "  if"),
        ("other < 4", "other < 3"),
        ("row + thread < rows", "true"),
        ("accumulate ? row_sums[row + thread] + sum : sum", "sum"),
        ("row_sums + (size_t)tile.part * epilogue.rows", "row_sums"),
        ("shared.staging + group * 4", "shared.staging"),
    ),
    Mutation(
        "linear/linear_wgmma.cu",
        "  named_barrier_sync(barrier, 128);  // before the staging is written again\n",
        "",
        "linear.products_wgmma",
        needs="thread",
    ),
    Mutation(
        "linear/linear_wgmma.cu",
        "(column ^ row % 4 * 8)",
        "column",
        harmless="the same elements, with bank conflicts",
    ),
    Mutation(
        "linear/linear_wgmma.cu",
        "        __syncwarp();  // all lanes have read: lane 0 may release\n",
        "",
        beyond="the emulator's wgmma_wait orders the warp, too",
    ),
    Mutation("linear/linear_wgmma.cu", "    mbarrier_fence_init();\n", "", beyond="there is no second memory proxy"),
    Mutation("linear/linear_wgmma.cu", "    registers_decrease<40>();\n", "", beyond="registers are not counted"),
    *_of(
        "linear/epilogue.cuh",
        ("row >= rows || column >= columns) return in;", "column >= columns) return in;"),
        ("row >= rows || column >= columns) return in;", "row >= rows) return in;"),
        ("row >= rows || column >= columns) return;", "column >= columns) return;"),
        ("row >= rows || column >= columns) return;", "row >= rows) return;"),
        ("if (i < inside) words", "words"),
        ("<< i * sizeof(T) % 4 * 8", ""),
        ("i % 2 ? words", "i % 2 == 0 ? words"),
        ("if (i < inside) store(p + i", "if (i <= inside) store(p + i"),
        ("columns % W == 0 && ", ""),
        ("if (saved) write(saved + at, z, inside, wide);", ""),
        ("if (residual) in.other.read(residual + at, inside, wide);", ""),
        ("z[i] += in.before[i];", ""),
        ("bias.read(bias + column", "bias.read(bias + row"),
        ("other.read(origin + at", "other.read(origin + column"),
        ("activation == RELU && z < 0.f", "activation == RELU && z > 0.f"),
        ("z[i] *= slope(in.other[i])", "z[i] = slope(in.other[i])"),
        ("x > 0.f ? 1.f : 0.f", "x >= 0.f ? 1.f : 0.f"),
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
        "attention/attention.cuh",
        ("index / heads * batch", "index % heads * batch"),
        ("index % heads * head", "index * head"),
        ("(rows + own - 1) / own, tile", "rows / own, tile"),
        ("backwards ? tiles - 1 - tile", "backwards ? tiles - tile"),
        ("index * p.queries + query", "index * p.keys + query"),
        ("key + i % WORDS * 32", "i % WORDS * 32"),
        ("quad < QUADS + (ahead > 0)", "quad < QUADS"),
        ("random.w >> 8 >= threshold", "random.w >> 8 > threshold"),
        ("random.z >> 8 >= threshold", "random.z >> 8 > threshold"),
        ("bits >> ahead", "bits"),
        ("call + (base ? base[0] : 0)", "call"),
        ("| stride * sizeof(T)", ""),
    ),
    *_of(
        "attention/attention_passes.cu",
        ("i < count && lane == 0", "lane == 0"),
        ("i % queries", "i % heads"),
        ("column + W <= size", "column < size"),
        ("distance = 4", "distance = 2"),
        ("column += 8 * W", "column += 16 * W"),
    ),
    *_of(
        "attention/attention_simt.cu",
        ("first + row < rows ? size - column", "true ? size - column"),
        ("wide && inside >= 4", "inside >= 4"),
        ("wide && inside >= 4", "wide"),
        ("i < inside ? from", "true ? from"),
        ("(x + 8 * j) * PITCH<D>", "(y + 8 * j) * PITCH<D>"),
        ("  __syncwarp();  // who still reads the weights before?\n", ""),
        ("= weights[i][j];\n  __syncwarp();", "= weights[i][j];"),
        ("4 * x + 8 * c);", "4 * x + 4 * c);"),
        ("if (row >= rows) return;", ""),
        ("column + n < size", "column + n <= size"),
        ("    __syncthreads();  // nobody reads the tiles before\n", ""),
        ("    __syncthreads();  // the tiles are whole\n", ""),
        ("min(p.keys, place.first + OWN)", "min(p.keys, place.first + 1)"),
        ("key >= p.keys || (p.causal && key > place.first + own)", "p.causal && key > place.first + own"),
        ("key > place.first + own", "key >= place.first + own"),
        ("sums[i][c] *= shrink", "sums[i][c] *= 1.f"),
        ("total[i] *= shrink;", ""),
        ("most = row_max(most);", ""),
        ("const float all = row_sum(total[i])", "const float all = total[i]"),
        ("factor[i] = dropout.factor / all", "factor[i] = 1.f / all"),
        ("kept[own] >> (x + 8 * j)", "kept[own] >> (8 * x + j)"),
        ("top[i] * scale + log2f(all)", "top[i] + log2f(all)"),
        ("x == 0 && query < p.queries", "x == 0"),
        ("place.first / M * M : 0", "(place.first / M + 1) * M : 0"),
        ("inside ? lse[query0 + threadIdx.x] : 0.f", "lse[query0 + threadIdx.x]"),
        ("place.first + own > query0 + at", "place.first + own >= query0 + at"),
        ("kept[at * WORDS + own / 32]", "kept[at * WORDS]"),
        ("accumulate<R, C, D>(dk, ds, weights, q_tile)", "accumulate<R, C, D>(dk, ds, weights, k_tile)"),
        ("(stays ? ds[i][j] * dropout.factor : 0.f) - sum)", "(stays ? ds[i][j] * dropout.factor - sum : 0.f))"),
    ),
    *_of(
        "attention/attention_mma.cu",
        ("first + row < rows ? max(0, min(8, size - column))", "true ? max(0, min(8, size - column))"),
        ("max(0, min(8, size - column))", "8"),
        ("first + i < rows ? from + first + i : from, first + i < rows ? 4 : 0", "from + first + i, 4"),
        ("lane() % 16) * PITCH<D> + k * 16 + lane() / 16 * 8", "lane() / 16 * 8 + lane() % 8) * PITCH<D> + k * 16"),
        ("lane() / 8 % 2 * 8;", "lane() / 16 * 8;"),
        ("a[i], b + 2, s[i][n + 1]", "a[i], b, s[i][n + 1]"),
        ("weights[i][k + m / 2][m % 2 * 2]", "weights[i][k + m % 2][m / 2 * 2]"),
        ("ldmatrix_x4_trans(b,", "ldmatrix_x4(b,"),
        ("  __syncwarp();\n  const bool wide", "  const bool wide"),
        ("if (first + row >= rows) return;", ""),
        ("wide && inside == 8", "inside == 8"),
        ("wide && inside == 8", "wide"),
        ("x += __shfl_xor_sync(ALL_LANES, x, 1);", ""),
        ("fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2))", "x"),
        ("key >= p.keys || (p.causal && key > query)", "p.causal && key > query"),
        ("p.causal && key > query", "p.causal && key < query"),
        ("total[i][half] *= shrink;", ""),
        ("sums[i][n][half * 2 + 1] *= shrink", "sums[i][n][half * 2 + 1] *= 1.f"),
        ("kept[row * (N / 4) + n / 4]", "kept[row * (N / 4)]"),
        ("if (!(bits & 2))", "if (!(bits & 1))"),
        ("stages + (step % 2 * 2 + operand)", "stages + (operand)"),
        ("if (step < steps) {", "if (step < steps - 1) {"),
        ("start(step + 1);", "start(step + 2);"),
        ("  cp_async_wait<1>();\n  __syncthreads();  // the queries have arrived\n", ""),
        ("cp_async_wait<1>()", "cp_async_wait<2>()"),
        ("cp_async_wait<0>()", "cp_async_wait<1>()"),
        ("    __syncthreads();  // the stage has arrived, and nobody reads the other one\n", ""),
        ("key0 >= first + 16 * R", "key0 >= first"),
        ("key0 + M > p.keys || (p.causal", "(p.causal"),
        ("p.causal && key0 + M > first + 1", "p.causal && key0 + M > first + 16 * R"),
        ("factor[i][half] = dropout.factor / all", "factor[i][half] = 1.f / all"),
        ("top[i][half] * scale + log2f(all)", "top[i][half] * scale + all"),
        ("column == 0 && query < p.queries", "column == 0"),
        ("place.first / M : 0", "place.first / M + 1 : 0"),
        ("query0 + C <= first", "query0 <= first"),
        ("query0 < first + 16 * R - 1", "query0 < first"),
        ("place.first + key > step * M + at", "place.first + key > step * M + at + 1"),
        ("bits[at * WORDS + key / 32] >> key % 32", "bits[at * WORDS] >> key % 32"),
        ("accumulate<R, C / 8, D>(dv, s, tile(step, 1)", "accumulate<R, C / 8, D>(dv, s, tile(step, 0)"),
        ("products(ds, v, tile(step, 1)", "products(ds, v, tile(step, 0)"),
        ("numbers(step, 1)[at]", "numbers(step, 1)[column]"),
        ("(stays ? d * dropout.factor : 0.f) - sum);", "(stays ? d : 0.f) - sum);"),
        ("= dropout.factor;\n  write", "= 1.f;\n  write"),
        ("query < p.queries ? delta[at] : 0.f", "delta[at]"),
        ("key0 + C > p.keys || ", ""),
        ("key > first + local", "key >= first + local"),
        ("bits[local * WORDS + at / 32]", "bits[local * WORDS]"),
        ("key0 >= first + 16 * R) break;", "key0 >= first) break;"),
        ("step * M, place.first);\n    cp_async_wait<0>();", "step * M, place.first);\n    cp_async_wait<1>();"),
        (
            "step * M, place.first);\n    cp_async_wait<0>();\n    __syncthreads();",
            "step * M, place.first);\n    cp_async_wait<0>();",
        ),
        ("place.first, step * M);\n    cp_async_wait<0>();", "place.first, step * M);\n    cp_async_wait<1>();"),
        (
            "place.first, step * M);\n    cp_async_wait<0>();\n    __syncthreads();",
            "place.first, step * M);\n    cp_async_wait<0>();",
        ),
        ("kept + step % 2 * M * WORDS, p", "kept, p"),
        ("if (first >= p.keys) continue;", "if (first + 16 >= p.keys) continue;"),
    ),
    Mutation(
        "attention/attention_mma.cu",
        "  __syncwarp();  // who still reads the tile?\n",
        "",
        "attention.full_bf16",
        needs="thread",
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
        "mbarrier_init(empty + s, 96)",
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
