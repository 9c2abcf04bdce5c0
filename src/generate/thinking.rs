//! Thinking blocks: what a model writes before it answers. They are taken out of the answer, however many lines they
//! have, and shown only on request.

/// Opening and closing tags that models use (Qwen3, DeepSeek; the second pair occurs in the seeds' data).
pub const TAGS: &[(&str, &str)] = &[("<think>", "</think>"), ("<redacted_reasoning>", "</redacted_reasoning>")];

/// Whether a prompt ends inside an open thinking block, as some chat templates leave it.
pub fn is_open_at_end(prompt: &str) -> bool {
    TAGS.iter().any(|(open, close)| prompt.rfind(open).is_some_and(|at| !prompt[at..].contains(close)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_block_is_seen() {
        assert!(is_open_at_end("<|im_start|>assistant\n<think>\n"));
        assert!(!is_open_at_end("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
        assert!(!is_open_at_end("no block"));
    }
}
