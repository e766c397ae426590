// Runs plain CUDA C++ on a CPU, for its answer alone: the threads of a block, or of a cluster's blocks, are fibers of
// one thread, and __syncthreads and the warp's collectives are meetings between them. A missing barrier shows, since
// each fiber runs as far as it can. Tensor cores, bulk copies and clusters are there as <hopper.h> has them; wmma,
// other asynchronous copies, cooperative_groups and inline PTX do not compile.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <algorithm>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __constant__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("standin_shared")))

struct uint3 { unsigned x, y, z; };
struct dim3 : uint3 { dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : uint3{a, b, c} {} };
struct float2 { float x, y; };
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
using std::max;
using std::min;
inline float max(float a, double b) { return fmaxf(a, b); }
inline float min(float a, double b) { return fminf(a, b); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __saturatef(float x) { return fminf(1, fmaxf(0, x)); }
template <class T> T __ldg(const T *p) { return *p; }
template <class T> T __ldcs(const T *p) { return *p; }
template <class T> void __stcs(T *p, T v) { *p = v; }
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace standin {
constexpr size_t STACK = 64 << 10;
enum { WARP = 32, MOST = 1024, CLUSTER = 8 };
struct Meeting { int members, came; unsigned turn; };
inline char dynamic_shared[232448] __attribute__((aligned(1024)));
extern "C" char __start_standin_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_standin_shared[] __attribute__((weak, visibility("hidden")));

// A block of a cluster. Shared memory is at one address for all: while a block runs it is there, else in `kept`.
struct Block {
    uint3 index;
    Meeting all, warps[MOST / WARP], named[16];
    long long slots[MOST];
    bool ended[MOST];
    ucontext_t fibers[MOST];
    jmp_buf places[MOST];  // where to go on; swapcontext would ask the kernel each time
    char *kept, *stacks;
};
inline Block *blocks = (Block *)calloc(CLUSTER, sizeof(Block)), *block = blocks;  // `block`: the one that runs
inline jmp_buf home;
inline Meeting cluster_meeting;
inline int now, progress, cluster_blocks;  // `now`: the thread that runs, of its block
inline bool waited;  // whether any block has, for the launch before
inline uint3 thread_index;
inline dim3 block_size, grid_size;
inline void (*body)(void *);
inline void *body_args;
inline void swap_home() {
    if (!_setjmp(block->places[now])) _longjmp(home, 1);
}

inline size_t static_bytes() { return __start_standin_shared ? __stop_standin_shared - __start_standin_shared : 0; }
inline void activate(Block *next) {
    if (next == block) return;
    if (static_bytes()) memcpy(block->kept + sizeof dynamic_shared, __start_standin_shared, static_bytes());
    memcpy(block->kept, dynamic_shared, sizeof dynamic_shared);
    block = next;
    memcpy(dynamic_shared, block->kept, sizeof dynamic_shared);
    if (static_bytes()) memcpy(__start_standin_shared, block->kept + sizeof dynamic_shared, static_bytes());
}
// Where another block of the cluster has what this one has at `shared`.
inline char *address_in(const void *shared, unsigned rank) {
    auto at = (const char *)shared;
    if (rank >= (unsigned)cluster_blocks) abort();
    if (blocks + rank == block) return (char *)at;
    if (at >= dynamic_shared && at < dynamic_shared + sizeof dynamic_shared)
        return blocks[rank].kept + (at - dynamic_shared);
    if (static_bytes() && at >= __start_standin_shared && at < __stop_standin_shared)
        return blocks[rank].kept + sizeof dynamic_shared + (at - __start_standin_shared);
    abort();
}

inline void meet(Meeting &at) {
    unsigned turn = at.turn;
    progress++;
    if (++at.came == at.members) { at.came = 0; at.turn++; return; }
    while (at.turn == turn) swap_home();
}
inline void leave(Meeting &at) {  // who has returned is not waited for
    if (--at.members && at.came == at.members) { at.came = 0; at.turn++; }
}
inline void run_fiber() {
    body(body_args);
    block->ended[now] = true;
    progress++;
    leave(block->all);
    leave(block->warps[now / WARP]);
    leave(cluster_meeting);
    _longjmp(home, 1);
}
inline void go_on(bool started) {
    if (_setjmp(home)) return;
    if (started) _longjmp(block->places[now], 1);
    setcontext(&block->fibers[now]);
}

inline void prepare(Block *made, uint3 index, int count) {
    if (!made->kept) made->kept = (char *)malloc(sizeof dynamic_shared + static_bytes());
    if (!made->stacks) made->stacks = (char *)malloc(MOST * STACK);
    if (made != block) memset(made->kept, 0xff, sizeof dynamic_shared + static_bytes());
    made->index = index;
    made->all = {count, 0, 0};
    for (Meeting &one : made->named) one = {0, 0, 0};
    for (int w = 0; w * WARP < count; w++) made->warps[w] = {std::min<int>(WARP, count - w * WARP), 0, 0};
    for (int t = 0; t < count; t++) {
        made->ended[t] = false;
        getcontext(&made->fibers[t]);
        made->fibers[t].uc_stack = {made->stacks + t * STACK, 0, STACK};
        makecontext(&made->fibers[t], run_fiber, 0);
    }
}
// In which order threads run: by number, or backwards but for each warp's first, which often signals for the others.
inline std::vector<int> order_of(int threads, bool backwards) {
    std::vector<int> order;
    if (!backwards)
        for (int t = 0; t < threads; t++) order.push_back(t);
    else {
        for (int t = 0; t < threads; t += WARP) order.push_back(t);
        for (int t = threads - 1; t >= 0; t--)
            if (t % WARP) order.push_back(t);
    }
    return order;
}
// The threads of a cluster's blocks, each as far as it can, until all have returned.
inline void run_cluster(uint3 first, dim3 cluster, bool backwards) {
    int count = block_size.x * block_size.y * block_size.z, size = cluster.x * cluster.y * cluster.z;
    cluster_blocks = size;
    cluster_meeting = {count * size, 0, 0};
    block = blocks;
    memset(dynamic_shared, 0xff, sizeof dynamic_shared);
    if (static_bytes()) memset(__start_standin_shared, 0xff, static_bytes());
    for (int rank = 0; rank < size; rank++) {
        unsigned x = cluster.x, y = cluster.y;
        uint3 index = {first.x + rank % x, first.y + rank / x % y, first.z + rank / x / y};
        prepare(blocks + rank, index, count);
    }
    auto order = order_of(count * size, backwards);
    bool started = false;
    for (int left = count * size; left; started = true) {
        progress = 0;
        for (int at : order) {
            if (blocks[at / count].ended[at % count]) continue;
            activate(blocks + at / count);
            now = at % count;
            unsigned x = block_size.x, y = block_size.y;
            thread_index = {now % x, now / x % y, now / x / y};
            go_on(started);
            left -= block->ended[now];
        }
        if (!progress) { fputs("threads of a block wait for each other for ever\n", stderr); exit(3); }
    }
}
template <class Body> void launch(dim3 grid, dim3 threads, dim3 cluster, bool overlaps, bool backwards, Body kernel) {
    grid_size = grid, block_size = threads, waited = false;
    body = [](void *it) { (*(Body *)it)(); }, body_args = &kernel;
    for (unsigned z = 0; z < grid.z; z += cluster.z)
        for (unsigned y = 0; y < grid.y; y += cluster.y)
            for (unsigned x = 0; x < grid.x; x += cluster.x) run_cluster({x, y, z}, cluster, backwards);
    if (overlaps && !waited) { fputs("a kernel never waits for the one that it overlaps\n", stderr); exit(3); }
}
template <class T> T exchange(T value, int from) {
    static_assert(sizeof(T) <= 8);
    int me = now;
    memcpy(&block->slots[me], &value, sizeof value);
    meet(block->warps[me / WARP]);
    memcpy(&value, &block->slots[me / WARP * WARP + from % WARP], sizeof value);
    meet(block->warps[me / WARP]);
    return value;
}
inline int lane() { return now % WARP; }
struct Pointer { void *p; template <class T> operator T *() const { return (T *)p; } };
}  // namespace standin

#define threadIdx (standin::thread_index)
#define blockIdx (standin::block->index)
#define blockDim (standin::block_size)
#define gridDim (standin::grid_size)
#define warpSize 32
inline void __syncthreads() { standin::meet(standin::block->all); }
inline void __syncwarp(unsigned = ~0u) { standin::meet(standin::block->warps[standin::now / 32]); }
inline int in_warp(int lane, int me, int width) { return lane / width == me / width && lane >= 0 ? lane : me; }
template <class T> T __shfl_sync(unsigned, T v, int from, int w = 32) {
    return standin::exchange(v, standin::lane() / w * w + from % w);
}
template <class T> T __shfl_xor_sync(unsigned, T v, int mask, int w = 32) {
    return standin::exchange(v, in_warp(standin::lane() ^ mask, standin::lane(), w));
}
template <class T> T __shfl_down_sync(unsigned, T v, int by, int w = 32) {
    return standin::exchange(v, in_warp(standin::lane() + by, standin::lane(), w));
}
template <class T> T __shfl_up_sync(unsigned, T v, int by, int w = 32) {
    return standin::exchange(v, in_warp(standin::lane() - by, standin::lane(), w));
}
template <class T, class U> T atomicAdd(T *p, U v) { T old = *p; *p = T(old + v); return old; }
template <class T, class U> T atomicMax(T *p, U v) { T old = *p; *p = std::max(old, T(v)); return old; }
template <class T, class U> T atomicMin(T *p, U v) { T old = *p; *p = std::min(old, T(v)); return old; }
