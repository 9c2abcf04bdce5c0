//! Ids to text while they come: complete characters only, the same text as decoding all ids at once.

use super::thinking;
use crate::data::tokenizer::TextTokenizer;
use crate::error::Result;

/// What a conversation asks of a tokenizer.
pub trait Vocabulary: Sync {
    /// Number of ids that have a text; the model may have more rows.
    fn size(&self) -> usize;
    /// The ids of a prompt: the begin-of-sequence id where the tokenizer adds one, then the text's.
    fn encode_prompt(&self, text: &str) -> Result<Vec<u32>>;
    /// The text of these ids. Special tokens have none.
    fn decode(&self, ids: &[u32]) -> String;
    /// The ids that the tokenizer calls the end of a text.
    fn end_ids(&self) -> Vec<u32>;
    /// The id of a token.
    fn id(&self, token: &str) -> Option<u32>;
    /// Whether a text is a special token.
    fn is_special(&self, token: &str) -> bool;
    /// The text of a special token that must not get lost: a tag of a thinking block.
    fn visible_special(&self, _id: u32) -> Option<&str> {
        None
    }
}

impl Vocabulary for TextTokenizer {
    fn size(&self) -> usize {
        self.vocab_size()
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        TextTokenizer::encode_prompt(self, text)
    }

    fn decode(&self, ids: &[u32]) -> String {
        // Ids below `size` always decode; what a tokenizer cannot show is shown as nothing.
        TextTokenizer::decode(self, ids, true).unwrap_or_default()
    }

    fn end_ids(&self) -> Vec<u32> {
        self.eos_ids().to_vec()
    }

    fn id(&self, token: &str) -> Option<u32> {
        self.token_id(token)
    }

    fn is_special(&self, token: &str) -> bool {
        TextTokenizer::is_special(self, token)
    }

    fn visible_special(&self, id: u32) -> Option<&str> {
        let tags = thinking::TAGS.iter().flat_map(|(open, close)| [*open, *close]);
        tags.into_iter().find(|tag| self.token_id(tag) == Some(id) && TextTokenizer::is_special(self, tag))
    }
}

/// Turns ids into text one by one. A token may end inside a character; its bytes wait for the rest.
#[derive(Debug, Clone, Default)]
pub struct Detokenizer {
    ids: Vec<u32>,
    /// Decoding starts at this id, so that a token is always decoded behind its neighbours (some tokenizers drop the
    /// space of a first token).
    window: usize,
    /// Up to this id the text has come out completely.
    done: usize,
    /// Bytes of the window's text that have come out.
    emitted: usize,
}

/// What an incomplete character decodes to.
const INCOMPLETE: char = '\u{fffd}';

impl Detokenizer {
    /// Adds an id and returns the text that is now certain.
    pub fn push(&mut self, id: u32, vocabulary: &dyn Vocabulary) -> String {
        if let Some(text) = vocabulary.visible_special(id) {
            let rest = self.finish(vocabulary);
            *self = Self::default();
            return rest + text;
        }
        self.ids.push(id);
        let text = vocabulary.decode(&self.ids[self.window..]);
        let certain = text.trim_end_matches(INCOMPLETE);
        let piece = certain.get(self.emitted..).unwrap_or("").to_owned();
        self.emitted = self.emitted.max(certain.len());
        if certain.len() == text.len() && !piece.is_empty() {
            self.window = self.done;
            self.done = self.ids.len();
            self.emitted = vocabulary.decode(&self.ids[self.window..]).len();
        }
        piece
    }

    /// The text of what is still waiting, characters that never became complete as U+FFFD.
    pub fn finish(&mut self, vocabulary: &dyn Vocabulary) -> String {
        let text = vocabulary.decode(&self.ids[self.window..]);
        let rest = text.get(self.emitted..).unwrap_or("").to_owned();
        self.emitted = self.emitted.max(text.len());
        rest
    }
}

#[cfg(test)]
pub(super) mod toy {
    //! A vocabulary whose tokens are byte strings: the worst case for character borders.

    use super::Vocabulary;
    use crate::error::Result;

    /// Token i is the i-th string of bytes; a `None` is a special token.
    pub struct Bytes(pub Vec<Option<Vec<u8>>>);

    impl Bytes {
        /// Tokens 0..=255 are the bytes, 256 is a special token, then these words.
        pub fn with_words(words: &[&str]) -> Self {
            let bytes = (0..=255u8).map(|b| Some(vec![b]));
            Self(bytes.chain([None]).chain(words.iter().map(|w| Some(w.as_bytes().to_vec()))).collect())
        }

        /// The bytes of a text as ids.
        pub fn ids(text: &str) -> Vec<u32> {
            text.bytes().map(u32::from).collect()
        }
    }

    impl Vocabulary for Bytes {
        fn size(&self) -> usize {
            self.0.len()
        }

        fn decode(&self, ids: &[u32]) -> String {
            let bytes: Vec<u8> = ids.iter().filter_map(|&id| self.0.get(id as usize)?.clone()).flatten().collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }

        fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
            Ok(Self::ids(text))
        }

        fn end_ids(&self) -> Vec<u32> {
            vec![256]
        }

        fn id(&self, token: &str) -> Option<u32> {
            self.0.iter().position(|t| t.as_deref() == Some(token.as_bytes())).map(|id| id as u32)
        }

        fn is_special(&self, token: &str) -> bool {
            self.id(token).is_some_and(|id| id > 256)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::toy::Bytes;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_character_comes_out_whole() {
        let vocabulary = Bytes::with_words(&["çã"]);
        let mut text = Detokenizer::default();
        let pieces: Vec<String> = Bytes::ids("aé日!").into_iter().map(|id| text.push(id, &vocabulary)).collect();
        assert_eq!(pieces, ["a", "", "é", "", "", "日", "!"]);
        assert_eq!(text.push(257, &vocabulary), "çã");
        assert_eq!(text.push(256, &vocabulary), "");
        assert_eq!(text.push(0xc3, &vocabulary), "");
        assert_eq!(text.finish(&vocabulary), "\u{fffd}");
        assert_eq!(text.finish(&vocabulary), "");
    }

    proptest! {
        #[test]
        fn pieces_add_up_to_the_whole(text in "[a-zé日🎉 ]{0,20}", junk in prop::collection::vec(0u32..257, 0..20)) {
            let vocabulary = Bytes::with_words(&[]);
            for ids in [Bytes::ids(&text), junk] {
                let mut detokenizer = Detokenizer::default();
                let mut pieces: String = ids.iter().map(|&id| detokenizer.push(id, &vocabulary)).collect();
                pieces.push_str(&detokenizer.finish(&vocabulary));
                prop_assert_eq!(pieces, vocabulary.decode(&ids));
            }
        }
    }
}
