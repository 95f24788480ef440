"""List of operators whose multiplications no convention counts: views, sums, element-wise."""

from __future__ import annotations

from typing import Any

import torch

_NAMES = """
    alias detach clone copy copy_ _to_copy lift_fresh empty_like
    empty empty_strided new_empty new_empty_strided zeros zeros_like new_zeros ones ones_like
    new_ones full full_like new_full fill fill_ zero_ scalar_tensor arange linspace eye
    rand rand_like randn randn_like randint randint_like randperm bernoulli bernoulli_ uniform_
    normal normal_ exponential_ geometric_ cauchy_ log_normal_ multinomial poisson
    random_ native_dropout _reshape_alias view _unsafe_view reshape expand as_strided
    slice select split split_with_sizes unbind narrow permute transpose t squeeze unsqueeze
    diagonal unfold cat stack repeat roll flip constant_pad_nd pixel_shuffle pixel_unshuffle
    slice_backward select_backward slice_scatter select_scatter
    diagonal_scatter as_strided_scatter unfold_backward
    index index_put index_put_ _unsafe_index _unsafe_index_put index_select index_add index_copy
    gather scatter scatter_ scatter_add scatter_add_ masked_fill masked_fill_ masked_scatter
    embedding where take tril triu tril_indices triu_indices diag_embed nonzero masked_select
    index_fill index_fill_ scatter_reduce rot90 channel_shuffle bucketize searchsorted isin
    sum mean amax amin max min argmax argmin any all prod cumsum std var var_mean
    linalg_vector_norm norm sort argsort topk aminmax median nanmedian kthvalue mode std_mean
    cummax cummin cumprod logcumsumexp trace histc count_nonzero unique2 _unique2 unique_dim
    _softmax _softmax_backward_data _log_softmax _log_softmax_backward_data _safe_softmax
    logsumexp nll_loss_forward nll_loss_backward nll_loss2d_forward nll_loss2d_backward
    mse_loss mse_loss_backward l1_loss smooth_l1_loss smooth_l1_loss_backward
    huber_loss huber_loss_backward multi_margin_loss multi_margin_loss_backward
    multilabel_margin_loss_forward multilabel_margin_loss_backward
    native_layer_norm_backward native_batch_norm_backward native_group_norm_backward
    batch_norm_backward cudnn_batch_norm_backward
    _adaptive_avg_pool2d _adaptive_avg_pool2d_backward avg_pool2d avg_pool2d_backward
    max_pool2d_with_indices max_pool2d_with_indices_backward
    upsample_nearest2d upsample_nearest2d_backward upsample_bilinear2d
    upsample_bilinear2d_backward upsample_bicubic2d upsample_bicubic2d_backward
    grid_sampler_2d grid_sampler_2d_backward adaptive_max_pool2d adaptive_max_pool2d_backward
    binary_cross_entropy_with_logits
    gelu_backward threshold_backward silu_backward tanh_backward sigmoid_backward
    is_same_size _local_scalar_dense bincount abs_ floor_ fill_diagonal_ index_add_
    _foreach_mul_ _foreach_add_ _foreach_lerp_
"""

FREE = frozenset(_NAMES.split())
"""Names of free aten operators, besides those that torch tags as pointwise."""


def aten_name(func: Any) -> str:
    """Return the name of an aten operator without namespace, "" for other libraries' operators."""
    namespace, _, name = str(func._schema.name).partition("::")
    return name if namespace == "aten" else ""


def is_free(func: Any) -> bool:
    """Whether an operator (an ``OpOverload``) has no multiplications that are counted.

    Only aten operators can be free; the cost of other libraries' operators is unknown.
    """
    name = aten_name(func).removeprefix("_foreach_")
    if name != aten_name(func):  # the same operator over a list of tensors
        name = name.rstrip("_")
        single = getattr(torch.ops.aten, name, None)
        tags = [getattr(single, o).tags for o in single.overloads()] if single else []
        return name in FREE or any(torch.Tag.pointwise in t for t in tags)
    return bool(name) and (name in FREE or torch.Tag.pointwise in func.tags)
