//! From PostgreSQL to the other targets: constructs that need other words there.

mod dates;
mod expressions;
mod functions;
mod queries;
mod tables;
