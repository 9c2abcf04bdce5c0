//! SwiGLU's elementwise part: silu(gate) ⊙ up.

use candle_core::Tensor;

use crate::error::Result;

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    Ok(x.neg()?.exp()?.affine(1.0, 1.0)?.recip()?)
}

/// silu(gate) ⊙ up, all of one shape.
pub fn forward(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    Ok(((gate * sigmoid(gate)?)? * up)?)
}

/// (dL/dgate, dL/dup) for dy.
pub fn backward(gate: &Tensor, up: &Tensor, dy: &Tensor) -> Result<(Tensor, Tensor)> {
    let s = sigmoid(gate)?;
    // silu'(g) = s·(1 + g·(1 − s))
    let slope = (&s * (gate * s.affine(-1.0, 1.0)?)?.affine(1.0, 1.0)?)?;
    let d_gate = ((dy * up)? * slope)?;
    let d_up = (dy * (gate * s)?)?;
    Ok((d_gate, d_up))
}
