//! Every composed operation against its reference in f64, on candle's CPU device.

use std::ops::Range;

use candle_core::Device;

use super::{attention, cross_entropy, from_host, linear, rms_norm, rope, swiglu, to_host};
use crate::kernels::attention::{Sequence, Shape, reference as attention_reference};
use crate::kernels::check::{assert_close, narrow, random64};
use crate::kernels::linear::{Matrix, Values};
use crate::kernels::rope::{Table, Turn};
use crate::kernels::{
    cross_entropy as plain_cross_entropy, linear as plain_linear, rms_norm as plain_rms_norm, rope as plain_rope,
    swiglu as plain_swiglu,
};

/// Relative to the largest number, or 1: the tolerance of the CPU forms' own tests.
const TOLERANCE: f64 = 1e-5;

fn tensor(values: &[f64], shape: &[usize]) -> candle_core::Tensor {
    from_host(&narrow(values), shape, &Device::Cpu).unwrap()
}

fn check(found: &candle_core::Tensor, expected: &[f64]) {
    assert_close(&to_host(found).unwrap(), expected, TOLERANCE);
}

/// f64 numbers that f32 holds exactly: both sides compute with the same.
fn numbers(len: usize, seed: u64) -> Vec<f64> {
    random64(len, seed).into_iter().map(|x| f64::from(x as f32)).collect()
}

#[test]
fn linear_forward_and_input_gradient() {
    for (rows, out, inner) in [(1, 1, 1), (1, 7, 5), (3, 16, 33), (17, 9, 64)] {
        let (x, w, dy) = (numbers(rows * inner, 1), numbers(out * inner, 2), numbers(rows * out, 3));
        let weight = narrow(&w);
        let uploaded = linear::upload(Matrix::new(Values::F32(&weight), out, inner), &Device::Cpu).unwrap();
        let y = linear::forward(&tensor(&x, &[rows, inner]), &uploaded).unwrap();
        check(&y, &plain_linear::reference::forward(&x, &w, inner));
        let dx = linear::backward_input(&tensor(&dy, &[rows, out]), &uploaded).unwrap();
        check(&dx, &plain_linear::reference::backward_input(&dy, &w, inner));
        let ids = [out as u32 - 1, 0, out as u32 - 1];
        let picked: Vec<f64> = ids.iter().flat_map(|id| w[*id as usize * inner..][..inner].to_vec()).collect();
        check(&linear::rows(&uploaded, &ids).unwrap(), &picked);
    }
}

/// bf16 weights stay bf16, and the product is that of the rounded numbers to bf16's own precision.
#[test]
fn a_bf16_weight_multiplies_as_bf16() {
    use half::bf16;
    let (rows, out, inner) = (5, 12, 48);
    let w: Vec<bf16> = random64(out * inner, 2).into_iter().map(bf16::from_f64).collect();
    let x: Vec<f64> = random64(rows * inner, 1).into_iter().map(|x| bf16::from_f64(x).to_f64()).collect();
    let uploaded = linear::upload(Matrix::new(Values::Bf16(&w), out, inner), &Device::Cpu).unwrap();
    assert_eq!(uploaded.dtype(), candle_core::DType::BF16);
    let y = linear::forward(&tensor(&x, &[rows, inner]), &uploaded).unwrap();
    assert_eq!(y.dtype(), candle_core::DType::F32);
    let wide: Vec<f64> = w.iter().map(|w| w.to_f64()).collect();
    // The result is rounded to 8 bits of mantissa.
    assert_close(&to_host(&y).unwrap(), &plain_linear::reference::forward(&x, &wide, inner), 1.0 / 256.0);
}

#[test]
fn rms_norm_forward_and_backward() {
    for (rows, n) in [(1, 1), (1, 8), (5, 33), (12, 64)] {
        let (x, gamma, dy) = (numbers(rows * n, 1), numbers(n, 2), numbers(rows * n, 3));
        let (there, weight) = (tensor(&x, &[rows, n]), tensor(&gamma, &[n]));
        let (y, inverse) = rms_norm::forward(&there, &weight, 1e-5).unwrap();
        check(&y, &plain_rms_norm::reference::forward(&x, &gamma, 1e-5));
        let mut dx = vec![0.0; rows * n];
        plain_rms_norm::reference::backward(&x, &gamma, 1e-5, &dy, &mut dx);
        check(&rms_norm::backward(&there, &weight, &inverse, &tensor(&dy, &[rows, n])).unwrap(), &dx);
    }
}

#[test]
fn rope_turns_there_and_back() {
    let table = Table::new(&[1.0, 0.2, 0.01], 50, 1.1);
    let positions = [0u32, 3, 49, 3];
    let angles = rope::Angles::new(&table, &positions, &Device::Cpu).unwrap();
    for heads in [1, 3] {
        let x = numbers(positions.len() * heads * 6, 4);
        for turn in [Turn::Forward, Turn::Backward] {
            let mut expected = narrow(&x);
            plain_rope::apply(&mut expected, heads, &positions, &table, turn);
            let expected: Vec<f64> = expected.iter().map(|x| f64::from(*x)).collect();
            let found = rope::apply(&tensor(&x, &[positions.len(), heads * 6]), heads, &angles, turn).unwrap();
            check(&found, &expected);
        }
    }
}

#[test]
fn swiglu_forward_and_backward_far_out_too() {
    for scale in [1.0, 30.0, 120.0] {
        let gate: Vec<f64> = numbers(63, 1).into_iter().map(|x| f64::from((x * scale) as f32)).collect();
        let (up, dy) = (numbers(63, 2), numbers(63, 3));
        let (g, u, d) = (tensor(&gate, &[9, 7]), tensor(&up, &[9, 7]), tensor(&dy, &[9, 7]));
        check(&swiglu::forward(&g, &u).unwrap(), &plain_swiglu::reference::forward(&gate, &up));
        let (d_gate, d_up) = swiglu::backward(&g, &u, &d).unwrap();
        let (expected_gate, expected_up) = plain_swiglu::reference::backward(&gate, &up, &dy);
        check(&d_gate, &expected_gate);
        check(&d_up, &expected_up);
    }
}

#[test]
fn cross_entropy_and_its_gradient_over_several_chunks() {
    for (targets, vocab, hidden) in [(1, 1, 1), (7, 19, 8), (3, 151_936, 2)] {
        let (h, head) = (numbers(targets * hidden, 1), numbers(vocab * hidden, 2));
        let labels: Vec<u32> = (0..targets as u32).map(|i| (i * 7 + 3) % vocab as u32).collect();
        let (expected, dh) = plain_cross_entropy::reference::forward_backward(&h, &labels, &head, hidden);
        let (there, weight) = (tensor(&h, &[targets, hidden]), tensor(&head, &[vocab, hidden]));
        let (sums, found) = cross_entropy::forward_backward(&there, &labels, &weight, true).unwrap();
        assert!((sums.nll - expected).abs() < TOLERANCE * expected.max(1.0), "{} {expected}", sums.nll);
        check(&found.unwrap(), &dh);
        let own = narrow(&head);
        let plain = plain_cross_entropy::forward_backward(
            &narrow(&h),
            &labels,
            Matrix::new(Values::F32(&own), vocab, hidden),
            None,
        );
        assert_eq!(sums.correct, plain.correct);
        // Three targets at a time: three chunks of seven, the last one short.
        let (chunked, parts) = cross_entropy::in_chunks(&there, &labels, &weight, true, 3).unwrap();
        assert!((chunked.nll - expected).abs() < TOLERANCE * expected.max(1.0) && chunked.correct == sums.correct);
        check(&parts.unwrap(), &dh);
        let (again, none) = cross_entropy::forward_backward(&there, &labels, &weight, false).unwrap();
        assert!(again == sums && none.is_none());
    }
}

#[test]
#[expect(clippy::single_range_in_vec_init, reason = "a batch of one sequence")]
fn attention_with_packing_groups_and_windows() {
    type Case<'a> = (usize, usize, usize, Option<usize>, &'a [Range<usize>]);
    let cases: [Case<'_>; 6] = [
        (1, 1, 4, None, &[0..1]),
        (4, 4, 8, None, &[0..5]),
        (6, 2, 8, None, &[0..3, 3..4, 4..13]),
        (4, 1, 4, Some(1), &[0..6]),
        (4, 2, 16, Some(4), &[0..9, 9..20]),
        // Several blocks of queries, with a window that begins inside one and without.
        (2, 1, 4, Some(300), &[0..7, 7..660]),
    ];
    for (heads, kv_heads, head_dim, window, sequences) in cases {
        let shape = Shape { heads, kv_heads, head_dim, window, scale: 1.0 / (head_dim as f32).sqrt() };
        let tokens = sequences.last().unwrap().end;
        let (qw, kvw) = (heads * head_dim, kv_heads * head_dim);
        let (q, k, v) = (numbers(tokens * qw, 1), numbers(tokens * kvw, 2), numbers(tokens * kvw, 3));
        let d_out = numbers(tokens * qw, 4);
        let (tq, tk, tv) = (tensor(&q, &[tokens, qw]), tensor(&k, &[tokens, kvw]), tensor(&v, &[tokens, kvw]));
        let apart: Vec<Sequence> = sequences.iter().cloned().map(Sequence::from).collect();
        let (out, lse) = attention::forward(shape, &apart, &tq, &tk, &tv).unwrap();
        let expected = attention_reference::forward(shape, sequences, &q, &k, &v);
        check(&out, &expected);
        let kept = attention::Kept { q: tq.clone(), k: tk.clone(), v: tv.clone(), out, lse };
        let (dq, dk, dv) = attention::backward(shape, &apart, &kept, &tensor(&d_out, &[tokens, qw])).unwrap();
        let expected_gradients = attention_reference::backward(shape, sequences, &q, &k, &v, &d_out);
        check(&dq, &expected_gradients.0);
        check(&dk, &expected_gradients.1);
        check(&dv, &expected_gradients.2);
        // The last rows over a cache are the last rows of the whole.
        let last = sequences.last().unwrap();
        for n in [1, last.len().div_ceil(2)] {
            let (first, from) = (last.end - n, last.start);
            let out = attention::forward_cached(
                shape,
                &tq.narrow(0, first, n).unwrap(),
                &tk.narrow(0, from, last.len()).unwrap(),
                &tv.narrow(0, from, last.len()).unwrap(),
            );
            check(&out.unwrap(), &expected[first * qw..]);
        }
    }
}

/// Sequences behind a shared prefix give what copies of it would: outputs and gradients of queries alike, gradients of the
/// prefix's keys and values added up.
#[test]
fn a_shared_prefix_stands_for_its_copies() {
    // Rows 0..6 are the prefix; 6..9 and 9..13 go on behind it. The copies: the prefix alone, then each with it in front.
    let shared = [Sequence::from(0..6), Sequence { rows: 6..9, prefix: 0..6 }, Sequence { rows: 9..13, prefix: 0..6 }];
    let copies: Vec<usize> = (0..6).chain(0..9).chain(0..6).chain(9..13).collect();
    let sequences = [0..6, 6..15, 15..25];
    for window in [None, Some(5)] {
        let shape = Shape { heads: 4, kv_heads: 2, head_dim: 4, window, scale: 0.5 };
        let (q, k, v, d_out) = (numbers(13 * 16, 1), numbers(13 * 8, 2), numbers(13 * 8, 3), numbers(13 * 16, 4));
        let copied = |x: &[f64], width: usize| -> Vec<f64> {
            copies.iter().flat_map(|row| x[row * width..][..width].to_vec()).collect()
        };
        // Gradients come in once for every row: where it is its own, not where it is a copy.
        let mut once = copied(&d_out, 16);
        for copy in (6..12).chain(15..21) {
            once[copy * 16..][..16].fill(0.0);
        }
        let (cq, ck, cv) = (copied(&q, 16), copied(&k, 8), copied(&v, 8));
        let out = attention_reference::forward(shape, &sequences, &cq, &ck, &cv);
        let (dq, dk, dv) = attention_reference::backward(shape, &sequences, &cq, &ck, &cv, &once);
        let gathered = |x: &[f64], width: usize, add: bool| -> Vec<f64> {
            let mut sums = vec![0.0; 13 * width];
            for (copy, row) in copies.iter().enumerate() {
                for c in 0..width {
                    let sum = &mut sums[row * width + c];
                    *sum = if add { *sum + x[copy * width + c] } else { x[copy * width + c] };
                }
            }
            sums
        };
        let (tq, tk, tv) = (tensor(&q, &[13, 16]), tensor(&k, &[13, 8]), tensor(&v, &[13, 8]));
        let (found, lse) = attention::forward(shape, &shared, &tq, &tk, &tv).unwrap();
        check(&found, &gathered(&out, 16, false));
        let kept = attention::Kept { q: tq, k: tk, v: tv, out: found, lse };
        let found = attention::backward(shape, &shared, &kept, &tensor(&d_out, &[13, 16])).unwrap();
        check(&found.0, &gathered(&dq, 16, true));
        check(&found.1, &gathered(&dk, 8, true));
        check(&found.2, &gathered(&dv, 8, true));
    }
}
