//! The inner loops of the reader, over pixels and logits: a package of its own, because the program
//! is compiled for size and these for speed (`docs/decisions/0027`).
//!
//! Promises:
//! - Plain numbers in, plain numbers out: no picture type, no thread, no allocation that a caller
//!   could do once. Who calls them decides what runs side by side.
//! - Nothing it offers is generic, as generic code is compiled where it is used.
//! - No input panics: where slices do not fit each other, the shorter one counts.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod colour;
mod grey;
mod ink;
mod logits;
mod shrink;
mod skew;
mod texture;

pub use colour::{is_grey, luma, red_pixels, without_red};
pub use grey::{Grey, Span};
pub use ink::darker_than_around;
pub use logits::likely;
pub use shrink::{Channels, Scale, Shrink, ShrinkRoom, covered};
pub use skew::{pile, roughness};
pub use texture::{levels, texture};
