// Shared memory that is fresh for each block, and device memory between pages that trap.
#include <sys/mman.h>

#include <cstdlib>

#include "state.h"

namespace emulator {

constexpr size_t MOST_SHARED = 227 << 10;  // an H100's limit for a block
constexpr size_t TAIL = 256;               // bytes after a shared variable that nobody may write
constexpr unsigned MOST_VARIABLES = 64;

struct Variable {
  const void* key;
  const char* name;
  unsigned char* memory;
  size_t bytes;
};
static Variable variables[MOST_VARIABLES];
static unsigned variable_count;
static size_t shared_bytes;
// Under ThreadSanitizer all variables lie in one region that is mapped anew for each block, which makes it forget the
// accesses of the block before.
static char* region;
static size_t region_used;
constexpr size_t REGION = 512 << 10;

static void* allocate(const void* key, const char* name, size_t bytes, size_t alignment) {
  if ((shared_bytes += bytes) > MOST_SHARED) fail("more than 227 KiB of shared memory");
  if (variable_count == MOST_VARIABLES) fail("more than %u shared variables", MOST_VARIABLES);
  void* memory;
  const size_t total = bytes + (sanitized() ? 0 : TAIL);
  if (thread_sanitized()) {
    region_used = (region_used + alignment - 1) / alignment * alignment;
    memory = region + region_used;
    region_used += total;
  } else if (posix_memalign(&memory, alignment < 16 ? 16 : alignment, total)) {
    abort();
  }
  for (size_t i = 0; i < total; i++) static_cast<volatile char*>(memory)[i] = char(0xff);
  variables[variable_count++] = {key, name, static_cast<unsigned char*>(memory), bytes};
  return memory;
}

void* shared(const void* key, const char* name, size_t bytes, size_t alignment) {
  for (unsigned i = 0; i < variable_count; i++)
    if (variables[i].key == key) return variables[i].memory;
  return allocate(key, name, bytes, alignment);
}

void reset_shared(size_t dynamic_bytes) {
  if (thread_sanitized()) {
    constexpr int kind = MAP_PRIVATE | MAP_ANONYMOUS;
    region = static_cast<char*>(mmap(region, REGION, PROT_READ | PROT_WRITE, kind | (region ? MAP_FIXED : 0), -1, 0));
    if (region == MAP_FAILED) abort();
  } else {
    for (unsigned i = 0; i < variable_count; i++) free(variables[i].memory);
  }
  variable_count = 0;
  region_used = shared_bytes = 0;
  block.dynamic_shared = dynamic_bytes ? allocate(&block, "dynamic shared memory", dynamic_bytes, 1024) : nullptr;
}

const char* overwritten_shared(size_t* past_end) {
  if (sanitized()) return nullptr;
  for (unsigned v = 0; v < variable_count; v++)
    for (size_t i = 0; i < TAIL; i++)
      if (variables[v].memory[variables[v].bytes + i] != 0xff) {
        *past_end = i;
        return variables[v].name;
      }
  return nullptr;
}

}  // namespace emulator

// Device memory that ends (up to 15 bytes) before a page that traps, begins after one, and has the same remainder of 16
// as the address that it stands for. A sanitizer brings red zones of its own.
constexpr size_t PAGE = 4096;
constexpr unsigned char SLACK = 0xcb;

// A trapping page, the memory with the slack before and after it, another trapping page.
static size_t mapping_length(size_t bytes, size_t remainder) { return ((bytes + remainder + 15) / PAGE + 3) * PAGE; }

extern "C" void* device_allocate(size_t bytes, size_t remainder) {
  if (emulator::sanitized()) {
    void* p;
    if (posix_memalign(&p, 256, bytes + remainder + !bytes)) abort();
    return static_cast<char*>(p) + remainder;
  }
  const size_t length = mapping_length(bytes, remainder);
  auto* mapping =
      static_cast<unsigned char*>(mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (mapping == MAP_FAILED) abort();
  mprotect(mapping, PAGE, PROT_NONE);
  mprotect(mapping + length - PAGE, PAGE, PROT_NONE);
  memset(mapping + PAGE, SLACK, length - 2 * PAGE);
  return mapping + length - PAGE - (bytes + remainder + 15) / 16 * 16 + remainder;
}

// Frees; returns 1 if something was written before or after it.
extern "C" int device_free(void* memory, size_t bytes, size_t remainder) {
  auto* first = static_cast<unsigned char*>(memory);
  if (emulator::sanitized()) {
    free(first - remainder);
    return 0;
  }
  const size_t length = mapping_length(bytes, remainder);
  unsigned char* end = first - remainder + (bytes + remainder + 15) / 16 * 16;
  unsigned char* mapping = end + PAGE - length;
  int written = 0;
  for (unsigned char* p = mapping + PAGE; p < first; p++) written |= *p != SLACK;
  for (unsigned char* p = first + bytes; p < end; p++) written |= *p != SLACK;
  munmap(mapping, length);
  return written;
}
