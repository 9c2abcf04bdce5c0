//! Code-point ranges as sequences of byte ranges: a range of characters is read byte by byte.

/// One byte of a sequence: the bytes from the first to the second, inclusive.
pub type ByteRange = (u8, u8);

/// Sorted, disjoint ranges of Unicode scalar values (no surrogates) inside `ranges`, or outside them.
pub fn normalise(ranges: &[(u32, u32)], negated: bool) -> Vec<(u32, u32)> {
    let mut sorted: Vec<(u32, u32)> = ranges.iter().copied().filter(|(low, high)| low <= high).collect();
    sorted.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::with_capacity(sorted.len());
    for (low, high) in sorted {
        match merged.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => merged.push((low, high)),
        }
    }
    if negated {
        let mut outside = Vec::with_capacity(merged.len() + 1);
        let mut from = 0;
        for (low, high) in merged {
            if low > from {
                outside.push((from, low - 1));
            }
            from = high.saturating_add(1);
        }
        outside.push((from, u32::MAX));
        merged = outside;
    }
    let scalars = [(0, 0xd7ff), (0xe000, 0x10_ffff)];
    let inside = |(low, high): (u32, u32)| {
        scalars.iter().map(move |(from, to)| (low.max(*from), high.min(*to))).filter(|(low, high)| low <= high)
    };
    merged.into_iter().flat_map(inside).collect()
}

/// The byte sequences of the scalar values from `low` to `high`, in order; no two of them share a text.
pub fn sequences(low: u32, high: u32) -> Vec<Vec<ByteRange>> {
    let mut found = Vec::new();
    let mut todo = vec![(low, high)];
    while let Some((low, high)) = todo.pop() {
        // Cut where the number of bytes changes, then where a lower byte's run is incomplete at either end.
        let length_cut = [0x7f, 0x7ff, 0xffff].into_iter().find(|last| low <= *last && *last < high);
        let run_cut = || {
            (1..4).map(|bits| (1u32 << (6 * bits)) - 1).filter(|_| low > 0x7f).find_map(|run| {
                if low & !run == high & !run {
                    None
                } else if low & run != 0 {
                    Some(low | run)
                } else if high & run != run {
                    Some((high & !run) - 1)
                } else {
                    None
                }
            })
        };
        if let Some(last) = length_cut.or_else(run_cut) {
            todo.push((last + 1, high));
            todo.push((low, last));
            continue;
        }
        found.push(encode(low).into_iter().zip(encode(high)).collect());
    }
    found
}

/// UTF-8 of a scalar value.
fn encode(value: u32) -> Vec<u8> {
    let mut buffer = [0; 4];
    char::from_u32(value).map_or_else(Vec::new, |c| c.encode_utf8(&mut buffer).as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(sequences: &[Vec<ByteRange>], text: &[u8]) -> usize {
        let fits =
            |s: &&Vec<ByteRange>| s.len() == text.len() && s.iter().zip(text).all(|((l, h), b)| l <= b && b <= h);
        sequences.iter().filter(fits).count()
    }

    #[test]
    fn every_scalar_value_is_in_exactly_its_ranges() {
        let cases: [(u32, u32); 8] = [
            (0, 0x10_ffff),
            (0x41, 0x41),
            (0x70, 0x90),
            (0x7ff, 0x800),
            (0x3041, 0x309f),
            (0xfff0, 0x1_0005),
            (0x1_f300, 0x1_f6ff),
            (0x7f, 0x10_fffe),
        ];
        for (low, high) in cases {
            let ranges = normalise(&[(low, high)], false);
            let all: Vec<_> = ranges.iter().flat_map(|(low, high)| sequences(*low, *high)).collect();
            for value in (0..=0x10_ffff).step_by(7).chain([low, high, low.saturating_sub(1), (high + 1).min(0x10_ffff)])
            {
                if let Some(c) = char::from_u32(value) {
                    let inside = usize::from(low <= value && value <= high);
                    assert_eq!(matches(&all, c.to_string().as_bytes()), inside, "{value:x} in {low:x}-{high:x}");
                }
            }
        }
    }

    #[test]
    fn negation_and_reversal() {
        assert_eq!(normalise(&[(0x62, 0x61)], false), []);
        assert_eq!(normalise(&[(0x61, 0x62), (0x63, 0x64)], true), [(0, 0x60), (0x65, 0xd7ff), (0xe000, 0x10_ffff)]);
        assert_eq!(normalise(&[(0xd800, 0xdfff)], false), []);
        assert_eq!(normalise(&[(0, u32::MAX)], true), []);
    }
}
