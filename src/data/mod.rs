//! Records in and out, field mapping, chat templates, filters, dedupe, split, tokens, batch order. No tensors.
//!
//! `preprocess` goes [`source`] (which files) → [`records`] (what is in them) → [`shapes`] (question, schema, answer) →
//! [`pipeline`] (check, filter, split, write). Training reads what that wrote: [`examples`], [`batches`].

pub mod batches;
pub mod config;
pub mod draws;
pub mod examples;
pub mod hub;
pub mod pipeline;
pub mod records;
pub mod shapes;
pub mod shots;
pub mod source;
pub mod spider;
pub mod tasks;
pub mod template;
pub mod tokenizer;
pub mod trial;
