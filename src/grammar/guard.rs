//! The door for the schema guard: what hears of every rule it asked for, on each parse thread apart.
//!
//! A parse thread carries one number that means something to the guard alone (0 at the start; equal numbers must mean
//! equal knowledge, for threads that agree in place, stack and number become one). Whenever a thread enters or leaves
//! one of the guard's hook rules, and for every byte it reads, the guard answers with the thread's next number, or with
//! `None`: this way of reading ends here. Leaving comes when the rule ends and something is about to follow, so a name
//! may still grow as long as both readings live. Results are cached by number; a guard must answer alike each time.

use super::gbnf::syntax::RuleId;

/// Knowledge beside the grammar. `Send`, for matchers move between threads.
pub trait Guard: Send + std::fmt::Debug {
    /// The rules it wants to hear of, by name; those that the grammar lacks are skipped.
    fn hooks(&self) -> Vec<String>;
    /// The byte as which it takes a byte: those with one answer need not be told apart.
    fn fold(&self, byte: u8) -> u8;
    /// `hook` (an index into [`Guard::hooks`]) begins.
    fn enter(&mut self, hook: usize, guard: u32) -> Option<u32>;
    /// A byte is read, inside a hook or not.
    fn byte(&mut self, byte: u8, guard: u32) -> Option<u32>;
    /// `hook` ends.
    fn exit(&mut self, hook: usize, guard: u32) -> Option<u32>;
    /// Whether it tells apart no bytes of words and no bytes beyond ASCII from here on, as long as no hook ends.
    fn is_blind(&self, guard: u32) -> bool;
    /// Whether the text may end for a thread with this number, where the grammar lets it.
    fn may_end(&mut self, guard: u32) -> bool;
    /// The bytes that may be read next where only a few may: the rest of known names. `None`: whatever the grammar has.
    fn next_bytes(&mut self, guard: u32) -> Option<Vec<u8>>;
    /// Texts that the search for a way to the end tries as a whole: what its debts would be paid with. None has to be
    /// in the language.
    fn plans(&mut self, guard: u32) -> Vec<String>;
    /// A rule and a rule that it may call but sometimes must, for the sake of names: the search for a way to the end
    /// asks [`Guard::owes`] where.
    fn clause(&self) -> Option<(&'static str, &'static str)>;
    /// For each of the clause's rules that the thread stands in and where the clause may still come, innermost first:
    /// whether it must.
    /// Returns how many bytes more than the grammar's least must follow at any rate, roughly.
    fn owes(&self, guard: u32, clauses: &mut Vec<bool>) -> u32;
    /// The same knowledge, but taking all free names from here on for one: a mask asks about a hundred thousand of them.
    fn veil(&mut self, guard: u32) -> u32;
    /// Bytes in memory.
    fn memory(&self) -> usize;
    /// Forgets all numbers but these; they keep their meaning.
    fn keep(&mut self, live: &mut dyn Iterator<Item = u32>);
}

/// A guard and where its hooks stand in the grammar at hand.
#[derive(Debug)]
pub(super) struct Attached {
    pub guard: Box<dyn Guard>,
    /// For each rule: 1 + the index of its hook, or 0.
    pub hooks: Vec<u32>,
}

impl Attached {
    pub fn hook(&self, rule: RuleId) -> Option<usize> {
        self.hooks[rule as usize].checked_sub(1).map(|hook| hook as usize)
    }
}
