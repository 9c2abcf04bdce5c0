//! Keys and values of one sequence and layer, kept as attention reads them: tiles of [`KEYS`] positions, keys transposed.
//!
//! A token is written into its tile and nothing is ever moved, so a step costs what it reads. The products over a tile
//! are those of a full pass, to the bit. Copies share their tiles until one of them writes: answers to one prompt, and
//! prompts with one beginning, hold it once.

use std::sync::Arc;

use super::Shape;
use super::tile::KEYS;

/// Keys and values of the tokens so far.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    /// Each [kv_heads, (keys [d, KEYS], values [KEYS, d])].
    tiles: Vec<Arc<Vec<f32>>>,
    len: usize,
}

impl Cache {
    /// Number of tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends k and v [n, kv_heads·d], keys after rotation.
    pub fn push(&mut self, shape: Shape, k: &[f32], v: &[f32]) {
        let (d, width) = (shape.head_dim, shape.kv_width());
        assert_eq!(k.len(), v.len(), "cached keys and values");
        for (k, v) in k.chunks_exact(width).zip(v.chunks_exact(width)) {
            let (tile, column) = (self.len / KEYS, self.len % KEYS);
            if tile == self.tiles.len() {
                self.tiles.push(Arc::new(vec![0.0; 2 * KEYS * width]));
            }
            let heads = Arc::make_mut(&mut self.tiles[tile]).chunks_exact_mut(2 * KEYS * d);
            for ((head, k), v) in heads.zip(k.chunks_exact(d)).zip(v.chunks_exact(d)) {
                let (keys, values) = head.split_at_mut(KEYS * d);
                for (row, k) in keys.chunks_exact_mut(KEYS).zip(k) {
                    row[column] = *k;
                }
                values[column * d..(column + 1) * d].copy_from_slice(v);
            }
            self.len += 1;
        }
    }

    /// Forgets everything after the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.tiles.truncate(self.len.div_ceil(KEYS));
    }

    /// Numbers of a tile for keys and values of `width` = kv_heads·d.
    pub fn tile_len(width: usize) -> usize {
        2 * KEYS * width
    }

    /// The tiles as they lie in memory, for a file that only this version of the layout reads.
    pub fn tiles(&self) -> impl Iterator<Item = &[f32]> {
        self.tiles.iter().map(|tile| tile.as_slice())
    }

    /// The last tile without what truncation left behind in it; none where it is full.
    pub fn cleaned_last(&self, head_dim: usize) -> Option<Vec<f32>> {
        let used = self.len % KEYS;
        let mut tile = self.tiles.last().filter(|_| used > 0)?.to_vec();
        for head in tile.chunks_exact_mut(2 * KEYS * head_dim) {
            let (keys, values) = head.split_at_mut(KEYS * head_dim);
            keys.chunks_exact_mut(KEYS).for_each(|row| row[used..].fill(0.0));
            values[used * head_dim..].fill(0.0);
        }
        Some(tile)
    }

    /// A cache of `len` tokens from [`Cache::tiles`]; none if they are not as many as that takes.
    pub fn from_tiles(tiles: Vec<Vec<f32>>, len: usize) -> Option<Self> {
        let fits = tiles.len() == len.div_ceil(KEYS) && tiles.windows(2).all(|two| two[0].len() == two[1].len());
        fits.then(|| Self { tiles: tiles.into_iter().map(Arc::new).collect(), len })
    }

    /// How many tiles `len` tokens take.
    pub fn tiles_of(len: usize) -> usize {
        len.div_ceil(KEYS)
    }

    /// (keys [d, KEYS], values [KEYS, d]) of a tile and key head.
    pub(super) fn tile(&self, index: usize, kv_head: usize, d: usize) -> (&[f32], &[f32]) {
        self.tiles[index][kv_head * 2 * KEYS * d..][..2 * KEYS * d].split_at(KEYS * d)
    }
}
