//! From PostgreSQL to the other targets: constructs that need other words there.

mod casts;
mod dates;
mod expressions;
mod functions;
mod lacking;
mod queries;
mod shapes;
mod tables;

pub(super) use lacking::unknown_as_null;
