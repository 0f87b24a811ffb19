// What g++ force-includes before a .cu file, so that the very source that a GPU runs can be executed on the CPU.
// NVIDIA's own headers bring the vector types and the bfloat16 conversions (through their host paths); the files below
// add what only a GPU has. `CUDA_ON_CPU` is what kernels/common/*.cuh look at to leave their inline PTX out.
#pragma once
#define CUDA_ON_CPU 1

#include <math.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <cuda_bf16.h>
#include <vector_functions.h>
#include <vector_types.h>

#include "qualifiers.h"   // __global__, __shared__, threadIdx, ...
#include "emulator.h"     // the emulator that is linked to every kernel library
#include "synchronize.h"  // barriers, fences, warp collectives
#include "atomics.h"
#include "device_math.h"  // device functions that the host has under no or another name
#include "async_copy.h"   // cp.async
#include "mma.h"          // mma.sync and ldmatrix
#include "hopper.h"       // mbarrier, TMA, wgmma
#include "entry.h"        // how Python calls a kernel
