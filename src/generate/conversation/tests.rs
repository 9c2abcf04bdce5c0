//! Conversations with a scripted model.

use super::super::decode::{Unobserved, tests::Scripted};
use super::super::settings::Overrides;
use super::super::text::toy::Bytes;
use super::*;
use crate::manifest::Decoding;

/// A layout's prompt begins with `<`, `S` or `Q`…: the scripted model needs [which, length, …], so the vocabulary lies.
struct Numbered(Bytes, u32);

impl Vocabulary for Numbered {
    fn size(&self) -> usize {
        self.0.size()
    }
    fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        // The question's last character says which answer comes.
        let which = text.trim_end_matches(|c: char| !c.is_ascii_digit()).chars().last().and_then(|c| c.to_digit(10));
        let mut ids = vec![which.unwrap_or(0), self.1];
        ids.resize(if text.contains("LONG") { 5000 } else { self.1 as usize }, 1);
        Ok(ids)
    }
    fn decode(&self, ids: &[u32]) -> String {
        self.0.decode(ids)
    }
    fn end_ids(&self) -> Vec<u32> {
        self.0.end_ids()
    }
    fn id(&self, token: &str) -> Option<u32> {
        self.0.id(token)
    }
    fn is_special(&self, token: &str) -> bool {
        self.0.is_special(token)
    }
}

fn vocabulary() -> Numbered {
    Numbered(Bytes::with_words(&["<think>"]), 4)
}

fn conversation<'a>(
    answers: &[&str],
    vocabulary: &'a Numbered,
    flags: Overrides,
) -> Conversation<'a, Scripted, Numbered> {
    Conversation {
        model: Scripted::new(answers),
        vocabulary,
        layout: Layout::Qwen3,
        dialect: "postgres".into(),
        settings: Settings::resolve(&flags, &Decoding::default()).unwrap(),
        end_ids: vec![256],
        trained: true,
        keep_first_logits: false,
        constraints: None,
        shots: None,
    }
}

fn ask(text: &str) -> Question {
    let (context, warning) = Context::from_text("create table users (id int, name text)", Dialect::Postgres);
    assert_eq!(warning, None);
    Question { text: text.into(), context: Some(context) }
}

#[test]
fn an_answer_is_extracted_and_checked() {
    let vocabulary = vocabulary();
    let talk = conversation(
        &[
            "Here you are:\n```sql\nSELECT name FROM users;\n```\nDone.",
            "SELECT nmae FROM users; SELECT 2",
            "SELECT 1<|im_end|>\nx",
        ],
        &vocabulary,
        Overrides::default(),
    );
    let answer = talk.answer(&ask("q 0"), &mut Unobserved).unwrap();
    assert_eq!(answer.sql, "SELECT name FROM users;");
    assert!(answer.text.starts_with("Here you are"));
    assert!(answer.verdict.unwrap().is_valid());
    let answer = talk.answer(&ask("q 1"), &mut Unobserved).unwrap();
    assert!(answer.has_more);
    assert!(!answer.verdict.unwrap().is_valid());
    assert_eq!(talk.answer(&ask("q 2"), &mut Unobserved).unwrap().finish, Finish::StopSequence);
}

#[test]
fn a_question_that_cannot_be_asked_fails_alone() {
    let vocabulary = vocabulary();
    let talk = conversation(&["SELECT 1", "SELECT 2"], &vocabulary, Overrides::default());
    let asked = [ask("q 1"), ask("LONG 0"), ask("<|im_end|> 0"), ask("q 0")];
    let answers = talk.answers(&asked, &mut Unobserved).unwrap();
    let texts: Vec<String> =
        answers.iter().map(|a| a.as_ref().map_or_else(ToString::to_string, |a| a.sql.clone())).collect();
    assert_eq!((texts[0].as_str(), texts[3].as_str()), ("SELECT 2", "SELECT 1"));
    assert!(texts[1].contains("5000 tokens") && texts[1].contains("1000"), "{}", texts[1]);
    assert!(texts[2].contains("<|im_end|>"), "{}", texts[2]);
}

#[test]
fn the_prompt_is_the_training_rows() {
    let vocabulary = vocabulary();
    let mut talk = conversation(&[], &vocabulary, Overrides::default());
    let context = Context::from_text("create table users (id int, name text)", Dialect::Postgres).0;
    let row = Layout::Qwen3.render(
        &Prompt { dialect: "postgres".into(), schema: Some(context.text.clone()), question: "How many?".into() },
        "SELECT 1",
    );
    assert!(row.starts_with(&talk.prompt(&ask(" How many? \n"))));
    assert!(!talk.prompt(&ask("x")).contains("think"), "an expert answers at once");
    talk.trained = false;
    assert!(talk.prompt(&ask("x")).ends_with("<think>\n\n</think>\n\n"));
    talk.settings.thinking.value = true;
    assert!(!talk.prompt(&ask("x")).contains("think"));
}

#[test]
fn text_that_is_no_schema_is_shown_and_not_linted() {
    let (context, warning) = Context::from_text(" Table users: id, name ", Dialect::Postgres);
    assert_eq!(context, Context { text: "Table users: id, name".into(), schema: None });
    assert!(warning.is_some());
}

#[test]
fn an_answer_cut_by_the_budget_is_incomplete() {
    let vocabulary = vocabulary();
    let flags = Overrides { max_tokens: Some(8), validation: Some(Mode::ParserStrict), ..Overrides::default() };
    let talk = conversation(&["SELECT 1234"], &vocabulary, flags);
    let answer = talk.answer(&ask("q 0"), &mut Unobserved).unwrap();
    assert_eq!((answer.sql.as_str(), answer.finish.is_complete()), ("SELECT 1", false));
    let verdict = answer.verdict.unwrap();
    assert!(verdict.parses && !verdict.is_valid());
}

/// Likes `ab` for a beginning, of which only `a` is right, and would never go on with `c`; `d` is its second thought.
struct Fork;

impl NextLogits for Fork {
    type Cache = Vec<u32>;
    fn new_cache(&self) -> Vec<u32> {
        Vec::new()
    }
    fn max_positions(&self) -> usize {
        100
    }
    fn forward(&self, inputs: &[&[u32]], caches: &mut [Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let step = |(input, cache): (&&[u32], &mut Vec<u32>)| {
            cache.extend_from_slice(input);
            let mut logits = vec![-30.0f32; 257];
            let mut set = |byte: u32, probability: f32| logits[byte as usize] = probability.ln();
            match cache.last() {
                Some(1) => [(b'a', 0.6), (b'd', 0.4)].into_iter().for_each(|(byte, p)| set(byte.into(), p)),
                Some(97) => [(b'b', 0.999), (b'c', 0.001)].into_iter().for_each(|(byte, p)| set(byte.into(), p)),
                _ => set(256, 1.0),
            }
            logits
        };
        Ok(inputs.iter().zip(caches).map(step).collect())
    }
}

#[test]
fn an_answer_that_the_grammar_led_astray_is_looked_for_again() {
    use crate::grammar::{Grammar, TokenTrie, Vocabulary as Tokens};
    let vocabulary = vocabulary();
    let answer = |grammar: &str, second_look: usize, temperature: f64| {
        let tokens = vocabulary.0.0.iter().cloned().map(Option::unwrap_or_default).collect();
        let trie = Arc::new(TokenTrie::new(&Tokens::from_bytes(tokens), &[256]));
        let grammar = Arc::new(Grammar::parse(grammar).unwrap());
        let flags =
            Overrides { second_look: Some(second_look), temperature: Some(temperature), ..Overrides::default() };
        let scripted = conversation(&[], &vocabulary, flags);
        let talk = Conversation {
            model: Fork,
            vocabulary: scripted.vocabulary,
            layout: scripted.layout,
            dialect: scripted.dialect,
            settings: scripted.settings,
            end_ids: scripted.end_ids,
            trained: true,
            keep_first_logits: true,
            constraints: Some(Arc::new(Constraints::new("test", grammar, trie, Vec::new()))),
            shots: None,
        };
        let answer = talk.answer(&ask("q 0"), &mut Unobserved).unwrap();
        assert!(answer.finish.is_complete() && answer.first_logits.is_some());
        answer.text
    };
    let narrow = r#"root ::= "ac" | "d""#;
    assert_eq!(answer(narrow, 0, 0.0), "ac", "greedy has no way back");
    assert_eq!(answer(narrow, 2, 0.0), "d");
    assert_eq!(answer(r#"root ::= "ab" | "d""#, 2, 0.0), "ab", "what the model meant stays");
    assert!(["ac", "d"].contains(&answer(narrow, 2, 1.0).as_str()), "samples are drawn once");
}
