//! A model with weights gets a new tokenizer: what its embedding knows of the old tokens is carried over to the new ones.
//!
//! A token that both have keeps its row; any other begins as the mean of the old tokens that spell it, which training
//! from there soon tells apart (as Hewitt 2021 begins new words with a mean of old rows).

use crate::data::tokenizer::TextTokenizer;
use crate::error::Result;
use crate::model::Decoder;

/// Gives the decoder rows for the tokens of `new` in place of those of `old`; returns how many `old` had no token for.
pub(super) fn renew(decoder: &mut Decoder, old: &TextTokenizer, new: &TextTokenizer) -> Result<usize> {
    let sources: Vec<Vec<u32>> = (0..new.vocab_size() as u32).map(|id| spelt(id, old, new)).collect::<Result<_>>()?;
    decoder.replace_vocabulary(&sources)?;
    Ok(sources.iter().filter(|ids| ids.len() != 1).count())
}

/// The old tokens that spell a new one; none where it is no text by itself (a part of a character).
fn spelt(id: u32, old: &TextTokenizer, new: &TextTokenizer) -> Result<Vec<u32>> {
    if let Some(same) = new.token(id).and_then(|token| old.token_id(&token)) {
        return Ok(vec![same]);
    }
    let text = new.decode(&[id], false)?;
    if text.contains(char::REPLACEMENT_CHARACTER) { Ok(Vec::new()) } else { old.encode(&text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tokenizer::write_new;
    use crate::model::Config;

    #[test]
    fn rows_are_carried_over_and_new_words_begin_as_the_mean_of_their_parts() {
        let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_new(before.path(), ["select from", "name of"].into_iter().cycle().take(40), 300).unwrap();
        write_new(after.path(), ["select names", "Order_Items é"].into_iter().cycle().take(40), 300).unwrap();
        let tokenizer = |dir: &tempfile::TempDir| TextTokenizer::load(dir.path()).unwrap();
        let (old, new) = (tokenizer(&before), tokenizer(&after));
        for tied in [true, false] {
            let mut decoder = Decoder::fresh(config(old.vocab_size(), tied), 7, 0.5).unwrap();
            let rows = |decoder: &mut Decoder| {
                let mut all = Vec::new();
                decoder.visit_tensors(&mut |name, tensor| {
                    if name.contains("embed_tokens") || name.contains("lm_head") {
                        let width = tensor.shape()[1];
                        all.push(tensor.to_f32().chunks(width).map(<[f32]>::to_vec).collect::<Vec<_>>());
                    }
                });
                all
            };
            let known = rows(&mut decoder);
            let taught = renew(&mut decoder, &old, &new).unwrap();
            let renewed = rows(&mut decoder);
            assert_eq!((renewed.len(), decoder.vocab_size()), (known.len(), new.vocab_size()));
            assert!(taught > 0 && taught < new.vocab_size() / 2, "{taught}");
            for (known, renewed) in known.iter().zip(&renewed) {
                assert_eq!(renewed.len(), new.vocab_size());
                let row = |token: &str| &renewed[new.token_id(token).unwrap() as usize];
                assert_eq!(row("select"), &known[old.token_id("select").unwrap() as usize], "a token of both");
                let word = new.token_id("Order").unwrap();
                let parts = old.encode("Order").unwrap();
                assert!(parts.len() > 1, "{parts:?}");
                let mean = |column: usize| {
                    parts.iter().map(|id| known[*id as usize][column]).sum::<f32>() / parts.len() as f32
                };
                for (column, value) in renewed[word as usize].iter().enumerate() {
                    assert!((value - mean(column)).abs() < 1e-6, "tied {tied}, column {column}");
                }
            }
        }
    }

    fn config(vocab_size: usize, tied: bool) -> Config {
        let value = serde_json::json!({
            "model_type": "qwen3", "vocab_size": vocab_size, "hidden_size": 16, "intermediate_size": 32,
            "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
            "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
            "tie_word_embeddings": tied, "hidden_act": "silu"
        });
        Config::from_value(&value).unwrap()
    }
}
