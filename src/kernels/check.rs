//! What the kernel tests share: reproducible random numbers, comparison, finite differences in f64.

/// `n` reproducible numbers, roughly uniform in −1..1.
pub fn random(n: usize, seed: u64) -> Vec<f32> {
    random64(n, seed).into_iter().map(|x| x as f32).collect()
}

/// `n` reproducible numbers, roughly uniform in −1..1.
pub fn random64(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

/// Every element within `tolerance` of the f64 truth, relative to the largest of 1 and the truth's maximum.
pub fn assert_close(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let difference = (f64::from(*g) - w).abs();
        assert!(difference <= tolerance * scale, "element {i}: {g} instead of {w} (scale {scale})");
    }
}

/// Checks `gradient` of the scalar function `f` at `x` by central differences in f64.
pub fn assert_gradient(x: &[f64], gradient: &[f64], mut f: impl FnMut(&[f64]) -> f64) {
    const STEP: f64 = 1e-5;
    assert_eq!(x.len(), gradient.len());
    let mut moved = x.to_vec();
    for i in 0..x.len() {
        moved[i] = x[i] + STEP;
        let above = f(&moved);
        moved[i] = x[i] - STEP;
        let below = f(&moved);
        moved[i] = x[i];
        let slope = (above - below) / (2.0 * STEP);
        assert!(
            (slope - gradient[i]).abs() <= 1e-7 * (1.0 + slope.abs()),
            "element {i}: gradient {} but the slope is {slope}",
            gradient[i]
        );
    }
}

/// Σ aᵢ·bᵢ: turns a tensor-valued function into a scalar one.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// f64 → f32.
pub fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|v| *v as f32).collect()
}
