//! Rotary position embedding in the half-split form: pairs (i, i + d/2) of each head are turned by the row's angles.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::kernels::rope::{Table, Turn};

/// cos and sin of every row of a pass, [rows, 1, half].
#[derive(Debug, Clone)]
pub struct Angles {
    cos: Tensor,
    sin: Tensor,
}

impl Angles {
    /// The angles of rows at these positions.
    pub fn new(table: &Table, positions: &[u32], device: &Device) -> Result<Self> {
        let (cos, sin) = table.rows(positions);
        let shape = (positions.len(), 1, cos.len() / positions.len().max(1));
        Ok(Self { cos: Tensor::from_vec(cos, shape, device)?, sin: Tensor::from_vec(sin, shape, device)? })
    }
}

/// Turns every head of x [rows, heads · 2·half].
pub fn apply(x: &Tensor, heads: usize, angles: &Angles, turn: Turn) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let half = width / heads / 2;
    let x = x.reshape((rows, heads, 2 * half))?;
    let (a, b) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
    let sin = match turn {
        Turn::Forward => angles.sin.clone(),
        Turn::Backward => angles.sin.neg()?,
    };
    let first = (a.broadcast_mul(&angles.cos)? - b.broadcast_mul(&sin)?)?;
    let second = (b.broadcast_mul(&angles.cos)? + a.broadcast_mul(&sin)?)?;
    Ok(Tensor::cat(&[first, second], 2)?.reshape((rows, width))?)
}
