//! A frozen weight as the right operand of `gemm::packed`: its values are widened to f32, or dequantised, where they are packed.

use super::{Matrix, Values};
use crate::kernels::gemm::packed::{Part, STRIP_COLS};
use crate::kernels::gemm::small;
use crate::kernels::quantised::{Blocks, PANEL, Panel, STRIP};

/// Columns of W that are widened at once before they are transposed: sixteen rows of them are 16 KiB.
const WIDE: usize = 256;

/// Rows of W ahead of which they are asked for: every row lies on a page of its own, where no processor looks ahead.
const AHEAD: usize = 4;

/// Packs a part of b = Wᵀ [in, out].
pub(super) fn transposed(w: Matrix<'_>, part: Part, into: &mut [f32]) {
    let (depth, columns) = (part.depth, part.columns);
    for (at, strip) in into.chunks_exact_mut(part.strip_len()).enumerate() {
        for half in 0..STRIP_COLS / STRIP {
            let offset = at * STRIP_COLS + half * STRIP;
            let rows = columns.1.saturating_sub(offset).min(STRIP);
            match w.values {
                _ if rows == 0 => {}
                Values::Quantised(blocks) => {
                    quantised_transposed(&blocks, (columns.0 + offset) / STRIP, depth, &mut strip[half * STRIP..]);
                }
                _ => {
                    let mut wide = [0.0; STRIP * WIDE];
                    for first in (0..depth.1).step_by(WIDE) {
                        let width = WIDE.min(depth.1 - first);
                        for (row, wide) in wide.chunks_exact_mut(WIDE).take(rows).enumerate() {
                            let row = columns.0 + offset + row;
                            w.prefetch(row + AHEAD, depth.0 + first, width);
                            w.widen_columns(row, depth.0 + first, &mut wide[..width]);
                        }
                        let to = &mut strip[first * STRIP_COLS + half * STRIP..];
                        small::transpose(to, STRIP_COLS, &wide, WIDE, (rows, width));
                    }
                }
            }
        }
    }
}

/// One strip of a quantised weight, whose panels lie as they are wanted.
fn quantised_transposed(w: &Blocks<'_>, strip: usize, depth: (usize, usize), into: &mut [f32]) {
    let mut panel: Panel = [[0.0; STRIP]; PANEL];
    for first in (0..depth.1).step_by(PANEL) {
        w.panel(strip, (depth.0 + first) / PANEL, &mut panel);
        for (to, from) in into[first * STRIP_COLS..].chunks_mut(STRIP_COLS).zip(&panel) {
            to[..STRIP].copy_from_slice(from);
        }
    }
}

/// Packs a part of b = W [out, in].
pub(super) fn plain(w: Matrix<'_>, part: Part, into: &mut [f32]) {
    let (depth, columns, len) = (part.depth, part.columns, part.strip_len());
    if let Values::Quantised(blocks) = w.values {
        let mut panel: Panel = [[0.0; STRIP]; PANEL];
        for first in (0..depth.1).step_by(STRIP) {
            let rows = STRIP.min(depth.1 - first);
            for (at, strip) in into.chunks_exact_mut(len).enumerate() {
                blocks.panel((depth.0 + first) / STRIP, columns.0 / PANEL + at, &mut panel);
                let to = &mut strip[first * STRIP_COLS..];
                small::transpose(to, STRIP_COLS, panel.as_flattened(), STRIP, (PANEL, rows));
            }
        }
        return;
    }
    let mut wide = vec![0.0; columns.1];
    for row in 0..depth.1 {
        w.prefetch(depth.0 + row + AHEAD, columns.0, columns.1);
        w.widen_columns(depth.0 + row, columns.0, &mut wide);
        for (at, wide) in wide.chunks(STRIP_COLS).enumerate() {
            into[at * len + row * STRIP_COLS..][..wide.len()].copy_from_slice(wide);
        }
    }
}
