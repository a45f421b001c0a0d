// The operator curope::rope_2d as PyTorch sees it: checks, outputs, stream. Gradient and shapes: __init__.py.

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "kernels.h"

namespace curope {
namespace {

using at::Tensor;

Type type_of(const Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat: return Type::float32;
    case at::kHalf: return Type::float16;
    case at::kBFloat16: return Type::bfloat16;
    default: TORCH_CHECK(false, "rope_2d turns float32, float16 and bfloat16, not ", x.scalar_type());
  }
}

void check_like_q(const Tensor& q, const Tensor& k) {
  TORCH_CHECK(q.dim() == 4 && k.dim() == 4, "q and k must be [b, heads, tokens, c], got ", q.sizes(), " and ", k.sizes());
  TORCH_CHECK(q.size(0) == k.size(0) && q.size(1) == k.size(1) && q.size(3) == k.size(3),
              "q and k may differ in their tokens only, got ", q.sizes(), " and ", k.sizes());
  TORCH_CHECK(q.size(3) % 4 == 0, "c must be a multiple of 4 (pairs for rows and for columns), got ", q.size(3));
  TORCH_CHECK(q.scalar_type() == k.scalar_type(), "q is ", q.scalar_type(), " and k is ", k.scalar_type(),
              "; they must be of one type");
  TORCH_CHECK(q.device() == k.device(), "q is on ", q.device(), " and k on ", k.device(), "; they must be on one device");
}

void check_angles(const Tensor& x, const Tensor& table, const char* name) {
  TORCH_CHECK(table.dim() == 4 && (table.size(0) == 1 || table.size(0) == x.size(0)) && table.size(1) == 1 &&
                  table.size(2) == x.size(2) && table.size(3) == x.size(3),
              name, " must be [1 or b, 1, tokens, c] for ", x.sizes(), ", got ", table.sizes());
  TORCH_CHECK(table.scalar_type() == at::kFloat, name, " must be float32, got ", table.scalar_type());
  TORCH_CHECK(table.device() == x.device(), name, " is on ", table.device(), "; it must be on ", x.device());
}

Strides strides_of(const Tensor& x) {
  // the stride of an axis of length 1 is never used and may be anything: it must not decide about wide loads
  const auto stride = [&x](int axis) { return x.size(axis) == 1 ? int64_t{0} : x.stride(axis); };
  return {stride(0), stride(1), stride(2), x.stride(3)};
}

// `cos` and `sin` are packed. The tensors must live until the kernel is launched.
Side side_of(const Tensor& in, const Tensor& out, const Tensor& cos, const Tensor& sin) {
  Side side;
  side.in = in.const_data_ptr();
  side.out = out.mutable_data_ptr();
  side.in_strides = strides_of(in);
  side.out_strides = strides_of(out);
  side.cos = cos.const_data_ptr<float>();
  side.sin = sin.const_data_ptr<float>();
  side.angle_batch_stride = cos.size(0) == 1 ? 0 : cos.size(2) * cos.size(3);
  side.tokens = static_cast<unsigned>(in.size(2));
  return side;
}

std::tuple<Tensor, Tensor> rope_2d(const Tensor& q, const Tensor& k, const Tensor& q_cos, const Tensor& q_sin,
                                   const Tensor& k_cos, const Tensor& k_sin, bool inverse) {
  check_like_q(q, k);
  check_angles(q, q_cos, "q_cos");
  check_angles(q, q_sin, "q_sin");
  check_angles(k, k_cos, "k_cos");
  check_angles(k, k_sin, "k_sin");
  TORCH_CHECK(q_cos.size(0) == q_sin.size(0) && k_cos.size(0) == k_sin.size(0), "cos and sin must have one shape");
  constexpr int64_t most = std::numeric_limits<int>::max();
  TORCH_CHECK(q.size(0) <= most && q.size(0) * std::max(q.size(2), k.size(2)) <= most && q.size(1) * q.size(3) <= most,
              "too large: b * tokens and heads * c must stay below 2^31, got ", q.sizes(), " and ", k.sizes());

  const c10::cuda::CUDAGuard on_device_of(q.device());
  Tensor new_q = at::empty_like(q), new_k = at::empty_like(k);
  const Tensor tables[] = {q_cos.contiguous(), q_sin.contiguous(), k_cos.contiguous(), k_sin.contiguous()};
  Pair pair;
  pair.q = side_of(q, new_q, tables[0], tables[1]);
  pair.k = side_of(k, new_k, tables[2], tables[3]);
  pair.batch = static_cast<int>(q.size(0));
  pair.heads = static_cast<int>(q.size(1));
  pair.channels = static_cast<int>(q.size(3));
  pair.inverse = inverse;
  C10_CUDA_CHECK(turn(pair, type_of(q), c10::cuda::getCurrentCUDAStream()));
  return {new_q, new_k};
}

}  // namespace

TORCH_LIBRARY(curope, m) {
  m.def(
      "rope_2d(Tensor q, Tensor k, Tensor q_cos, Tensor q_sin, Tensor k_cos, Tensor k_sin, bool inverse)"
      " -> (Tensor, Tensor)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(curope, CUDA, m) { m.impl("rope_2d", &rope_2d); }

}  // namespace curope

// An empty Python module: what counts is that loading the library registers the operator.
PyMODINIT_FUNC PyInit_curope_kernels() {
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "curope_kernels", nullptr, -1, nullptr};
  return PyModule_Create(&module);
}
