//! Whether two pictures show the same page.
use image::imageops::{FilterType, resize};

use super::Page;

/// What a page looks like from afar.
#[derive(Clone, Debug)]
pub struct Likeness(Vec<u8>);

impl Likeness {
    /// Of a straightened page.
    pub fn of(page: &Page) -> Self {
        Self(resize(&page.grey(), 48, 64, FilterType::Triangle).into_raw())
    }

    /// Whether both are of the same page.
    pub fn is_same_page(&self, other: &Self) -> bool {
        let sum: u32 = self.0.iter().zip(&other.0).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        sum < 6 * self.0.len() as u32
    }
}
