//! Writing safetensors one tensor at a time, so that a model or an optimiser's state is never in memory twice.
//!
//! The bytes are those of the `safetensors` crate for the same tensors: compact header padded to a multiple of 8,
//! wider numbers first, then names in order.

use std::io::{Error, Result, Write};

use half::bf16;
use safetensors::Dtype;
use serde_json::{Map, Value, json};

/// The numbers of a tensor.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    /// f32 as they are.
    F32(&'a [f32]),
    /// f32 rounded to bf16 (to the nearest even).
    RoundedToBf16(&'a [f32]),
    /// Bytes.
    U8(&'a [u8]),
}

impl Numbers<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Numbers::F32(_) => Dtype::F32,
            Numbers::RoundedToBf16(_) => Dtype::BF16,
            Numbers::U8(_) => Dtype::U8,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Numbers::F32(values) => values.len() * 4,
            Numbers::RoundedToBf16(values) => values.len() * 2,
            Numbers::U8(values) => values.len(),
        }
    }

    fn write(&self, to: &mut impl Write) -> Result<()> {
        match self {
            Numbers::F32(values) => values.iter().try_for_each(|v| to.write_all(&v.to_le_bytes())),
            Numbers::RoundedToBf16(values) => {
                values.iter().try_for_each(|v| to.write_all(&bf16::from_f32(*v).to_le_bytes()))
            }
            Numbers::U8(values) => to.write_all(values),
        }
    }
}

/// One tensor to write.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Its name.
    pub name: String,
    /// Its shape, row-major.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub numbers: Numbers<'a>,
}

/// Writes the tensors in the file's order, whatever theirs is; `metadata` becomes the header's `__metadata__`.
pub fn write(to: &mut impl Write, mut tensors: Vec<Entry<'_>>, metadata: Option<(&str, &str)>) -> Result<()> {
    tensors.sort_by(|a, b| b.numbers.dtype().cmp(&a.numbers.dtype()).then_with(|| a.name.cmp(&b.name)));
    let mut header = Map::new();
    if let Some((key, value)) = metadata {
        header.insert("__metadata__".into(), json!({ key: value }));
    }
    let mut start = 0;
    for tensor in &tensors {
        if tensor.shape.iter().product::<usize>() * tensor.numbers.dtype().bitsize() != tensor.numbers.bytes() * 8 {
            return Err(Error::other(format!("{} has another number of values than its shape says", tensor.name)));
        }
        let end = start + tensor.numbers.bytes();
        let dtype = serde_json::to_value(tensor.numbers.dtype())?;
        let entry = json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end]});
        if header.insert(tensor.name.clone(), entry).is_some() {
            return Err(Error::other(format!("{} is there twice", tensor.name)));
        }
        start = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    to.write_all(&(text.len() as u64).to_le_bytes())?;
    to.write_all(&text)?;
    tensors.iter().try_for_each(|tensor| tensor.numbers.write(to))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use safetensors::tensor::TensorView;

    #[test]
    fn the_bytes_are_those_of_the_crate() {
        let (a, b, c) = ([1.0f32, -2.5, 3.0e-5], [0.1f32; 4], [7u8, 8]);
        let entry = |name: &str, shape: &[usize], numbers| Entry { name: name.into(), shape: shape.to_vec(), numbers };
        let tensors = vec![
            entry("z", &[2], Numbers::U8(&c)),
            entry("norm.\"odd\"", &[3], Numbers::F32(&a)),
            entry("b", &[2, 2], Numbers::RoundedToBf16(&b)),
            entry("a", &[3], Numbers::F32(&a)),
        ];
        let wide = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let narrow = |values: &[f32]| values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect::<Vec<u8>>();
        let (a32, b16) = (wide(&a), narrow(&b));
        let views = [
            ("z", TensorView::new(Dtype::U8, vec![2], &c).unwrap()),
            ("norm.\"odd\"", TensorView::new(Dtype::F32, vec![3], &a32).unwrap()),
            ("b", TensorView::new(Dtype::BF16, vec![2, 2], &b16).unwrap()),
            ("a", TensorView::new(Dtype::F32, vec![3], &a32).unwrap()),
        ];
        for metadata in [None, Some(("format", "pt"))] {
            let mut found = Vec::new();
            write(&mut found, tensors.clone(), metadata).unwrap();
            let map = metadata.map(|(k, v)| HashMap::from([(k.to_owned(), v.to_owned())]));
            let expected = safetensors::serialize(views.iter().map(|(n, v)| (*n, v)), map).unwrap();
            assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected));
        }
        let bad = vec![entry("a", &[4], Numbers::F32(&a))];
        assert!(write(&mut Vec::new(), bad, None).is_err());
    }
}
