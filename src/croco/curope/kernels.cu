// The rotary embedding on the GPU.
//
// The channels of a head are four quarters: row u, row v, column u, column v. Channel j of a "u" quarter and channel j
// of the "v" quarter after it form a pair, (u, v) -> (u cos - v sin, v cos + u sin).
//
// The time goes into moving bytes. A block turns all heads of one token, so the token's angles are read from memory
// once and then come from the cache; a thread turns V neighbouring pairs, with loads and stores of up to 16 bytes.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

#include "kernels.h"

namespace curope {
namespace {

constexpr int max_threads = 256;

// float32 in between. Functions, because PyTorch's compiler flags take the conversions away.
__device__ float widen(float x) { return x; }
__device__ float widen(__half x) { return __half2float(x); }
__device__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ void narrow(float x, float& to) { to = x; }
__device__ void narrow(float x, __half& to) { to = __float2half_rn(x); }
__device__ void narrow(float x, __nv_bfloat16& to) { to = __float2bfloat16_rn(x); }

// V neighbours in memory, moved in one piece, or in pieces of 16 bytes where they are longer.
template <typename T, int V>
struct alignas(std::min<int>(V * sizeof(T), 16)) Pack {
  T at[V];
};

template <typename T, int V>
__device__ Pack<T, V> load(const T* from) {
  return *reinterpret_cast<const Pack<T, V>*>(from);
}

// One block per token: blockIdx.x counts the tokens of all samples, blockIdx.y is 0 for the queries and 1 for the keys.
template <typename T, int V>
__global__ void __launch_bounds__(max_threads) turn_token(const Pair pair) {
  const Side& side = blockIdx.y == 0 ? pair.q : pair.k;
  if (blockIdx.x >= pair.batch * side.tokens) return;  // the other side has more tokens
  const int64_t sample = blockIdx.x / side.tokens, token = blockIdx.x % side.tokens;
  const T* in = static_cast<const T*>(side.in) + sample * side.in_strides.batch + token * side.in_strides.token;
  T* out = static_cast<T*>(side.out) + sample * side.out_strides.batch + token * side.out_strides.token;
  const int64_t angles = sample * side.angle_batch_stride + token * pair.channels;

  const int quarter = pair.channels / 4;
  const int packs = pair.channels / (2 * V);  // of pairs, in a head
  for (int i = threadIdx.x; i < pair.heads * packs; i += blockDim.x) {
    const int head = i / packs;
    const int j = i % packs * V;                          // the first of V pairs
    const int u_channel = j < quarter ? j : j + quarter;  // a pack stays in its quarter: V divides it
    const int v_channel = u_channel + quarter;
    const T* from = in + head * side.in_strides.head;
    T* to = out + head * side.out_strides.head;

    // V > 1 only when the channels lie side by side, so the stride matters for the first channel alone
    const auto u = load<T, V>(from + u_channel * side.in_strides.channel);
    const auto v = load<T, V>(from + v_channel * side.in_strides.channel);
    const auto cos = load<float, V>(side.cos + angles + u_channel);
    const auto sin = load<float, V>(side.sin + angles + u_channel);
    Pack<T, V> new_u, new_v;
#pragma unroll
    for (int p = 0; p < V; ++p) {
      const float a = widen(u.at[p]), b = widen(v.at[p]);
      const float s = pair.inverse ? -sin.at[p] : sin.at[p];
      // Each product is rounded before the sum, as in the plain path; a fused multiply-add would round differently.
      narrow(__fadd_rn(__fmul_rn(a, cos.at[p]), -__fmul_rn(b, s)), new_u.at[p]);
      narrow(__fadd_rn(__fmul_rn(b, cos.at[p]), __fmul_rn(a, s)), new_v.at[p]);
    }
    *reinterpret_cast<Pack<T, V>*>(to + u_channel * side.out_strides.channel) = new_u;
    *reinterpret_cast<Pack<T, V>*>(to + v_channel * side.out_strides.channel) = new_v;
  }
}

template <typename T, int V>
cudaError_t launch(const Pair& pair, cudaStream_t stream) {
  const unsigned tokens = pair.batch * std::max(pair.q.tokens, pair.k.tokens);
  const int packs = pair.heads * (pair.channels / (2 * V));
  if (tokens == 0 || packs == 0) return cudaSuccess;  // an empty grid is an error
  const int threads = std::min(max_threads, (packs + 31) / 32 * 32);
  turn_token<T, V><<<dim3(tokens, 2), threads, 0, stream>>>(pair);
  return cudaGetLastError();
}

// Whether every pack of V channels lies side by side and starts at a multiple of its size.
template <typename T>
bool fits(const void* start, const Strides& strides, int V) {
  const int64_t bytes = V * sizeof(T);
  const bool starts = reinterpret_cast<uintptr_t>(start) % bytes == 0;
  const bool steps = (strides.batch | strides.head | strides.token) * sizeof(T) % bytes == 0;  // bytes: a power of two
  return starts && steps && strides.channel == 1;
}

template <typename T>
bool fits(const Pair& pair, int V) {
  if (pair.channels / 4 % V != 0) return false;
  for (const Side& side : {pair.q, pair.k}) {
    // the angles move in pieces of 16 bytes; their rows are a multiple of that, because V is 4 or 8
    const bool angles = (reinterpret_cast<uintptr_t>(side.cos) | reinterpret_cast<uintptr_t>(side.sin)) % 16 == 0;
    if (!angles || !fits<T>(side.in, side.in_strides, V) || !fits<T>(side.out, side.out_strides, V)) return false;
  }
  return true;
}

template <typename T>
cudaError_t turn_as(const Pair& pair, cudaStream_t stream) {
  constexpr int widest = 16 / sizeof(T);  // 16 bytes are the most that a thread loads at once
  if (fits<T>(pair, widest)) return launch<T, widest>(pair, stream);
  if (fits<T>(pair, 4)) return launch<T, 4>(pair, stream);  // heads of 48 channels: quarters of 12
  return launch<T, 1>(pair, stream);
}

}  // namespace

cudaError_t turn(const Pair& pair, Type type, cudaStream_t stream) {
  switch (type) {
    case Type::float32: return turn_as<float>(pair, stream);
    case Type::float16: return turn_as<__half>(pair, stream);
    case Type::bfloat16: return turn_as<__nv_bfloat16>(pair, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace curope
