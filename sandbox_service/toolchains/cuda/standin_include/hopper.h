// The stand-in's <hopper.h>: the same functions on a CPU, with the hardware's layouts (swizzle, fragments, phases).
// What is asynchronous there is done at once here, so a missing wait does not show; a wrong layout does.
#pragma once
#include <stdint.h>

namespace hopper {

struct Barrier { int32_t bytes; uint16_t pending; uint8_t count, phase; };
inline uint32_t shared_address(const void *p) { return uint32_t((const char *)p - standin::dynamic_shared); }

inline void turn(Barrier *b) {
    standin::progress++;
    if (b->pending == 0 && b->bytes == 0) b->pending = b->count, b->phase ^= 1;
}
inline void barrier_init(uint64_t *at, unsigned count) { *(Barrier *)at = {0, uint16_t(count), uint8_t(count), 0}; }
inline void barriers_ready() {}
inline void arrive(uint64_t *at) { Barrier *b = (Barrier *)at; b->pending--; turn(b); }
inline void arrive_expect(uint64_t *at, unsigned bytes) {
    Barrier *b = (Barrier *)at;
    b->bytes += bytes, b->pending--;
    turn(b);
}
inline void wait(uint64_t *at, unsigned parity) {
    while (((volatile Barrier *)at)->phase == parity) standin::swap_home();
}
inline void meet(int id, int threads) {
    standin::Meeting &at = standin::block->named[id];
    at.members = threads;
    standin::meet(at);
}
inline void pass(int id, int threads) {
    standin::Meeting &at = standin::block->named[id];
    at.members = threads;
    standin::progress++;
    if (++at.came == at.members) at.came = 0, at.turn++;
}
inline unsigned cluster_blocks() { return standin::cluster_blocks; }
inline unsigned cluster_rank() { return standin::block - standin::blocks; }
inline void cluster_meet() { standin::meet(standin::cluster_meeting); }
template <class T> T *of_block(T *shared, unsigned rank) { return (T *)standin::address_in(shared, rank); }
inline void arrive_at(uint64_t *at, unsigned rank) { arrive((uint64_t *)standin::address_in(at, rank)); }
inline void wait_previous() { standin::waited = true; }  // launches come one after another here
inline void let_next_begin() {}
template <int COUNT> void more_registers() {}
template <int COUNT> void fewer_registers() {}
inline void bulk_load(void *shared, const void *global, unsigned bytes, uint64_t *at) {
    if (bytes % 16 || (uintptr_t)global % 16 || shared_address(shared) % 16) abort();
    memcpy(shared, global, bytes);
    Barrier *b = (Barrier *)at;
    b->bytes -= bytes;
    turn(b);
}
inline void bulk_load_to(void *shared, const void *global, unsigned bytes, uint64_t *at, unsigned ranks) {
    if (!ranks || ranks >> standin::cluster_blocks) abort();
    for (unsigned rank = 0; rank < (unsigned)standin::cluster_blocks; rank++)
        if (ranks >> rank & 1) {
            if (bytes % 16 || (uintptr_t)global % 16 || shared_address(shared) % 16) abort();
            memcpy(standin::address_in(shared, rank), global, bytes);
            Barrier *b = (Barrier *)standin::address_in(at, rank);
            b->bytes -= bytes;
            turn(b);
        }
}
inline void prefetch(const void *global, unsigned bytes) { if (bytes % 16 || (uintptr_t)global % 16) abort(); }
inline void writes_visible() {}
inline uint64_t tile(const void *shared) {
    return uint64_t((shared_address(shared) & 0x3FFFF) >> 4) | (1ull << 16) | (64ull << 32) | (1ull << 62);
}
inline void mma_begin() { __syncwarp(); }  // sync.aligned: the whole warp is there
inline void mma_commit() {}
template <int LEFT> void mma_wait() { __syncwarp(); }

struct Halves {  // every half as a float: conversions take most of the time otherwise
    float value[1 << 16];
    Halves() {
        for (unsigned bits = 0; bits < 1 << 16; bits++) {
            uint16_t narrow = bits;
            _Float16 half;
            memcpy(&half, &narrow, 2);
            value[bits] = half;
        }
    }
};
inline const Halves halves;

#pragma GCC push_options
#pragma GCC optimize("O3")
// 16 halves of row r of a tile, as the hardware finds them: bits 4 to 6 of an address turned by bits 7 to 9.
inline void row_of(float *to, uint64_t tile, int r) {
    uint32_t at = uint32_t(tile & 0x3FFF) << 4;
    at += r / 8 * (uint32_t(tile >> 32 & 0x3FFF) << 4) + r % 8 * 128;
    for (int part = 0; part < 2; part++) {
        uint32_t chunk = at + part * 16;
        auto from = (const uint16_t *)(standin::dynamic_shared + (chunk ^ (chunk >> 7 & 7) << 4));
        for (int k = 0; k < 8; k++) to[8 * part + k] = halves.value[from[k]];
    }
}
template <int N> void multiply(float (&d)[N / 2], const float (&a)[2][16], uint64_t b, int keep) {
    int column = 2 * (standin::lane() % 4);
    for (int j = 0; j < N / 8; j++)
        for (int e = 0; e < 2; e++) {
            float w[16], sum[16];
            row_of(w, b, 8 * j + column + e);
            for (int h = 0; h < 2; h++) {
                for (int k = 0; k < 16; k++) sum[k] = a[h][k] * w[k];
                float all = keep ? d[4 * j + 2 * h + e] : 0;
                for (int k = 0; k < 16; k++) all += sum[k];
                d[4 * j + 2 * h + e] = all;
            }
        }
}
#pragma GCC pop_options
template <int N> void mma(float (&d)[N / 2], uint64_t a, uint64_t b, int keep) {
    float rows[2][16];
    int first = standin::now / 32 % 4 * 16 + standin::lane() / 4;
    for (int h = 0; h < 2; h++) row_of(rows[h], a, first + 8 * h);
    multiply<N>(d, rows, b, keep);
}
template <int N> void mma(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b, int keep) {
    float rows[2][16];
    int quad = standin::lane() / 4 * 4;  // its four lanes hold a row together
    for (int k = 0; k < 16; k++)
        for (int h = 0; h < 2; h++) {
            _Float16 pairs[2];
            uint32_t held[2] = {__shfl_sync(~0u, a[h], quad + k % 8 / 2), __shfl_sync(~0u, a[2 + h], quad + k % 8 / 2)};
            memcpy(pairs, &held[k / 8], 4);
            rows[h][k] = pairs[k % 2];
        }
    multiply<N>(d, rows, b, keep);
}
inline void load_transposed(uint32_t (&r)[4], const void *shared) {
    int column = standin::lane() / 4, row = 2 * (standin::lane() % 4);
    for (int m = 0; m < 4; m++) {
        _Float16 pair[2];
        for (int e = 0; e < 2; e++) {
            const char *at = (const char *)standin::exchange((long long)(uintptr_t)shared, 8 * m + row + e);
            pair[e] = ((const _Float16 *)at)[column];
        }
        memcpy(&r[m], pair, 4);
    }
}
inline float tanh_fast(float x) { return tanhf(x); }
inline uint32_t tanh_fast_pair(uint32_t pair) {
    _Float16 both[2];
    memcpy(both, &pair, 4);
    for (_Float16 &one : both) one = tanhf(one);
    memcpy(&pair, both, 4);
    return pair;
}

}  // namespace hopper
