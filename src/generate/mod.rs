//! From a question to an answer: sampling, stop rules, the decoding loop, settings, validation. Owns no training, no
//! registry and no screen.
//!
//! [`conversation`] is where to begin; [`decode`] is the loop; [`sampler`] draws; [`stop`] ends.

pub mod beams;
pub mod candidates;
pub mod constraint;
pub mod constraints;
pub mod conversation;
pub mod decode;
pub mod ends;
pub mod prompts;
pub mod repair;
pub mod sampler;
pub mod settings;
pub mod stop;
pub mod text;
pub mod thinking;
pub mod validation;
