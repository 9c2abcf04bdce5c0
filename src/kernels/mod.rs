//! The few numeric operations a decoder needs, each a forward/backward pair on slices.
//!
//! Every operation has a plain reference, generic over f32 and f64, whose backward is checked against finite
//! differences in f64, and a CPU form in f32 that is checked against the reference. All matrices are row-major slices;
//! the caller owns every buffer. Frozen weights take no gradient. Reductions run in an order that does not depend on
//! the number of threads. Nothing here knows what a layer is.

pub mod attention;
pub mod buffer;
pub mod composed;
pub mod cross_entropy;
pub mod embedding;
pub mod gemm;
pub mod linear;
pub mod peak;
pub mod quantised;
pub mod random;
pub mod rms_norm;
pub mod rope;
pub mod simd;
pub mod softmax;
pub mod swiglu;
pub mod team;

#[cfg(test)]
pub(crate) mod check;
