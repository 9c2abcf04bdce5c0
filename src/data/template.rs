//! Prompt layouts: the only place that knows what `<|im_start|>` is. The training rows of `preprocess` and the prompts of
//! `chat` are built here, by the same code, so that a model is asked exactly the way it was taught.
//!
//! A rendered row is `prompt(p)` followed by `answer(a)`; nothing else is ever added. Two layouts end without a marker
//! (Alpaca, Simple, as their originals do): there the tokenizer's end-of-sequence id closes the row.
//!
//! Qwen3: the prompt is `apply_chat_template(messages, add_generation_prompt=True)` of the model's own template. Rows
//! carry no `<think>` block, like those the seeds trained on: after training the model answers at once. A base model
//! without an adapter is kept from thinking by [`Layout::empty_think`] behind the prompt (`enable_thinking=False`).

/// A prompt layout (⏎ stands for a line feed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// The seeds' layout: `<|system|>⏎Dialect: …⏎Schema:⏎…⏎<|end|>⏎<|user|>⏎…⏎<|end|>⏎<|assistant|>⏎…⏎<|end|>`.
    ChatMl,
    /// Qwen's own: `<|im_start|>system⏎Dialect: …⏎Schema:⏎…<|im_end|>⏎<|im_start|>user⏎…<|im_end|>⏎<|im_start|>assistant⏎…<|im_end|>⏎`.
    Qwen3,
    /// The Mistral seed's: `[INST] Question: …⏎Schema: … [/INST] …</s>`; the dialect is not shown.
    Mistral,
    /// `### Instruction:⏎…⏎⏎### Schema:⏎…⏎⏎### Response:⏎…`; the dialect is not shown.
    Alpaca,
    /// `[INST] <<SYS>>⏎Dialect: …⏎Schema:⏎…⏎<</SYS>>⏎⏎… [/INST] … </s>`.
    Llama2,
    /// `Schema: …⏎⏎Question: …⏎⏎Answer: …`; the dialect is not shown.
    Simple,
}

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// `postgres`, `sqlite`, `mysql`, …
    pub dialect: String,
    /// DDL shown to the model; none: the schema lines are left out.
    pub schema: Option<String>,
    /// The question.
    pub question: String,
}

/// Pieces of text that surround the parts of a row, in order. A part ends where the next piece begins.
struct Pieces {
    /// Before the dialect; `None`: the layout has no place for it.
    dialect: Option<&'static str>,
    /// Before the schema. Left out together with it.
    schema: &'static str,
    /// Before the question.
    question: &'static str,
    /// Before the answer.
    answer: &'static str,
    /// Behind the answer.
    end: &'static str,
    /// Whether the question stands before the schema.
    question_first: bool,
}

const CHATML: Pieces = Pieces {
    dialect: Some("<|system|>\nDialect: "),
    schema: "\nSchema:\n",
    question: "\n<|end|>\n<|user|>\n",
    answer: "\n<|end|>\n<|assistant|>\n",
    end: "\n<|end|>",
    question_first: false,
};
const QWEN3: Pieces = Pieces {
    dialect: Some("<|im_start|>system\nDialect: "),
    schema: "\nSchema:\n",
    question: "<|im_end|>\n<|im_start|>user\n",
    answer: "<|im_end|>\n<|im_start|>assistant\n",
    end: "<|im_end|>\n",
    question_first: false,
};
const MISTRAL: Pieces = Pieces {
    dialect: None,
    schema: "\nSchema: ",
    question: "[INST] Question: ",
    answer: " [/INST]",
    end: "</s>",
    question_first: true,
};
const ALPACA: Pieces = Pieces {
    dialect: None,
    schema: "\n\n### Schema:\n",
    question: "### Instruction:\n",
    answer: "\n\n### Response:\n",
    end: "",
    question_first: true,
};
const LLAMA2: Pieces = Pieces {
    dialect: Some("[INST] <<SYS>>\nDialect: "),
    schema: "\nSchema:\n",
    question: "\n<</SYS>>\n\n",
    answer: " [/INST]",
    end: " </s>",
    question_first: false,
};
const SIMPLE: Pieces = Pieces {
    dialect: None,
    schema: "Schema: ",
    question: "Question: ",
    answer: "\n\nAnswer:",
    end: "",
    question_first: false,
};

impl Layout {
    /// Every layout, in the order the help lists them.
    pub const ALL: [Self; 6] = [Self::ChatMl, Self::Qwen3, Self::Mistral, Self::Alpaca, Self::Llama2, Self::Simple];

    /// The layout of this name; the names that manifests use (`qwen`, `llama`) mean what they mean upstream.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "chatml" | "qwen" => Some(Self::ChatMl),
            "qwen3" => Some(Self::Qwen3),
            "mistral" => Some(Self::Mistral),
            "alpaca" => Some(Self::Alpaca),
            "llama2" | "llama" => Some(Self::Llama2),
            "simple" => Some(Self::Simple),
            _ => None,
        }
    }

    /// The name that `--format` and `prompt_template` take.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChatMl => "chatml",
            Self::Qwen3 => "qwen3",
            Self::Mistral => "mistral",
            Self::Alpaca => "alpaca",
            Self::Llama2 => "llama2",
            Self::Simple => "simple",
        }
    }

    /// The text up to where the answer begins.
    pub fn prompt(self, prompt: &Prompt) -> String {
        let pieces = self.pieces();
        let schema = prompt.schema.as_deref();
        let mut text = String::with_capacity(128 + schema.map_or(0, str::len) + prompt.question.len());
        if let Some(lead) = pieces.dialect {
            text.push_str(lead);
            text.push_str(&prompt.dialect);
        }
        if pieces.question_first {
            text.push_str(pieces.question);
            text.push_str(&prompt.question);
        }
        if let Some(schema) = schema {
            text.push_str(pieces.schema);
            text.push_str(schema);
            text.push_str(if self == Self::Simple { "\n\n" } else { "" });
        }
        if !pieces.question_first {
            text.push_str(pieces.question);
            text.push_str(&prompt.question);
        }
        text.push_str(pieces.answer);
        text
    }

    /// The answer as it stands behind the prompt in a training row, end marker included.
    pub fn answer(self, answer: &str) -> String {
        format!("{}{answer}{}", self.gap(), self.pieces().end)
    }

    /// A whole training row: `prompt(prompt) + answer(answer)`.
    pub fn render(self, prompt: &Prompt, answer: &str) -> String {
        self.prompt(prompt) + &self.answer(answer)
    }

    /// What closes an answer; empty where the tokenizer's end-of-sequence id must do it.
    pub fn end_marker(self) -> &'static str {
        self.pieces().end
    }

    /// What `enable_thinking=False` puts behind the prompt of a base model; empty where there is no thinking.
    pub fn empty_think(self) -> &'static str {
        if self == Self::Qwen3 { "<think>\n\n</think>\n\n" } else { "" }
    }

    /// The texts that carry the structure: none of them may occur inside a part.
    pub fn markers(self) -> &'static [&'static str] {
        match self {
            Self::ChatMl => &["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
            Self::Qwen3 => &["<|im_start|>", "<|im_end|>"],
            Self::Mistral => &["[INST]", "[/INST]", "</s>"],
            Self::Alpaca => &["### Instruction:", "### Schema:", "### Response:"],
            Self::Llama2 => &["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "</s>"],
            Self::Simple => &["\n\nQuestion: ", "\n\nAnswer:"],
        }
    }

    /// The markers that a tokenizer should hold as special tokens; where it does not they cost several tokens each and
    /// stopping rests on text.
    pub fn special_markers(self) -> &'static [&'static str] {
        match self {
            Self::ChatMl | Self::Qwen3 => self.markers(),
            Self::Mistral | Self::Llama2 => &["</s>"],
            Self::Alpaca | Self::Simple => &[],
        }
    }

    /// The layout whose markers a tokenizer knows, given what it holds as special tokens.
    pub fn fitting(is_special: impl Fn(&str) -> bool) -> Self {
        let knows = |layout: &Self| layout.special_markers().iter().all(|marker| is_special(marker));
        [Self::Qwen3, Self::ChatMl, Self::Mistral].into_iter().find(knows).unwrap_or(Self::Alpaca)
    }

    /// Texts at which generation ends.
    pub fn stop_sequences(self) -> &'static [&'static str] {
        match self {
            Self::ChatMl => &["<|end|>", "<|user|>"],
            Self::Qwen3 => &["<|im_end|>", "<|endoftext|>"],
            Self::Mistral | Self::Llama2 => &["</s>", "[INST]"],
            Self::Alpaca => &["\n### "],
            Self::Simple => &["\n\nSchema: ", "\n\nQuestion: "],
        }
    }

    /// The layout a rendered text is in.
    pub fn detect(text: &str) -> Option<Self> {
        let layout = if text.starts_with("<|system|>") || text.starts_with("<|user|>") {
            Self::ChatMl
        } else if text.starts_with("<|im_start|>") {
            Self::Qwen3
        } else if text.starts_with("[INST] <<SYS>>") {
            Self::Llama2
        } else if text.starts_with("[INST]") {
            Self::Mistral
        } else if text.starts_with("### Instruction:\n") {
            Self::Alpaca
        } else if text.starts_with("Schema: ") || text.starts_with("Question: ") {
            Self::Simple
        } else {
            return None;
        };
        layout.split(text).map(|_| layout)
    }

    /// The byte of a rendered text at which the answer begins: everything before it is prompt. Of several answers the
    /// last one counts.
    pub fn split(self, text: &str) -> Option<usize> {
        let marker = match self {
            Self::ChatMl => "<|assistant|>\n",
            Self::Qwen3 => "<|im_start|>assistant\n",
            _ => self.pieces().answer,
        };
        text.rfind(marker).map(|at| at + marker.len())
    }

    /// The byte of a prompt at which the question begins.
    pub fn question_at(self, prompt: &str) -> Option<usize> {
        let marker = self.pieces().question;
        let at = if self.pieces().question_first { prompt.find(marker) } else { prompt.rfind(marker) };
        at.map(|at| at + marker.len())
    }

    /// The inverse of [`Layout::render`]: the parts of a row that was written in exactly this layout. The dialect is
    /// empty where the layout does not show it.
    pub fn parse(self, text: &str) -> Option<(Prompt, String)> {
        let pieces = self.pieces();
        let at = self.split(text)?;
        let answer = text[at..].strip_prefix(self.gap()).unwrap_or(&text[at..]);
        let answer = answer.strip_suffix(pieces.end).unwrap_or(answer);
        let head = text[..at].strip_suffix(pieces.answer)?;
        let (dialect, schema, question) = if pieces.question_first {
            let rest = head.strip_prefix(pieces.question)?;
            match rest.split_once(pieces.schema) {
                Some((question, schema)) => ("", Some(schema), question),
                None => ("", None, rest),
            }
        } else if let Some(lead) = pieces.dialect {
            let (system, question) = head.strip_prefix(lead)?.split_once(pieces.question)?;
            match system.split_once(pieces.schema) {
                Some((dialect, schema)) => (dialect, Some(schema), question),
                None => (system, None, question),
            }
        } else if let Some(rest) = head.strip_prefix(pieces.schema) {
            let (schema, question) = rest.split_once("\n\nQuestion: ")?;
            ("", Some(schema), question)
        } else {
            ("", None, head.strip_prefix(pieces.question)?)
        };
        let prompt =
            Prompt { dialect: dialect.into(), schema: schema.map(str::to_owned), question: question.to_owned() };
        Some((prompt, answer.to_owned()))
    }

    /// What stands between the prompt and the answer's first character; it belongs to the answer part of a row, because
    /// the prompt ends where the model's own template ends it.
    fn gap(self) -> &'static str {
        if matches!(self, Self::Mistral | Self::Llama2 | Self::Simple) { " " } else { "" }
    }

    fn pieces(self) -> &'static Pieces {
        match self {
            Self::ChatMl => &CHATML,
            Self::Qwen3 => &QWEN3,
            Self::Mistral => &MISTRAL,
            Self::Alpaca => &ALPACA,
            Self::Llama2 => &LLAMA2,
            Self::Simple => &SIMPLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::value::Value;
    use proptest::prelude::*;

    fn prompt() -> Prompt {
        Prompt {
            dialect: "postgres".into(),
            schema: Some("CREATE TABLE users (id INT)".into()),
            question: "How many users?".into(),
        }
    }

    #[test]
    fn every_layout_byte_for_byte() {
        let sql = "SELECT COUNT(*) FROM users";
        for (layout, row) in [
            (
                Layout::ChatMl,
                "<|system|>\nDialect: postgres\nSchema:\nCREATE TABLE users (id INT)\n<|end|>\n<|user|>\nHow many users?\n<|end|>\n<|assistant|>\nSELECT COUNT(*) FROM users\n<|end|>",
            ),
            (
                Layout::Qwen3,
                "<|im_start|>system\nDialect: postgres\nSchema:\nCREATE TABLE users (id INT)<|im_end|>\n<|im_start|>user\nHow many users?<|im_end|>\n<|im_start|>assistant\nSELECT COUNT(*) FROM users<|im_end|>\n",
            ),
            (
                Layout::Mistral,
                "[INST] Question: How many users?\nSchema: CREATE TABLE users (id INT) [/INST] SELECT COUNT(*) FROM users</s>",
            ),
            (
                Layout::Alpaca,
                "### Instruction:\nHow many users?\n\n### Schema:\nCREATE TABLE users (id INT)\n\n### Response:\nSELECT COUNT(*) FROM users",
            ),
            (
                Layout::Llama2,
                "[INST] <<SYS>>\nDialect: postgres\nSchema:\nCREATE TABLE users (id INT)\n<</SYS>>\n\nHow many users? [/INST] SELECT COUNT(*) FROM users </s>",
            ),
            (
                Layout::Simple,
                "Schema: CREATE TABLE users (id INT)\n\nQuestion: How many users?\n\nAnswer: SELECT COUNT(*) FROM users",
            ),
        ] {
            assert_eq!(layout.render(&prompt(), sql), row, "{}", layout.name());
        }
    }

    #[test]
    fn without_a_schema_its_lines_are_left_out() {
        let bare = Prompt { schema: None, ..prompt() };
        for (layout, text) in [
            (
                Layout::ChatMl,
                "<|system|>\nDialect: postgres\n<|end|>\n<|user|>\nHow many users?\n<|end|>\n<|assistant|>\n",
            ),
            (Layout::Mistral, "[INST] Question: How many users? [/INST]"),
            (Layout::Simple, "Question: How many users?\n\nAnswer:"),
        ] {
            assert_eq!(layout.prompt(&bare), text);
        }
    }

    #[test]
    fn names_and_the_layout_that_fits() {
        for layout in Layout::ALL {
            assert_eq!(Layout::from_name(layout.name()), Some(layout));
        }
        assert_eq!(Layout::from_name("vicuna"), None);
        assert_eq!(Layout::fitting(|marker| marker.starts_with("<|im_")), Layout::Qwen3);
        assert_eq!(Layout::fitting(|marker| marker == "</s>"), Layout::Mistral);
        assert_eq!(Layout::fitting(|_| false), Layout::Alpaca);
    }

    /// The string methods that Hugging Face's templates call, as Python has them.
    fn python_method(value: &Value, method: &str, args: &[Value]) -> Result<Value, minijinja::Error> {
        let text = value.as_str().unwrap_or_default();
        let arg = args.first().and_then(|a| a.as_str()).unwrap_or_default();
        let cut: Vec<char> = arg.chars().collect();
        Ok(match method {
            "startswith" => text.starts_with(arg).into(),
            "endswith" => text.ends_with(arg).into(),
            "split" => text.split(arg).map(Value::from).collect(),
            "strip" => text.trim_matches(&cut[..]).into(),
            "lstrip" => text.trim_start_matches(&cut[..]).into(),
            "rstrip" => text.trim_end_matches(&cut[..]).into(),
            _ => return Err(minijinja::ErrorKind::UnknownMethod.into()),
        })
    }

    fn apply_chat_template(template: &str, thinking: Option<bool>) -> String {
        let mut environment = minijinja::Environment::new();
        environment.set_unknown_method_callback(|_, value, method, args| python_method(value, method, args));
        environment.add_template("chat", template).unwrap();
        let p = prompt();
        let system = format!("Dialect: {}\nSchema:\n{}", p.dialect, p.schema.unwrap());
        let messages = serde_json::json!([
            {"role": "system", "content": system}, {"role": "user", "content": p.question}
        ]);
        let mut context = serde_json::json!({"messages": messages, "add_generation_prompt": true});
        if let Some(thinking) = thinking {
            context["enable_thinking"] = thinking.into();
        }
        environment.get_template("chat").unwrap().render(context).unwrap()
    }

    #[test]
    fn the_prompt_is_what_a_chatml_template_renders() {
        let template = "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}";
        assert_eq!(Layout::Qwen3.prompt(&prompt()), apply_chat_template(template, None));
    }

    /// Runs where `EXPERT_DATA` names a folder with `tokenizer/qwen3/tokenizer_config.json`.
    #[test]
    fn the_prompt_is_what_qwen3s_own_template_renders() {
        let Some(data) = std::env::var_os("EXPERT_DATA") else { return };
        let path = std::path::Path::new(&data).join("tokenizer/qwen3/tokenizer_config.json");
        let config: serde_json::Value = serde_json::from_slice(&crate::fsx::read(&path).unwrap()).unwrap();
        let template = config["chat_template"].as_str().unwrap();
        let ours = Layout::Qwen3.prompt(&prompt());
        assert_eq!(ours, apply_chat_template(template, None));
        assert_eq!(ours + Layout::Qwen3.empty_think(), apply_chat_template(template, Some(false)));
    }

    #[test]
    fn other_texts_are_in_no_layout() {
        for text in ["", "SELECT 1", "<|system|>\nDialect: postgres", "Schema: none", "<|im_start|>user\nhi<|im_end|>"]
        {
            assert_eq!(Layout::detect(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_rendered_row_is_detected_split_and_parsed(
            schema in proptest::option::of("[A-Za-z(),; \n]{0,60}"),
            question in "[A-Za-zé?' \n]{1,40}",
            sql in "[A-Za-z*=' \n]{0,60}",
            which in 0usize..6,
        ) {
            let layout = Layout::ALL[which];
            let shown = matches!(layout, Layout::ChatMl | Layout::Qwen3 | Layout::Llama2);
            let prompt = Prompt { dialect: if shown { "sqlite".into() } else { String::new() }, schema, question };
            let row = layout.render(&prompt, &sql);
            prop_assert_eq!(Layout::detect(&row), Some(layout));
            prop_assert_eq!(layout.split(&row), Some(layout.prompt(&prompt).len()));
            prop_assert_eq!(layout.parse(&row), Some((prompt, sql)));
        }
    }
}
