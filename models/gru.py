"""A bidirectional GRU for training on a CPU: the same recurrence as torch.nn.GRU, in half the time or less.

On a CPU, torch.nn.GRU accumulates the weights' gradients at every time step, and under autocast casts the weights at
every time step. Here the weights are cast once a layer. Only the product with the recurrent weights is left in the loop
over time; each other matrix product is computed once for all time steps. The hidden state and the gates stay float32;
matrix products take bfloat16 or float32 and accumulate in float32.
"""

import torch
from torch import Tensor


class _BothDirections(torch.autograd.Function):
    """One layer, both directions at once; the second direction reads time backwards.

    x (T, B, C), w_ih (2, 3H, C), w_hh (2, 3H, H), b_ih, b_hh (2, 3H) -> (T, B, 2H). Gates in PyTorch's order: r, z, n.
    """

    @staticmethod
    def forward(
        ctx, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, dtype: torch.dtype
    ) -> Tensor:
        steps, batch, _ = x.shape
        hidden = w_hh.shape[2]
        x_cast, w_ih_cast, w_hh_cast = (v.to(dtype) for v in (x, w_ih, w_hh))
        # The inputs' part of the gates, in each direction's order of time, (T, 2, B, 3H). b_hh of r and z is added here
        # too; b_hh of n is not, because the reset gate multiplies it.
        bias = b_ih.clone()
        bias[:, :2 * hidden] += b_hh[:, :2 * hidden]
        given = torch.empty(steps, 2, batch, 3 * hidden)
        for d in range(2):
            product = (x_cast.flatten(0, 1) @ w_ih_cast[d].t()).float().add_(bias[d]).unflatten(0, (steps, batch))
            given[:, d] = product.flip(0) if d else product
        b_n = b_hh[:, None, 2 * hidden:]                                   # (2, 1, H)
        recurrent = w_hh_cast.transpose(1, 2).contiguous()                     # (2, H, 3H)
        states = torch.zeros(steps + 1, 2, batch, hidden)                   # states[t]: the hidden state before step t
        gates = given                                                       # r, z, n overwrite the inputs' part
        reset_n = torch.empty(steps, 2, batch, hidden)                      # the factor that r multiplies
        h = states[0]
        for t in range(steps):
            product = torch.bmm(h.to(dtype), recurrent).float()
            rz = gates[t, ..., :2 * hidden].add_(product[..., :2 * hidden]).sigmoid_()
            inner = torch.add(product[..., 2 * hidden:], b_n, out=reset_n[t])
            n = gates[t, ..., 2 * hidden:].addcmul_(rz[..., :hidden], inner).tanh_()
            h = torch.lerp(n, h, rz[..., hidden:], out=states[t + 1])
        ctx.save_for_backward(x_cast, w_ih_cast, w_hh_cast, gates, reset_n, states)
        ctx.input_dtype, ctx.dtype = x.dtype, dtype
        return torch.cat([states[1:, 0], states[1:, 1].flip(0)], 2)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x_cast, w_ih_cast, w_hh_cast, gates, reset_n, states = ctx.saved_tensors
        dtype = ctx.dtype
        steps, _, batch, hidden = states[1:].shape
        grad = torch.stack([grad[..., :hidden], grad[..., hidden:].flip(0)], 1).float()     # (T, 2, B, H)
        to_input = torch.empty_like(gates)                     # gradient of the inputs' part, (T, 2, B, 3H)
        to_hidden = torch.empty_like(gates)                    # gradient of the hidden state's part
        r, z, n = gates.split(hidden, 3)
        # The factors that do not depend on the hidden state's gradient, for all time steps at once.
        by_z = (states[:-1] - n).mul_(z).mul_(1 - z)
        by_n = (1 - n * n).mul_(1 - z)
        by_r = reset_n * r * (1 - r)
        dh = torch.zeros(2, batch, hidden)
        for t in reversed(range(steps)):
            dh = dh + grad[t]
            step = to_hidden[t]
            dn = torch.mul(dh, by_n[t], out=to_input[t, ..., 2 * hidden:])
            torch.mul(dn, by_r[t], out=step[..., :hidden])
            torch.mul(dh, by_z[t], out=step[..., hidden:2 * hidden])
            torch.mul(dn, r[t], out=step[..., 2 * hidden:])
            dh = torch.addcmul(torch.bmm(step.to(dtype), w_hh_cast).float(), dh, z[t])
        to_input[..., :2 * hidden] = to_hidden[..., :2 * hidden]
        # Back in the input's order of time; the sums over time steps and clips are single matrix products.
        dx, dw_ih, dw_hh = None, torch.empty(w_ih_cast.shape), torch.empty(w_hh_cast.shape)
        flat_x = x_cast.flatten(0, 1)
        for d in range(2):
            given = to_input[:, d].flip(0) if d else to_input[:, d]
            given_cast = given.to(dtype).flatten(0, 1)
            part = given_cast @ w_ih_cast[d]
            dx = part.float() if dx is None else dx.add_(part)
            dw_ih[d] = given_cast.t() @ flat_x
            dw_hh[d] = to_hidden[:, d].to(dtype).flatten(0, 1).t() @ states[:-1, d].to(dtype).flatten(0, 1)
        db_ih, db_hh = to_input.sum((0, 2)), to_hidden.sum((0, 2))
        return dx.unflatten(0, (steps, batch)).to(ctx.input_dtype), dw_ih, dw_hh, db_ih, db_hh, None


def bidirectional_gru(x: Tensor, gru: torch.nn.GRU, dtype: torch.dtype) -> Tensor:
    """The output of `gru` (bidirectional, batch first, with bias) for x (B, T, C), on a CPU: (B, T, 2H), float32.

    `dtype` is the type of the matrix products, bfloat16 or float32. Dropout between the layers is the module's.
    """
    x = x.transpose(0, 1)
    for layer in range(gru.num_layers):
        names = (f"{kind}_l{layer}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        weights = [torch.stack([getattr(gru, name), getattr(gru, f"{name}_reverse")]) for name in names]
        x = _BothDirections.apply(x, *weights, dtype)
        if layer + 1 < gru.num_layers:
            x = torch.nn.functional.dropout(x, gru.dropout, gru.training)
    return x.transpose(0, 1)
