//! Plain loops compiled several times, for AVX-512, AVX2 + FMA and the baseline, and chosen at run time; and the
//! exponential they share.
//!
//! A loop is written once, generic over `FMA` (whether multiply-adds are fused: on the baseline of x86-64 a fused one
//! would be a library call), and the compiler vectorises it for each level. On processors other than x86-64 the
//! baseline is all there is: NEON is part of aarch64's. Results are the same on every run on one kind of processor;
//! between kinds they differ by rounding.

/// `a·b + c`, fused where `FMA`.
#[inline(always)]
pub fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// What the processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The target's minimum.
    Baseline,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL besides.
    Avx512,
}

/// The best level this processor runs; detection is cached by the standard library.
#[inline]
pub fn level() -> Level {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        let wide = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        return if wide { Level::Avx512 } else { Level::Avx2 };
    }
    Level::Baseline
}

/// Asks for the cache lines of numbers that are read soon.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn prefetch<T: Copy>(soon: &[T]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    const LINE: usize = 64;
    let at = soon.as_ptr().cast::<i8>();
    for offset in (0..std::mem::size_of_val(soon)).step_by(LINE) {
        // SAFETY: a prefetch never faults, and these are lines of the slice.
        #[expect(unsafe_code, reason = "a hint to the processor")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(offset));
        }
    }
}

/// Defines a function that runs the form of `inner::<FMA>` compiled for this processor. `inner` and what it calls must
/// be `#[inline(always)]`.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $inner:ident) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::kernels::simd::Level;

                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                $(#[$meta])*
                fn avx512($($arg: $type),*) $(-> $result)? {
                    $inner::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                $(#[$meta])*
                fn avx2($($arg: $type),*) $(-> $result)? {
                    $inner::<true>($($arg),*)
                }
                #[expect(unsafe_code, reason = "calling a function compiled for detected features")]
                match $crate::kernels::simd::level() {
                    // SAFETY: `level` detected every feature the function is compiled for.
                    Level::Avx512 => unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    Level::Avx2 => unsafe { avx2($($arg),*) },
                    Level::Baseline => $inner::<false>($($arg),*),
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            $inner::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}
pub(super) use multiversion;

/// eˣ within 2 units in the last place, without branches: 2ⁿ·p(r) with n the integer nearest to x/ln 2 and p the
/// polynomial of Cephes' `expf` (Moshier). Overflows to ∞ and underflows through subnormals to 0 as it should; NaN stays.
#[inline(always)]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    // 1.5·2²³: adding it rounds to an integer, which is left in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Comparisons, not min and max, so that NaN passes.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let shifted = mul_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add::<FMA>(n, -LN_2_HIGH, x);
    let r = mul_add::<FMA>(n, -LN_2_LOW, r);
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = mul_add::<FMA>(p, r, c);
    }
    let p = mul_add::<FMA>(p, r * r, r + 1.0);
    // 2ⁿ in two factors: n reaches from −150 to 128, outside what one normal number holds.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    p * power(half) * power(n.wrapping_sub(half))
}

/// Lanes of the interleaved sums below: one AVX-512 vector.
pub const LANES: usize = 16;

/// Σ aᵢ·bᵢ in interleaved sums; the order depends on the length only.
#[inline(always)]
pub fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = mul_add::<FMA>(a[lane], b[lane], sums[lane]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).fold(0.0, |s, (a, b)| mul_add::<FMA>(*a, *b, s));
    total(sums) + rest
}

/// The sum of the lanes, halving.
#[inline(always)]
pub fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(always)]
    fn exp_all<const FMA: bool>(x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y = exp::<FMA>(*x);
        }
    }

    multiversion! { fn exp_here(x: &[f32], y: &mut [f32]) = exp_all }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let x: Vec<f32> = (0..2_000_000).map(|i| -103.0 + i as f32 * (191.7 / 2_000_000.0)).collect();
        for run in [exp_here, exp_all::<true>, exp_all::<false>] {
            let mut y = vec![0.0; x.len()];
            run(&x, &mut y);
            for (x, y) in x.iter().zip(&y) {
                let want = f64::from(*x).exp();
                // The distance between neighbours there, at least that of subnormals.
                let unit = (want * 2f64.powi(-23)).max(2f64.powi(-149));
                assert!((f64::from(*y) - want).abs() <= 2.0 * unit, "exp({x}) = {y}, not {want}");
            }
        }
    }

    #[test]
    fn exp_at_the_ends() {
        let at = [f32::NEG_INFINITY, f32::MIN, -200.0, -0.0, 0.0, 89.5, f32::MAX, f32::INFINITY, f32::NAN];
        let mut y = [0.0; 9];
        exp_here(&at, &mut y);
        assert_eq!(y[..8], [0.0, 0.0, 0.0, 1.0, 1.0, f32::INFINITY, f32::INFINITY, f32::INFINITY]);
        assert!(y[8].is_nan());
    }
}
