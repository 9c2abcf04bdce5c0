//! Every bound of the room: its meaning, its value, its price.

/// Longest grammar text in bytes: forty times the largest one we ship.
pub const GRAMMAR_BYTES: usize = 1 << 20;

/// Deepest nesting of parentheses and quantifiers in one definition. Compiling takes machine stack for each level.
pub const NESTING: usize = 200;

/// llama.cpp's `MAX_REPETITION_THRESHOLD`: a minimum over it and nested repetitions that multiply to it or more are
/// refused, a maximum over it means none. Counters make the bound free of charge here; it is kept to read alike.
pub const REPETITIONS: u64 = 2000;

/// Largest compiled grammar in nodes (16 bytes and its edges each, about 40 MiB in all).
pub const NODES: usize = 1 << 20;

/// Most parse threads in one state. SQL needs fewer than 200; a state of this size costs about 1 ms and 48 KiB. A text
/// that needs more is refused and [`super::Matcher::exceeded`] says so.
pub const THREADS: usize = 4096;

/// Most steps without input in one move of the automaton, about 0.2 s: reached only by grammars made to hurt.
pub const CLOSURE_STEPS: usize = 1 << 21;

/// Bytes of automaton states, transitions and stacks kept before everything that no matcher stands on is dropped. The
/// price of dropping is building it again, about 2 µs a state.
pub const CACHE_BYTES: usize = 24 << 20;

/// Token masks kept, one bit per token each (19 KB at 152k tokens, 10 MB in all); the longest unused goes first.
pub const MASKS: usize = 512;

/// Most threads looked at to find a way to the end, about 5 µs each. Closing SQL takes a few hundred.
pub const CLOSING_STEPS: usize = 8_000;

/// The same before it is tried whether the way that is known in front of a token goes on behind it.
pub const SHORT_CLOSING_STEPS: usize = 300;

/// How many rests of a known way are tried behind a token, about 10 µs each where they do not fit.
pub const RESTS: usize = 8;

/// Ways to the end kept, about 100 bytes each; all go when there are more.
pub const CLOSINGS: usize = 4096;
