// What the two halves of the extension agree on. No PyTorch in here, so that nvcc has little to read.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace curope {

enum class Type { float32, float16, bfloat16 };

struct Strides {  // in elements
  int64_t batch, head, token, channel;
};

// The queries or the keys, [batch, heads, tokens, channels], and their angles.
struct Side {
  const void* in;
  void* out;
  Strides in_strides, out_strides;
  const float* cos;  // [1 or batch, tokens, channels], packed; likewise sin
  const float* sin;
  int64_t angle_batch_stride;  // 0: the same angles for the whole batch
  unsigned tokens;
};

struct Pair {
  Side q, k;
  int batch, heads, channels;
  bool inverse;  // turn by the negative angles
};

// Starts the kernel on `stream` and does not wait for it. Needs batch * tokens < 2^31 for both sides and
// heads * channels < 2^31.
cudaError_t turn(const Pair& pair, Type type, cudaStream_t stream);

}  // namespace curope
