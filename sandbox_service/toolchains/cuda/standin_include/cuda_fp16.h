// Half precision in the compiler's own type: what plain kernels use of CUDA's header of this name.
#pragma once
typedef _Float16 half;
typedef _Float16 __half;
struct alignas(4) half2 { half x, y; };
typedef half2 __half2;
inline half __float2half(float x) { return half(x); }
inline half __float2half_rn(float x) { return half(x); }
inline float __half2float(half x) { return float(x); }
inline half2 __floats2half2_rn(float x, float y) { return {half(x), half(y)}; }
inline half2 make_half2(half x, half y) { return {x, y}; }
inline float2 __half22float2(half2 v) { return {float(v.x), float(v.y)}; }
inline half2 __hfma2(half2 a, half2 b, half2 c) { return {half(a.x * b.x + c.x), half(a.y * b.y + c.y)}; }
inline half2 __hadd2(half2 a, half2 b) { return {half(a.x + b.x), half(a.y + b.y)}; }
inline half2 __hmul2(half2 a, half2 b) { return {half(a.x * b.x), half(a.y * b.y)}; }
