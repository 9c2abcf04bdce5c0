use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use super::*;
use crate::kernels::check::random;

fn dequantised(form: Form, values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let bytes = quantise(form, values, rows, cols);
    let blocks = Blocks::new(form, rows, cols, &bytes);
    let mut all = vec![0.0; rows * cols];
    all.chunks_exact_mut(cols).enumerate().for_each(|(row, into)| blocks.widen(row, 0, into));
    all
}

/// Rows of rising magnitude, as weights have.
fn weights(rows: usize, cols: usize) -> Vec<f32> {
    let mut values = random(rows * cols, 7);
    for (i, v) in values.iter_mut().enumerate() {
        *v = *v * v.abs() * (1.0 + (i / cols) as f32);
    }
    values
}

fn candle(dtype: GgmlDType, values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let tensor = Tensor::from_slice(values, (rows, cols), &Device::Cpu).unwrap();
    let quantised = QTensor::quantize(&tensor, dtype).unwrap();
    quantised.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn square_error(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

#[test]
fn q8_0_is_ggmls_to_the_bit() {
    let (rows, cols) = (21, 96);
    let values = weights(rows, cols);
    assert_eq!(dequantised(Form::Q8_0, &values, rows, cols), candle(GgmlDType::Q8_0, &values, rows, cols));
}

/// Our strips, put back into ggml's blocks, mean the same to candle; and the fit is no worse than its own.
#[test]
fn q4_k_means_what_ggml_means_and_fits_as_well() {
    let (rows, cols) = (21, 512);
    let values = weights(rows, cols);
    let bytes = quantise(Form::Q4K, &values, rows, cols);
    let mut ggml = Vec::new();
    for row in 0..rows {
        for block in 0..cols / q4_k::BLOCK {
            let at = row / STRIP * Form::Q4K.strip_bytes(cols) + block * q4_k::BYTES;
            let (block, lane) = (&bytes[at..at + q4_k::BYTES], row % STRIP);
            ggml.extend_from_slice(&block[2 * lane..][..2]);
            ggml.extend_from_slice(&block[q4_k::MINIMA + 2 * lane..][..2]);
            (0..3).for_each(|w| ggml.extend_from_slice(&block[q4_k::PACKED + w * 64 + lane * 4..][..4]));
            (0..32).for_each(|w| ggml.extend_from_slice(&block[q4_k::CODES + w * 64 + lane * 4..][..4]));
        }
    }
    let storage =
        candle_core::quantized::ggml_file::qtensor_from_ggml(GgmlDType::Q4K, &ggml, vec![rows, cols], &Device::Cpu);
    let theirs: Vec<f32> = storage.unwrap().dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let ours = dequantised(Form::Q4K, &values, rows, cols);
    let largest = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 1e-6 * largest));
    let (own, other) =
        (square_error(&ours, &values), square_error(&candle(GgmlDType::Q4K, &values, rows, cols), &values));
    assert!(own <= 1.02 * other, "squared error {own}, candle's {other}");
}

/// Numbers of bitsandbytes 0.50.2 on the processor (`tests/fixtures/scripts/make_nf4.py`): the same weights, its
/// dequantised values.
#[test]
fn nf4_is_bitsandbytes() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden/layer/nf4.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for case in ["small", "wide"] {
        let read = |name: &str| {
            let view = file.tensor(&format!("{case}.{name}")).unwrap();
            let values: Vec<f32> =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            (view.shape().to_vec(), values)
        };
        let ((shape, weight), (_, want)) = (read("weight"), read("dequantised"));
        let got = dequantised(Form::Nf4, &weight, shape[0], shape[1]);
        // The mean of the magnitudes, about 1, is a sum in another order: its last bit may differ.
        let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 2.5e-7, "{case}: difference {worst}");
    }
}

#[test]
fn panels_of_every_level_agree() {
    for form in [Form::Q8_0, Form::Q4K, Form::Nf4] {
        let (rows, cols) = (19, 256);
        let bytes = quantise(form, &weights(rows, cols), rows, cols);
        let blocks = Blocks::new(form, rows, cols, &bytes);
        let mut strip = vec![0.0; 3 * 64];
        blocks.widen_strip(1, 96, 64, &mut strip);
        for row in 0..3 {
            let mut one = vec![0.0; 61];
            blocks.widen(16 + row, 99, &mut one);
            assert_eq!(one, strip[row * 64 + 3..][..61], "{form:?}");
        }
        let mut panel = [[0.0; STRIP]; PANEL];
        blocks.panel(1, 2, &mut panel);
        assert!(panel.iter().all(|column| column[3..].iter().all(|v| *v == 0.0)), "{form:?}: rows that fill the strip");
    }
    let (mut vector, mut plain) = ([[0.0; STRIP]; PANEL], [[0.0; STRIP]; PANEL]);
    let bytes = quantise(Form::Q8_0, &weights(16, 32), 16, 32);
    q8_0::panel(&bytes, &mut vector);
    q8_0::plain(&bytes, &mut plain);
    assert_eq!(vector, plain);
    let bytes = quantise(Form::Q4K, &weights(16, 256), 16, 256);
    for index in 0..8 {
        q4_k::panel(&bytes, index, &mut vector);
        q4_k::plain(&bytes, index, &mut plain);
        assert_eq!(vector, plain, "block {index}");
    }
    let bytes = quantise(Form::Nf4, &weights(16, 64), 16, 64);
    let (mut vector, mut plain) = ([[0.0; STRIP]; PANEL], [[0.0; STRIP]; PANEL]);
    let scales = std::array::from_fn(|row| row as f32 + 0.3);
    #[cfg(target_arch = "x86_64")]
    if avx512::has_vnni() {
        let (rows, cols) = (37, 1024);
        let bytes = quantise(Form::Nf4, &weights(rows, cols), rows, cols);
        let blocks = Blocks::new(Form::Nf4, rows, cols, &bytes);
        for strip in 0..3 {
            let all: Vec<_> = (0..16).map(|block| blocks.scales.of(strip, block)).collect();
            assert_eq!(avx512::nf4_scales(&blocks.scales, strip), all);
        }
    }
    nf4::panel(&bytes[..nf4::BYTES], 1, &scales, &mut vector);
    nf4::plain(&bytes[nf4::BYTES / 2..nf4::BYTES], &scales, &mut plain);
    #[cfg(target_arch = "x86_64")]
    if super::avx2::available() {
        let mut same = [[0.0; STRIP]; PANEL];
        super::avx2::nf4_panel(&bytes[nf4::BYTES / 2..nf4::BYTES], &scales, &mut same);
        assert_eq!(same, plain);
    }
    assert_eq!(vector, plain);
}

#[test]
fn zeros_and_single_values_survive() {
    for form in [Form::Q8_0, Form::Q4K, Form::Nf4] {
        assert!(dequantised(form, &[0.0; 512], 2, 256).iter().all(|v| *v == 0.0), "{form:?}");
        let mut one = vec![0.0; 256];
        one[77] = -2.5;
        let back = dequantised(form, &one, 1, 256);
        assert!((back[77] + 2.5).abs() < 0.01, "{form:?}: {}", back[77]);
    }
}
