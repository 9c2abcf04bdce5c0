//! Embedding: rows of a matrix by token id, and the scatter-add of their gradients in the order of the tokens.

/// d_table [vocab, hidden] += dx [tokens, hidden] at the rows `ids` `[tokens]`, token by token.
pub fn scatter_add(ids: &[u32], dx: &[f32], d_table: &mut [f32]) {
    let hidden = dx.len() / ids.len().max(1);
    for (id, dx) in ids.iter().zip(dx.chunks_exact(hidden.max(1))) {
        let start = *id as usize * hidden;
        for (to, from) in d_table[start..start + hidden].iter_mut().zip(dx) {
            *to += from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_ids_add_up() {
        let mut table = vec![1.0; 8];
        scatter_add(&[3, 0, 3], &[1.0, 2.0, 10.0, 20.0, 100.0, 200.0], &mut table);
        assert_eq!(table, [11.0, 21.0, 1.0, 1.0, 1.0, 1.0, 102.0, 203.0]);
    }
}
