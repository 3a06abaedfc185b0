//! What can be seen of a page without reading it.

use cic_kiosk::config::Config;
use cic_kiosk::finding::Finding;
use cic_kiosk::page::{Document, Gate, Likeness, Limits, Page, PageError};
use tokio::task::spawn_blocking;

/// A look at a picture.
pub struct Look {
    /// The page, straightened; `None` where the file has several.
    pub page: Option<Page>,
    /// What is wrong with it; nothing where it has several pages, or text of its own.
    pub findings: Vec<Finding>,
    /// To know it again by.
    pub likeness: Option<Likeness>,
}

impl Look {
    /// Looks at a picture's file, and gives it back.
    pub async fn at(picture: Vec<u8>, config: &Config) -> (Vec<u8>, Result<Self, PageError>) {
        let (limits, gate) = (config.limits.clone(), config.quality.clone());
        let looked = spawn_blocking(move || {
            let look = Self::of(&picture, &limits, &gate);
            (picture, look)
        });
        // Decoders run on a thread of their own, where a panic is an error of the file.
        looked.await.unwrap_or_else(|_| (Vec::new(), Err(PageError::Damaged)))
    }

    fn of(picture: &[u8], limits: &Limits, gate: &Gate) -> Result<Self, PageError> {
        let document = Document::open(picture.to_vec(), limits)?;
        if document.page_count() > 1 {
            return Ok(Self { page: None, findings: Vec::new(), likeness: None });
        }
        let page = document.page(0)?;
        let findings = if page.text.is_some() { Vec::new() } else { gate.judge(&page.quality) };
        let likeness = Some(Likeness::of(&page));
        Ok(Self { page: Some(page), findings, likeness })
    }
}
