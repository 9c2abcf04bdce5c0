//! RMSNorm: y = x / √(mean(x²) + ε) ⊙ γ.

use candle_core::{D, Tensor};

use crate::error::Result;

/// x [rows, n], γ `[n]` → (y [rows, n], 1/rms [rows, 1]).
pub fn forward(x: &Tensor, gamma: &Tensor, epsilon: f64) -> Result<(Tensor, Tensor)> {
    let inverse = x.sqr()?.mean_keepdim(D::Minus1)?.affine(1.0, epsilon)?.sqrt()?.recip()?;
    Ok((x.broadcast_mul(&inverse)?.broadcast_mul(gamma)?, inverse))
}

/// dx for dy, from the x and the 1/rms of the forward: r·γ⊙dy − x·r³·⟨x, γ⊙dy⟩/n.
pub fn backward(x: &Tensor, gamma: &Tensor, inverse: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let scaled = dy.broadcast_mul(gamma)?;
    let projection = (x * &scaled)?.mean_keepdim(D::Minus1)?;
    let along = (projection * (inverse.sqr()? * inverse)?)?;
    Ok((scaled.broadcast_mul(inverse)? - x.broadcast_mul(&along)?)?)
}
