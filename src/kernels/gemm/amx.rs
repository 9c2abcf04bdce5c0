//! Register tiles of [`super::bf16`] for Intel AMX: `tdpbf16ps` multiplies 16 × 32 by 32 × 16 numbers at once, which is
//! some twelve times what `vdpbf16ps` does a cycle. The standard library's intrinsics are not stable yet, so this is
//! assembly. The right operand is packed as the vector form packs it; the left one as tiles of sixteen rows.
#![expect(unsafe_code, reason = "assembly and vector intrinsics; every function says what it relies on")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::sync::OnceLock;

use super::avx512::low_bits;
use super::bf16::{Line, TILE_COLS};
use super::{Target, avx512bf16};

/// Rows of a register tile: two of sixteen, so that each tile that is loaded is used twice.
pub(super) const TILE_ROWS: usize = 32;

/// Rows of one tile register.
pub(super) const TILE: usize = 16;

/// Pairs along k of one tile register.
pub(super) const TILE_PAIRS: usize = 16;

/// Numbers of a packed tile of the left operand.
pub(super) const TILE_LEN: usize = TILE * TILE_PAIRS;

/// Whether processor and kernel let this process use tiles; what [`avx512bf16`] packs with has to be there too.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| avx512bf16::available() && has_tiles() && permitted())
}

/// Leaf 7 of CPUID: AMX-BF16 and AMX-TILE.
fn has_tiles() -> bool {
    const BF16: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & (BF16 | TILES) == BF16 | TILES
}

/// Asks Linux for the tiles' state, which threads do not have unless their process asks once.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: isize = 0x1023;
    const XFEATURE_XTILEDATA: isize = 18;
    let result: isize;
    // SAFETY: a system call that touches no memory of this process; the kernel overwrites rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// The tiles' shapes for one thread, for as long as this lives: eight of 16 rows × 64 bytes.
pub(super) struct Configured {
    _private: (),
}

impl Configured {
    /// Only where [`available`].
    pub(super) fn new() -> Self {
        /// Palette 1; bytes of a row from 16 on, two each; rows from 48 on, one each.
        const CONFIG: [u8; 64] = {
            let mut config = [0; 64];
            config[0] = 1;
            let mut tile = 0;
            while tile < 8 {
                config[16 + 2 * tile] = 64;
                config[48 + tile] = TILE as u8;
                tile += 1;
            }
            config
        };
        assert!(available());
        // SAFETY: the tiles are there and permitted; reads 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) CONFIG.as_ptr(), options(nostack, readonly, preserves_flags)) };
        Self { _private: () }
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: gives the state back, so that the kernel has 8 KiB less to save when it switches threads.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }
}

/// Rounds rows × k floats to bf16 and lays them out as `[k in tiles][tiles of sixteen rows][16][16 pairs]`; numbers past
/// k are zero, rows past `rows` are left as they are.
pub(super) fn pack_left(packed: &mut [u32], a: &[f32], gain: Option<&[f32]>, rows: usize, k: usize) {
    let groups = rows.div_ceil(TILE);
    assert!(gain.is_none_or(|gain| gain.len() == k));
    assert!(rows <= TILE_ROWS && a.len() == rows * k && packed.len() == groups * k.div_ceil(32) * TILE_LEN);
    debug_assert!(available());
    // SAFETY: the features were detected (`bf16::matmul` asserts it); all accesses stay inside the asserted lengths.
    unsafe { pack_left_avx512(packed, a, gain, rows, k) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_left_avx512(packed: &mut [u32], a: &[f32], gain: Option<&[f32]>, rows: usize, k: usize) {
    let groups = rows.div_ceil(TILE);
    for row in 0..rows {
        let start = a.as_ptr().wrapping_add(row * k);
        let mut to = packed.as_mut_ptr().wrapping_add(row / TILE * TILE_LEN + row % TILE * TILE_PAIRS);
        for first in (0..k).step_by(32) {
            let (low, high) = (low_bits((k - first).min(16)), low_bits((k - first).saturating_sub(16).min(16)));
            let at = start.wrapping_add(first);
            // SAFETY: masked lanes are not read; the others are elements first.. of this row, and of the gain's k
            // numbers. The sixteen pairs written lie in this row of tile first / 32.
            unsafe {
                let mut x = _mm512_maskz_loadu_ps(low, at);
                let mut y = _mm512_maskz_loadu_ps(high, at.wrapping_add(16));
                if let Some(gain) = gain {
                    let gain = gain.as_ptr().wrapping_add(first);
                    x = _mm512_mul_ps(x, _mm512_maskz_loadu_ps(low, gain));
                    y = _mm512_mul_ps(y, _mm512_maskz_loadu_ps(high, gain.wrapping_add(16)));
                }
                let pairs = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(y, x));
                _mm512_storeu_si512(to.cast(), pairs);
            }
            to = to.wrapping_add(groups * TILE_LEN);
        }
    }
}

/// One tile of the result: a as [`pack_left`] packs it, from a whole tile along k on, times b `[pairs][two lines]`.
///
/// # Safety
/// `to` must be exclusive and valid for `rows` rows of `to.width` numbers.
pub(super) unsafe fn tile(_: &Configured, rows: usize, a: &[u32], b: &[Line], to: Target) {
    let (groups, depth) = (rows.div_ceil(TILE), b.len() / (2 * TILE_PAIRS));
    assert!(to.width <= TILE_COLS && (1..=TILE_ROWS).contains(&rows));
    assert!(a.len() == groups * depth * TILE_LEN && b.len().is_multiple_of(2 * TILE_PAIRS) && depth > 0);
    let whole = to.width == TILE_COLS && rows.is_multiple_of(TILE);
    // SAFETY: the lengths agree, and the caller answers for `to`. A tile that hangs over the result's edge goes through
    // memory of its own, so that each element's sum is the same there.
    unsafe {
        if whole {
            let to = Sums { at: to.at, stride: to.stride * size_of::<f32>(), load: to.add };
            return if groups == 1 { multiply_one(a, b, depth, to) } else { multiply_two(a, b, depth, to) };
        }
        let mut edge = [[0.0f32; TILE_COLS]; TILE_ROWS];
        if to.add {
            for (row, edge) in edge[..rows].iter_mut().enumerate() {
                std::ptr::copy_nonoverlapping(to.at.wrapping_add(row * to.stride), edge.as_mut_ptr(), to.width);
            }
        }
        let sums = Sums { at: edge.as_mut_ptr().cast(), stride: size_of_val(&edge[0]), load: to.add };
        if groups == 1 {
            multiply_one(a, b, depth, sums);
        } else {
            multiply_two(a, b, depth, sums);
        }
        for (row, edge) in edge[..rows].iter().enumerate() {
            std::ptr::copy_nonoverlapping(edge.as_ptr(), to.at.wrapping_add(row * to.stride), to.width);
        }
    }
}

/// Where sums of sixteen-row tiles, two beside each other, begin and end.
struct Sums {
    at: *mut f32,
    /// Bytes from one row to the next.
    stride: usize,
    /// Whether they begin with what is there.
    load: bool,
}

/// # Safety
/// `a` must hold `depth` tiles, `b` 32·`depth` lines, `to` 16 rows of 32 numbers; the tiles must be configured.
unsafe fn multiply_one(a: &[u32], b: &[Line], depth: usize, to: Sums) {
    // SAFETY: the caller answers for the lengths.
    unsafe {
        asm!(
            "test {load}, {load}",
            "jz 2f",
            "tileloadd tmm0, [{c} + {c_stride}*1]",
            "tileloadd tmm1, [{c} + {c_stride}*1 + 64]",
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "3:",
            "tileloadd tmm4, [{a} + {a_stride}*1]",
            "tileloadd tmm6, [{b} + {a_stride}*2]",
            "tileloadd tmm7, [{b} + {a_stride}*2 + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {a}, 1024",
            "add {b}, 2048",
            "dec {depth}",
            "jnz 3b",
            "tilestored [{c} + {c_stride}*1], tmm0",
            "tilestored [{c} + {c_stride}*1 + 64], tmm1",
            load = in(reg) usize::from(to.load),
            a = inout(reg) a.as_ptr() => _,
            b = inout(reg) b.as_ptr() => _,
            depth = inout(reg) depth => _,
            c = in(reg) to.at,
            c_stride = in(reg) to.stride,
            a_stride = in(reg) 64usize,
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// # Safety
/// `a` must hold 2·`depth` tiles, `b` 32·`depth` lines, `to` 32 rows of 32 numbers; the tiles must be configured.
unsafe fn multiply_two(a: &[u32], b: &[Line], depth: usize, to: Sums) {
    // SAFETY: the caller answers for the lengths.
    unsafe {
        asm!(
            "test {load}, {load}",
            "jz 2f",
            "tileloadd tmm0, [{c} + {c_stride}*1]",
            "tileloadd tmm1, [{c} + {c_stride}*1 + 64]",
            "tileloadd tmm2, [{lower} + {c_stride}*1]",
            "tileloadd tmm3, [{lower} + {c_stride}*1 + 64]",
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "3:",
            "tileloadd tmm4, [{a} + {a_stride}*1]",
            "tileloadd tmm6, [{b} + {a_stride}*2]",
            "tileloadd tmm7, [{b} + {a_stride}*2 + 64]",
            "tileloadd tmm5, [{a} + {a_stride}*1 + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, 2048",
            "add {b}, 2048",
            "dec {depth}",
            "jnz 3b",
            "tilestored [{c} + {c_stride}*1], tmm0",
            "tilestored [{c} + {c_stride}*1 + 64], tmm1",
            "tilestored [{lower} + {c_stride}*1], tmm2",
            "tilestored [{lower} + {c_stride}*1 + 64], tmm3",
            load = in(reg) usize::from(to.load),
            a = inout(reg) a.as_ptr() => _,
            b = inout(reg) b.as_ptr() => _,
            depth = inout(reg) depth => _,
            c = in(reg) to.at,
            lower = in(reg) to.at.wrapping_byte_add(TILE * to.stride),
            c_stride = in(reg) to.stride,
            a_stride = in(reg) 64usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
