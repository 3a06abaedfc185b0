//! Makes credit reports of lines of text: sections by their words, tables by rules and columns,
//! fields by labels, then the cross-checks that the paper allows and a confidence for each value.
//!
//! Pure logic over [`crate::text::PageText`]: it sees no picture, so a page read by its text layer
//! and a page read by its pixels go the same way. It takes values as printed and corrects nothing
//! by what would be likely.

pub mod schema;
