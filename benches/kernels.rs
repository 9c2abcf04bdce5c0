//! The kernels beside a register-only loop (or a copy) measured in the same run: `cargo bench --profile dev --bench
//! kernels`. RAYON_NUM_THREADS=1 gives shares that a busy machine disturbs least. The peak loops exist for AVX-512 only:
//! elsewhere their lines are absurdly high and shares mean nothing.

mod race;

use std::hint::black_box;
use std::io;

use expert_cli::kernels::attention::{self, Kept, Sequence, Shape};
use expert_cli::kernels::gemm::{Mat, MatMut, Write, matmul};
use expert_cli::kernels::linear::{self, Matrix, Values, few};
use expert_cli::kernels::random::uniform;
use expert_cli::kernels::{cross_entropy, peak, rms_norm, swiglu};
use half::bf16;
use race::{Contestant, contestant, race};
use rayon::prelude::*;

const ROUNDS: usize = 11;
const PEAK_ROUNDS: usize = 200_000;

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    uniform(seed, n, 1.0)
}

/// The register-only loops on every thread.
fn peaks<'a>() -> [Contestant<'a>; 2] {
    let threads = rayon::current_num_threads() as f64;
    [
        contestant("peak f32", threads * (PEAK_ROUNDS * peak::F32_OPERATIONS) as f64, || {
            rayon::broadcast(|_| black_box(peak::f32_rounds(PEAK_ROUNDS, black_box(0.5))));
        }),
        contestant("peak bf16", threads * (PEAK_ROUNDS * peak::BF16_OPERATIONS) as f64, || {
            rayon::broadcast(|_| black_box(peak::bf16_rounds(PEAK_ROUNDS, black_box(0.5))));
        }),
    ]
}

fn products() -> io::Result<()> {
    for (rows, inner, out) in [(1024, 3072, 1024), (1024, 1024, 3072), (256, 1024, 3072), (64, 1024, 3072)] {
        let (x, wide, dy) = (numbers(rows * inner, 1), numbers(out * inner, 2), numbers(rows * out, 3));
        let narrow: Vec<bf16> = wide.iter().map(|v| bf16::from_f32(*v)).collect();
        let (w, w32) = (Matrix::new(Values::Bf16(&narrow), out, inner), Matrix::new(Values::F32(&wide), out, inner));
        let (mut y, mut y32, mut tiles, mut dx) =
            (vec![0.0; dy.len()], vec![0.0; dy.len()], vec![0.0; dy.len()], vec![0.0; x.len()]);
        let work = 2.0 * (rows * inner * out) as f64;
        let [f32_peak, bf16_peak] = peaks();
        let mut all = [
            bf16_peak,
            f32_peak,
            contestant("bf16 x·Wᵀ", work, || linear::forward(&x, rows, w, &mut y, Write::Set)),
            contestant("bf16 dy·W", work, || linear::backward_input(&dy, rows, w, &mut dx, Write::Set)),
            contestant("f32 x·Wᵀ", work, || linear::forward(&x, rows, w32, &mut y32, Write::Set)),
            contestant("bf16 widened x·Wᵀ", work, || linear::forward_exact(&x, rows, w, &mut tiles, Write::Set)),
        ];
        race(&format!("linear [{rows}, {inner}] to {out}"), "GFLOP/s", ROUNDS, &mut all)?;
    }
    Ok(())
}

fn few_rows() -> io::Result<()> {
    for (out, inner) in [(3072, 1024), (65_536, 1024)] {
        let (wide, x) = (numbers(out * inner, 1), numbers(12 * inner, 2));
        let narrow: Vec<bf16> = wide.iter().map(|v| bf16::from_f32(*v)).collect();
        let (w, w32) = (Matrix::new(Values::Bf16(&narrow), out, inner), Matrix::new(Values::F32(&wide), out, inner));
        let (mut one, mut four, mut one32) = (vec![0.0; out], vec![0.0; 4 * out], vec![0.0; out]);
        let bytes = 2.0 * (out * inner) as f64;
        let mut all = [
            contestant("read", 2.0 * bytes, || {
                black_box(wide.par_chunks(1 << 15).map(|v| v.iter().fold(0, |m, x| m | x.to_bits())).max());
            }),
            contestant("bf16, 1 row", bytes, || linear::forward(&x[..inner], 1, w, &mut one, Write::Set)),
            contestant("bf16, 4 rows", bytes, || linear::forward(&x[..4 * inner], 4, w, &mut four, Write::Set)),
            contestant("f32, 1 row", 2.0 * bytes, || linear::forward(&x[..inner], 1, w32, &mut one32, Write::Set)),
        ];
        race(&format!("few rows times [{out}, {inner}]"), "GB/s", ROUNDS, &mut all)?;

        let mut projected = vec![0.0; 12 * out];
        let [f32_peak, _] = peaks();
        let run = || few::products(w, &x, &mut projected);
        let mut all = [f32_peak, contestant("W·Aᵀ, rank 12", 24.0 * (out * inner) as f64, run)];
        race(&format!("[{out}, {inner}] times 12 rows"), "GFLOP/s", ROUNDS, &mut all)?;
    }
    Ok(())
}

fn branch() -> io::Result<()> {
    let (rows, width, rank) = (256, 3072, 12);
    let (x, a, low) = (numbers(rows * width, 1), numbers(rank * width, 2), numbers(rows * rank, 3));
    let (mut narrow, mut wide, mut gradient) =
        (vec![0.0; rows * rank], vec![0.0; rows * width], vec![0.0; rank * width]);
    let work = 2.0 * (rows * width * rank) as f64;
    let (wide_x, wide_a, wide_low) = (Mat::new(&x, rows, width), Mat::new(&a, rank, width), Mat::new(&low, rows, rank));
    let [f32_peak, _] = peaks();
    let mut all = [
        f32_peak,
        contestant("x·Aᵀ", work, || {
            matmul(MatMut::new(&mut narrow, rows, rank), Write::Set, 1.0, wide_x, wide_a.t());
        }),
        contestant("low·A", work, || {
            matmul(MatMut::new(&mut wide, rows, width), Write::Add, 1.0, wide_low, wide_a);
        }),
        contestant("lowᵀ·x", work, || {
            matmul(MatMut::new(&mut gradient, rank, width), Write::Add, 1.0, wide_low.t(), wide_x);
        }),
    ];
    race("branch of rank 12 on [256, 3072]", "GFLOP/s", ROUNDS, &mut all)
}

fn attentions() -> io::Result<()> {
    for (heads, kv_heads, head_dim, lengths) in
        [(16, 8, 128, vec![256]), (16, 8, 128, vec![1024]), (8, 4, 64, vec![256; 4]), (16, 8, 128, vec![40; 8])]
    {
        let tokens: usize = lengths.iter().sum();
        let mut end = 0;
        let sequences: Vec<_> = lengths
            .iter()
            .map(|n| {
                end += n;
                Sequence::from(end - n..end)
            })
            .collect();
        let shape = Shape { heads, kv_heads, head_dim, window: None, scale: 1.0 / (head_dim as f32).sqrt() };
        let (q, d_out) = (numbers(tokens * heads * head_dim, 1), numbers(tokens * heads * head_dim, 4));
        let (k, v) = (numbers(tokens * kv_heads * head_dim, 2), numbers(tokens * kv_heads * head_dim, 3));
        let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; tokens * heads]);
        attention::forward(shape, &sequences, &q, &k, &v, &mut out, &mut lse);
        let (kept_out, kept_lse) = (out.clone(), lse.clone());
        let kept = Kept { q: &q, k: &k, v: &v, out: &kept_out, lse: &kept_lse };
        let (mut dq, mut dk, mut dv) = (q.clone(), k.clone(), v.clone());
        let pairs: usize = lengths.iter().map(|n| n * (n + 1) / 2).sum();
        let work = 4.0 * (pairs * heads * head_dim) as f64;
        let [f32_peak, _] = peaks();
        let mut all = [
            f32_peak,
            contestant("forward", work, || attention::forward(shape, &sequences, &q, &k, &v, &mut out, &mut lse)),
            contestant("backward", 2.5 * work, || {
                attention::backward(shape, &sequences, kept, &d_out, &mut dq, &mut dk, &mut dv);
            }),
        ];
        race(&format!("attention {heads}/{kv_heads} × {head_dim}, {lengths:?}"), "GFLOP/s", ROUNDS, &mut all)?;
    }
    Ok(())
}

fn elements() -> io::Result<()> {
    for n in [256 * 3072, 1 << 24] {
        let (a, b, gamma) = (numbers(n, 1), numbers(n, 2), numbers(1024, 3));
        let (mut copy, mut y, mut gate, mut up) = (vec![0.0; n], vec![0.0; n], a.clone(), b.clone());
        let (mut normed, mut inverse, mut dx) = (vec![0.0; n], vec![0.0; n / 1024], vec![0.0; n]);
        let ones = vec![1.0; n / 1024];
        let bytes = 4.0 * n as f64;
        let mut all = [
            contestant("copy", 2.0 * bytes, || {
                copy.par_chunks_mut(1 << 13).zip(a.par_chunks(1 << 13)).for_each(|(to, from)| to.copy_from_slice(from));
            }),
            contestant("SwiGLU forward", 3.0 * bytes, || swiglu::forward(&a, &b, &mut y)),
            contestant("SwiGLU backward", 5.0 * bytes, || swiglu::backward_in_place(&mut gate, &mut up, &b)),
            contestant("RMSNorm forward", 2.0 * bytes, || {
                rms_norm::forward(&a, &gamma, 1e-6, &mut normed, &mut inverse);
            }),
            contestant("RMSNorm backward", 4.0 * bytes, || rms_norm::backward(&a, &gamma, &ones, &b, &mut dx)),
        ];
        race(&format!("{n} elements"), "GB/s", ROUNDS, &mut all)?;
    }
    Ok(())
}

fn loss() -> io::Result<()> {
    let (targets, hidden, vocab) = (256, 1024, 65_536);
    let h = numbers(targets * hidden, 1);
    let head: Vec<bf16> = numbers(vocab * hidden, 2).into_iter().map(bf16::from_f32).collect();
    let head = Matrix::new(Values::Bf16(&head), vocab, hidden);
    let labels: Vec<u32> = (0..targets as u32).map(|i| i * 251 % vocab as u32).collect();
    let mut dh = vec![0.0; h.len()];
    let [_, bf16_peak] = peaks();
    let work = 4.0 * (targets * hidden * vocab) as f64;
    let run = || {
        black_box(cross_entropy::forward_backward(&h, &labels, head, Some(&mut dh)));
    };
    race("head and loss, 256 targets of 65536", "GFLOP/s", 5, &mut [bf16_peak, contestant("both", work, run)])
}

fn main() -> io::Result<()> {
    products()?;
    few_rows()?;
    branch()?;
    attentions()?;
    elements()?;
    loss()
}
