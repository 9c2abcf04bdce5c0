//! LoRA and DoRA against their formulas in f64.

use super::*;
use crate::kernels::check::{assert_close, assert_gradient, dot, narrow, random64};
use crate::model::{Module, Weight};

/// y in f64 straight from the formulas, with the norm given or computed.
struct Truth {
    w: Vec<f64>,
    bias: Vec<f64>,
    scaling: f64,
    inner: usize,
    rank: usize,
}

impl Truth {
    fn norms(&self, a: &[f64], b: &[f64]) -> Vec<f64> {
        let row = |j: usize| {
            (0..self.inner)
                .map(|i| {
                    let delta: f64 = (0..self.rank).map(|k| b[j * self.rank + k] * a[k * self.inner + i]).sum();
                    (self.w[j * self.inner + i] + self.scaling * delta).powi(2)
                })
                .sum::<f64>()
                .sqrt()
        };
        (0..self.bias.len()).map(row).collect()
    }

    fn forward(&self, x: &[f64], mask: &[f64], a: &[f64], b: &[f64], m: Option<(&[f64], &[f64])>) -> Vec<f64> {
        let mut y = Vec::new();
        for (x, mask) in x.chunks(self.inner).zip(mask.chunks(self.inner)) {
            let dropped: Vec<f64> = x.iter().zip(mask).map(|(x, d)| x * d).collect();
            for (j, bias) in self.bias.iter().enumerate() {
                let w = &self.w[j * self.inner..(j + 1) * self.inner];
                let branch: f64 = (0..self.rank)
                    .map(|k| b[j * self.rank + k] * dot(&a[k * self.inner..(k + 1) * self.inner], &dropped))
                    .sum();
                y.push(match m {
                    None => dot(w, x) + bias + self.scaling * branch,
                    Some((m, n)) => {
                        let g = m[j] / n[j];
                        dot(w, x) + bias + (g - 1.0) * dot(w, &dropped) + g * self.scaling * branch
                    }
                });
            }
        }
        y
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|v| f64::from(*v)).collect()
}

#[test]
fn every_gradient_is_the_slope_with_and_without_dropout() {
    let (rows, inner, out, rank) = (4, 6, 5, 3);
    let truth = Truth {
        w: wide(&narrow(&random64(out * inner, 1))),
        bias: wide(&narrow(&random64(out, 2))),
        scaling: 0.5,
        inner,
        rank,
    };
    let x = wide(&narrow(&random64(rows * inner, 3)));
    let (a, b) = (wide(&narrow(&random64(rank * inner, 4))), wide(&narrow(&random64(out * rank, 5))));
    let m: Vec<f64> = wide(&narrow(&random64(out, 6)));
    let dy = wide(&narrow(&random64(rows * out, 7)));
    let mask: Vec<f64> = (0..rows * inner).map(|i| if i % 3 == 0 { 0.0 } else { 1.5 }).collect();
    let ones = vec![1.0; rows * inner];
    let base = Linear::new(Weight::from_f32(narrow(&truth.w), out, inner), Some(narrow(&truth.bias)));
    for (use_mask, dora) in [(false, false), (true, false), (false, true), (true, true)] {
        let mask = if use_mask { &mask } else { &ones };
        let drop_mask = |x: &mut [f32]| x.iter_mut().zip(mask.iter()).for_each(|(x, d)| *x *= *d as f32);
        let drop: Option<&Drop<'_>> = use_mask.then_some(&drop_mask);
        let (a32, b32, m32) = (narrow(&a), narrow(&b), narrow(&m));
        let values = Values { a: &a32, b: &b32, m: dora.then_some(&m32[..]) };
        let norms = Norms { base_squared: base.weight().matrix().row_norms_squared(), ..Default::default() };
        let site = Site { layer: 0, module: Module::QProj };
        let mut branch = Branch { site, rank, scaling: 0.5, a: 0, b: 1, m: dora.then_some(2), norms };
        branch.refresh(&base, values).unwrap();
        let n = truth.norms(&a, &b);
        if dora {
            assert_close(&branch.norms.n, &n, 1e-6);
        }
        let run = |x: &[f64], a: &[f64], b: &[f64], m: &[f64]| {
            dot(&truth.forward(x, mask, a, b, dora.then_some((m, &n[..]))), &dy)
        };

        let (mut y, mut saved) = (vec![0.0; rows * out], Saved::default());
        branch.forward(&base, values, &narrow(&x), &mut y, Some(&mut saved), drop);
        assert_close(&y, &truth.forward(&x, mask, &a, &b, dora.then_some((&m[..], &n[..]))), 1e-6);

        let (mut da, mut db, mut dm) = (vec![0.0; a.len()], vec![0.0; b.len()], vec![0.0; m.len()]);
        let mut dx = vec![0.0; x.len()];
        let grads = Grads { a: &mut da, b: &mut db, m: dora.then_some(&mut dm[..]) };
        branch.backward(&base, values, grads, &narrow(&x), &saved, drop, &narrow(&dy), &mut dx);
        // The f32 gradients are compared with f64 slopes, which `assert_gradient` itself verifies to 1e-7.
        let slope = |at: &[f64], f: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
            let step = 1e-5;
            (0..at.len())
                .map(|i| {
                    let mut moved = at.to_vec();
                    moved[i] += step;
                    let above = f(&moved);
                    moved[i] -= 2.0 * step;
                    (above - f(&moved)) / (2.0 * step)
                })
                .collect()
        };
        let in_x = slope(&x, &|x| run(x, &a, &b, &m));
        assert_gradient(&x, &in_x, |x| run(x, &a, &b, &m));
        assert_close(&dx, &in_x, 1e-5);
        assert_close(&da, &slope(&a, &|a| run(&x, a, &b, &m)), 1e-5);
        assert_close(&db, &slope(&b, &|b| run(&x, &a, b, &m)), 1e-5);
        if dora {
            assert_close(&dm, &slope(&m, &|m| run(&x, &a, &b, m)), 1e-5);
        }
    }
}

/// PEFT's own layer with PEFT's own dropout mask.
#[test]
fn golden_layer_with_and_without_dropout() {
    let root = std::env::var_os("EXPERT_FIXTURES")
        .map(std::path::PathBuf::from)
        .unwrap_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"));
    for kind in ["dora", "lora"] {
        let bytes = std::fs::read(root.join(format!("golden/layer/{kind}.safetensors"))).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let get = |name: &str| -> (Vec<usize>, Vec<f32>) {
            let view = file.tensor(name).unwrap();
            let values = match view.dtype() {
                safetensors::Dtype::F32 => {
                    view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
                }
                _ => view.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap()) as f32).collect(),
            };
            (view.shape().to_vec(), values)
        };
        let ((shape, w), (_, bias), (_, x)) = (get("W"), get("bias"), get("x"));
        let ((a_shape, a), (_, b), (_, mask), (_, dy)) = (get("A"), get("B"), get("drop_mask"), get("grad_out"));
        let m = (kind == "dora").then(|| get("m").1);
        let scaling = get("scaling").1[0];
        let (out, inner, rank) = (shape[0], shape[1], a_shape[0]);
        let base = Linear::new(Weight::from_f32(w, out, inner), Some(bias));
        let values = Values { a: &a, b: &b, m: m.as_deref() };
        let norms = Norms { base_squared: base.weight().matrix().row_norms_squared(), ..Default::default() };
        let site = Site { layer: 0, module: Module::QProj };
        let mut branch = Branch { site, rank, scaling, a: 0, b: 1, m: m.is_some().then_some(2), norms };
        branch.refresh(&base, values).unwrap();
        for (case, drops) in [("train_nodrop", false), ("train_drop", true), ("eval", false)] {
            let drop_mask = |x: &mut [f32]| x.iter_mut().zip(&mask).for_each(|(x, d)| *x *= d);
            let drop: Option<&Drop<'_>> = drops.then_some(&drop_mask);
            let (mut y, mut saved) = (vec![0.0; dy.len()], Saved::default());
            branch.forward(&base, values, &x, &mut y, Some(&mut saved), drop);
            assert_close(&y, &wide(&get(&format!("{case}.y")).1), 1e-5);
            let (mut da, mut db, mut dm) = (vec![0.0; a.len()], vec![0.0; b.len()], vec![0.0; out]);
            let mut dx = vec![0.0; x.len()];
            let grads = Grads { a: &mut da, b: &mut db, m: m.is_some().then_some(&mut dm[..]) };
            branch.backward(&base, values, grads, &x, &saved, drop, &dy, &mut dx);
            assert_close(&dx, &wide(&get(&format!("{case}.grad_x")).1), 5e-5);
            assert_close(&da, &wide(&get(&format!("{case}.grad_A")).1), 5e-5);
            assert_close(&db, &wide(&get(&format!("{case}.grad_B")).1), 5e-5);
            if m.is_some() {
                assert_close(&dm, &wide(&get(&format!("{case}.grad_m")).1), 5e-5);
            }
        }
    }
}
