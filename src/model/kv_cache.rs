//! Keys and values of a sequence: what a decoder remembers of it, in memory and as bytes.

use crate::kernels::attention;

/// Keys and values of one sequence, per layer. Copies share what they have in common.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    pub(super) layers: Vec<attention::Cache>,
    pub(super) len: usize,
}

impl KvCache {
    pub(super) fn new(layers: usize) -> Self {
        Self { layers: vec![attention::Cache::default(); layers], len: 0 }
    }

    /// Number of tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets everything after the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.layers.iter_mut().for_each(|layer| layer.truncate(self.len));
    }

    /// Bytes of memory, those shared with copies included.
    pub fn bytes(&self) -> usize {
        self.layers.iter().flat_map(attention::Cache::tiles).map(size_of_val).sum()
    }

    /// All numbers in the order of layers and tiles, little-endian; nothing of what was truncated is among them.
    pub fn to_bytes(&self, head_dim: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        let mut push = |tile: &[f32]| bytes.extend(tile.iter().flat_map(|x| x.to_le_bytes()));
        for layer in &self.layers {
            let last = layer.cleaned_last(head_dim);
            let whole = layer.tiles().count() - usize::from(last.is_some());
            layer.tiles().take(whole).chain(last.as_deref()).for_each(&mut push);
        }
        bytes
    }

    /// Numbers that a layer with keys of `width` = kv_heads·d keeps for `len` tokens.
    pub fn numbers(width: usize, len: usize) -> usize {
        attention::Cache::tile_len(width) * attention::Cache::tiles_of(len)
    }

    /// What [`KvCache::to_bytes`] gave for `len` tokens, in a model of as many layers with keys of `width` =
    /// kv_heads·d; none if the bytes are not as many as that takes.
    pub fn from_bytes(bytes: &[u8], layers: usize, width: usize, len: usize) -> Option<Self> {
        let (tile, tiles) = (4 * attention::Cache::tile_len(width), attention::Cache::tiles_of(len));
        if tile == 0 || tiles == 0 || bytes.len() != layers * tiles * tile {
            return None;
        }
        let floats = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let layer = |bytes: &[u8]| attention::Cache::from_tiles(bytes.chunks_exact(tile).map(floats).collect(), len);
        let layers = bytes.chunks_exact(tiles * tile).map(layer).collect::<Option<Vec<_>>>()?;
        Some(Self { layers, len })
    }
}

#[cfg(test)]
mod tests {
    use crate::model::init::{RandomModel, write_random};
    use crate::model::{Decoder, NoAdapters};

    /// A prompt in two parts, its first part shared with another prompt and taken through bytes, ends in the same
    /// logits to the bit, whatever the weights are held in.
    #[test]
    fn a_prompt_is_the_same_from_a_stored_beginning() {
        for (bf16, exact) in [(true, false), (true, true), (false, false)] {
            let dir = tempfile::tempdir().unwrap();
            let model = RandomModel { bf16, ..RandomModel::default() };
            write_random(dir.path(), &model).unwrap();
            let decoder = Decoder::load(dir.path()).unwrap();
            let decoder = if exact { decoder.with_exact_activations() } else { decoder };
            let run = |ids: &[u32], cache: super::KvCache| {
                let mut caches = [cache];
                let logits = decoder.forward_cached(&[ids], &mut caches, &NoAdapters).unwrap();
                let [cache] = caches;
                (logits.concat(), cache)
            };
            let ids: Vec<u32> = (0..150).map(|i| i * 37 % 900).collect();
            let (whole, kept) = run(&ids, decoder.new_cache());
            for cut in [20, 64, 100, 130] {
                let mut beginning = kept.clone();
                beginning.truncate(cut);
                let bytes = beginning.to_bytes(decoder.config().head_dim);
                let width = decoder.config().num_key_value_heads * decoder.config().head_dim;
                let layers = decoder.config().num_hidden_layers;
                let back = super::KvCache::from_bytes(&bytes, layers, width, cut).unwrap();
                assert!(super::KvCache::from_bytes(&bytes[4..], layers, width, cut).is_none());
                // Another question behind the same beginning does not disturb the copy.
                run(&[7; 40], beginning.clone());
                assert_eq!(run(&ids[cut..], beginning).0, whole, "bf16 {bf16}, exact {exact}, cut at {cut}");
                assert_eq!(run(&ids[cut..], back).0, whole, "bf16 {bf16}, exact {exact}, from bytes, cut at {cut}");
            }
            // The tokens of an answer are the same alone and beside others.
            let alone = run(&[5], kept.clone()).0;
            let mut many = vec![kept.clone(); 20];
            let inputs: Vec<&[u32]> = vec![&[5]; 20];
            let together = decoder.forward_cached(&inputs, &mut many, &NoAdapters).unwrap();
            assert!(together.iter().all(|logits| *logits == alone), "bf16 {bf16}, exact {exact}");
        }
    }
}
