//! GBNF text → [`Syntax`], with llama.cpp's semantics to the letter (`llama-grammar.cpp`), bounded and without recursion.
//!
//! What its README says otherwise does not count: `_` in a name and `{,n}` are errors, `[]` and `""` are the empty
//! text, a maximum over the threshold means none, and quantifiers on nothing are refused.

use std::collections::HashMap;

use super::error::GrammarError;
use super::syntax::{Body, Item, ItemId, Rule, RuleId, Sequence, Syntax, UNBOUNDED};
use crate::grammar::limits;

type Result<T> = std::result::Result<T, GrammarError>;

/// Reads a grammar; rules are not yet checked against each other.
pub fn read(text: &str) -> Result<Syntax> {
    let mut reader =
        Reader { text, bytes: text.as_bytes(), at: 0, syntax: Syntax::default(), names: HashMap::new(), numbers: 0 };
    if text.len() > limits::GRAMMAR_BYTES {
        let what = format!("the grammar has {} bytes; at most {} are read", text.len(), limits::GRAMMAR_BYTES);
        return Err(reader.error(0, what, "split it, or leave out rules that root never reaches"));
    }
    if let Some(at) = text.find('\0') {
        return Err(reader.error(at, "a NUL byte in the grammar", r"write \x00 inside quotes or brackets"));
    }
    reader.space(true);
    while reader.at < reader.bytes.len() {
        reader.rule()?;
    }
    Ok(reader.syntax)
}

/// A parenthesis that is still open, or the rule itself at the bottom.
struct Open {
    rule: RuleId,
    owner: RuleId,
    offset: usize,
    /// Rule numbers given out before this parenthesis opened.
    numbers_before: u64,
    done: Vec<Sequence>,
    current: Sequence,
    /// llama.cpp's estimate of the rules behind the last item.
    weight: u64,
    /// Deepest nesting of parentheses and quantifiers inside, and that of the last item.
    depth: usize,
    last_depth: usize,
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    syntax: Syntax,
    names: HashMap<String, RuleId>,
    numbers: u64,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

impl Reader<'_> {
    fn error(&self, at: usize, message: impl Into<String>, hint: impl Into<String>) -> GrammarError {
        GrammarError::at(self.text, at, message, hint)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Blanks and comments; line breaks too where they mean nothing.
    fn space(&mut self, newline: bool) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' => self.at += 1,
                b'\r' | b'\n' if newline => self.at += 1,
                b'#' => {
                    while self.peek().is_some_and(|b| b != b'\r' && b != b'\n') {
                        self.at += 1;
                    }
                }
                _ => break,
            }
        }
    }

    fn name(&mut self) -> Result<(usize, String)> {
        let start = self.at;
        while self.peek().is_some_and(is_word) {
            self.at += 1;
        }
        if self.at == start {
            let (what, hint) = match self.peek() {
                Some(b'|') => (
                    "a line begins with `|`".to_owned(),
                    "end the line before it with `|`, or put the alternatives in parentheses",
                ),
                Some(b'_') => ("`_` is not allowed in a rule name".to_owned(), "write `-` instead"),
                _ => (
                    format!("a rule name is expected, not {}", self.found()),
                    "a line outside parentheses is `name ::= definition`; put a definition of several lines in parentheses",
                ),
            };
            return Err(self.error(start, what, hint));
        }
        Ok((start, self.text[start..self.at].to_owned()))
    }

    fn found(&self) -> String {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some('\n' | '\r') => "the end of the line".into(),
            Some(c) => format!("`{}`", c.escape_debug()),
            None => "the end of the grammar".into(),
        }
    }

    /// The rule of this name; a new one takes the next number.
    fn symbol(&mut self, name: String, offset: usize) -> RuleId {
        if let Some(id) = self.names.get(&name) {
            return *id;
        }
        let id = self.new_rule(name.clone(), offset);
        self.names.insert(name, id);
        id
    }

    fn new_rule(&mut self, name: String, offset: usize) -> RuleId {
        let id = self.syntax.rules.len() as RuleId;
        self.syntax.rules.push(Rule { name, first_seen: offset, number: self.numbers, body: None });
        self.numbers += 1;
        id
    }

    fn define(&mut self, rule: RuleId, body: Body) {
        let rule = &mut self.syntax.rules[rule as usize];
        self.syntax.defined = self.syntax.defined.max(rule.number + 1);
        rule.body = Some(body);
    }

    fn rule(&mut self) -> Result<()> {
        let (offset, name) = self.name()?;
        self.space(false);
        let rule = self.symbol(name.clone(), offset);
        if !self.bytes[self.at..].starts_with(b"::=") {
            let hint = if self.peek() == Some(b'_') {
                "rule names are letters, digits and `-`; write `-` for `_`".to_owned()
            } else {
                format!("write `{name} ::= …`; a definition of several lines stands in parentheses")
            };
            return Err(self.error(self.at, format!("`::=` is expected after `{name}`, not {}", self.found()), hint));
        }
        self.at += 3;
        self.space(true);
        self.alternatives(rule, offset)?;
        match self.peek() {
            None => {}
            Some(b'\r') => self.at += if self.bytes.get(self.at + 1) == Some(&b'\n') { 2 } else { 1 },
            Some(b'\n') => self.at += 1,
            Some(byte) => return Err(self.stray(byte)),
        }
        self.space(true);
        Ok(())
    }

    fn stray(&self, byte: u8) -> GrammarError {
        let hint = match byte {
            b')' => "remove it, or open it with `(`",
            b'_' => "rule names are letters, digits and `-`; write `-` for `_`",
            b':' => "begin each rule on a line of its own",
            b'\'' => "literals stand in double quotes",
            b']' => r"write `\]` inside brackets; `[]` is the empty text",
            _ => "items are \"text\", [class], (group), rule-name, `.`, <[token]>; quantifiers are * + ? {m,n}",
        };
        self.error(self.at, format!("{} has no place here", self.found()), hint)
    }

    /// The definition of `rule` up to its line's end; parentheses are kept on a stack of our own.
    fn alternatives(&mut self, rule: RuleId, offset: usize) -> Result<()> {
        let open = |rule, offset, numbers_before| Open {
            rule,
            owner: 0,
            offset,
            numbers_before,
            done: Vec::new(),
            current: Vec::new(),
            weight: 1,
            depth: 0,
            last_depth: 0,
        };
        let mut stack = vec![Open { owner: rule, ..open(rule, offset, 0) }];
        loop {
            let nested = stack.len() > 1;
            let Some(top) = stack.last_mut() else { return Ok(()) };
            let start = self.at;
            let item = match self.peek() {
                Some(b'|') => {
                    self.at += 1;
                    self.space(true);
                    top.done.push(std::mem::take(&mut top.current));
                    top.weight = 1;
                    continue;
                }
                Some(b'(') => {
                    if stack.len() > limits::NESTING {
                        let what = format!("parentheses nest deeper than {}", limits::NESTING);
                        return Err(self.error(start, what, "give the inner part a rule of its own"));
                    }
                    self.at += 1;
                    self.space(true);
                    let numbers_before = self.numbers;
                    let group = self.new_rule(String::new(), start);
                    stack.push(Open { owner: rule, ..open(group, start, numbers_before) });
                    continue;
                }
                Some(b')') if nested => {
                    let Some(mut closed) = stack.pop() else { return Ok(()) };
                    self.at += 1;
                    self.space(stack.len() > 1);
                    closed.done.push(closed.current);
                    let body = Body { alternatives: closed.done, owner: closed.owner, offset: closed.offset };
                    self.define(closed.rule, body);
                    let weight = (self.numbers - closed.numbers_before).max(1);
                    self.push(&mut stack, Item::Group(closed.rule), weight, closed.depth + 1)?;
                    continue;
                }
                Some(b'"') => self.literal()?,
                Some(b'[') => self.class()?,
                Some(b'<' | b'!') => self.token()?,
                Some(b'.') => {
                    self.at += 1;
                    Some(Item::Any)
                }
                Some(b'*' | b'+' | b'?' | b'{') => {
                    self.quantifier(top, nested)?;
                    continue;
                }
                Some(byte) if is_word(byte) => {
                    let (offset, name) = self.name()?;
                    Some(Item::Rule(self.symbol(name, offset)))
                }
                found => {
                    if nested {
                        let what = format!("`)` is expected, not {}", self.found());
                        let hint = if found == Some(b'_') {
                            "rule names are letters, digits and `-`; write `-` for `_`".to_owned()
                        } else {
                            let (line, column) = super::error::line_column(self.bytes, top.offset);
                            format!("the parenthesis opened at {line}:{column} is never closed")
                        };
                        return Err(self.error(start, what, hint));
                    }
                    top.done.push(std::mem::take(&mut top.current));
                    let body = Body { alternatives: std::mem::take(&mut top.done), owner: rule, offset };
                    self.define(rule, body);
                    return Ok(());
                }
            };
            self.space(nested);
            match item {
                Some(item) => self.push(&mut stack, item, 1, 0)?,
                // `""` and `[]` leave nothing behind, so a quantifier has nothing to repeat.
                None if self.at_quantifier() => return Err(self.nothing_to_repeat()),
                None => {}
            }
        }
    }

    fn at_quantifier(&self) -> bool {
        matches!(self.peek(), Some(b'*' | b'+' | b'?' | b'{'))
    }

    fn push(&mut self, stack: &mut [Open], item: Item, weight: u64, depth: usize) -> Result<()> {
        let id = self.syntax.items.len() as ItemId;
        self.syntax.items.push(item);
        let Some(top) = stack.last_mut() else { return Ok(()) };
        top.current.push(id);
        top.weight = weight;
        self.deepen(top, depth)
    }

    /// Notes the nesting of the last item.
    fn deepen(&self, top: &mut Open, depth: usize) -> Result<()> {
        top.last_depth = depth;
        top.depth = top.depth.max(depth);
        if depth > limits::NESTING {
            let what = format!("parentheses and quantifiers nest deeper than {}", limits::NESTING);
            return Err(self.error(self.at, what, "give the inner part a rule of its own"));
        }
        Ok(())
    }

    fn nothing_to_repeat(&self) -> GrammarError {
        self.error(self.at, "nothing stands before the quantifier", "put it after a literal, class, group or rule name")
    }
}

mod pieces;
mod quantifier;
