//! The whole room on two small databases.
