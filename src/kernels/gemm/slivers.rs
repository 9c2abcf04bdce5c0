//! What multiplies in [`super::bf16`], and how it wants the rows of the left operand cut.

use super::amx;
use super::bf16::{BLOCK_DEPTH, TILE_ROWS};

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// AVX-512-BF16.
    Vectors,
    /// Intel AMX.
    Tiles,
}

impl Unit {
    /// The best that this processor has, where [`super::bf16::available`].
    pub fn best() -> Self {
        if amx::available() { Self::Tiles } else { Self::Vectors }
    }

    /// Multiplications below which a second thread costs more than it brings.
    pub fn parallel_from(self) -> usize {
        match self {
            Self::Vectors => 1 << 19,
            Self::Tiles => 1 << 21,
        }
    }

    /// Depth of a block. Tiles read 2 KiB of the packed weight a step, which L2 gives if the rows' 32 KiB stay in L1.
    pub fn depth(self) -> usize {
        match self {
            Self::Vectors => BLOCK_DEPTH,
            Self::Tiles => BLOCK_DEPTH / 2,
        }
    }
}

/// How the rows are cut into slivers, and where each is packed. Slivers of vectors have at most [`TILE_ROWS`] rows, cut as
/// evenly as can be; those of tiles [`amx::TILE_ROWS`] but for the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slivers {
    pub unit: Unit,
    rows: usize,
    pub count: usize,
    pub height: usize,
    /// This many slivers, the first ones, are one row higher.
    pub higher: usize,
}

impl Slivers {
    pub fn new(unit: Unit, rows: usize) -> Self {
        match unit {
            Unit::Vectors => {
                let count = rows.div_ceil(TILE_ROWS);
                Self { unit, rows, count, height: rows / count, higher: rows % count }
            }
            Unit::Tiles => Self { unit, rows, count: rows.div_ceil(amx::TILE_ROWS), height: amx::TILE_ROWS, higher: 0 },
        }
    }

    /// (first row, rows) of a sliver.
    pub fn get(&self, index: usize) -> (usize, usize) {
        let first = index * self.height + index.min(self.higher);
        (first, (self.height + usize::from(index < self.higher)).min(self.rows - first))
    }

    /// Rows that a sliver of `rows` takes when it is packed.
    pub fn packed_rows(&self, rows: usize) -> usize {
        match self.unit {
            Unit::Vectors => rows,
            Unit::Tiles => rows.next_multiple_of(amx::TILE),
        }
    }

    /// The part of a packed left operand, of `pairs` along k, that holds a sliver's pairs from `first` on.
    pub fn part<'a>(&self, left: &'a [u32], pairs: usize, sliver: usize, first: usize, count: usize) -> &'a [u32] {
        let (row, rows) = self.get(sliver);
        let rows = self.packed_rows(rows);
        &left[row * pairs + first * rows..][..count * rows]
    }
}
