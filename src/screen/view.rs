//! What was read, as a customer sees it: each page with a box around each value.

use std::io::Cursor;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cic_kiosk::config::Decision;
use cic_kiosk::report::schema::{Answer, PixelBox, Report, Value};
use image::{ImageFormat, ImageReader};

use super::words::{self, Words};

/// Below it a value is poor.
const POOR: f32 = 0.5;

/// How sure a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// More likely wrong than right.
    Poor,
    /// Not sure enough for nobody to look at it.
    Doubtful,
    /// Sure.
    Sure,
}

impl Level {
    fn of(confidence: f32, threshold: f32) -> Self {
        if confidence >= threshold {
            Self::Sure
        } else if confidence >= POOR {
            Self::Doubtful
        } else {
            Self::Poor
        }
    }

    /// As style sheets name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poor => "poor",
            Self::Doubtful => "doubtful",
            Self::Sure => "sure",
        }
    }
}

/// A page's picture.
pub struct Picture {
    /// As it was straightened: a JPEG.
    pub jpeg: Vec<u8>,
    /// Pixels, width and height.
    pub size: (u32, u32),
}

/// A value that was read.
pub struct Shown {
    /// What it is.
    pub what: Words,
    /// As printed.
    pub text: String,
    /// How sure it is.
    pub level: Level,
    /// 0-based index of its page, and where it stands there.
    pub place: Option<(usize, PixelBox)>,
    confidence: f32,
}

/// All that was read of some pages.
pub struct Reading {
    /// Pages that were read.
    pub pages_read: usize,
    /// Whether they could be read at all: something may hang, or fail.
    pub is_read: bool,
    /// Whether there is a credit report on them.
    pub is_report: bool,
    /// The pages.
    pub pictures: Vec<Picture>,
    /// The values, those in doubt first, and then as on the paper.
    pub values: Vec<Shown>,
    /// Numbers that are printed on pages that are missing.
    pub missing: Vec<u32>,
    /// Pages that belong to another paper, counted from 1.
    pub others: Vec<usize>,
}

impl Reading {
    /// What an answer with pictures says of so many pages.
    pub fn of(answer: Answer, pages_read: usize, decision: &Decision) -> Self {
        let meta = answer.meta.unwrap_or_default();
        let mut values: Vec<Shown> =
            answer.reports.iter().flat_map(|report| values(report, decision)).collect();
        // Stable: what is as sure stays in the paper's order.
        values.sort_by(|a, b| match (a.level, b.level) {
            (Level::Sure, Level::Sure) => std::cmp::Ordering::Equal,
            _ => a.level.cmp(&b.level).then(a.confidence.total_cmp(&b.confidence)),
        });
        let pictures = answer.reports.first().map(|report| report.imgs.as_slice());
        let pictures = pictures.unwrap_or_default().iter().filter_map(|image| picture(image));
        Self {
            pages_read,
            is_read: true,
            is_report: !answer.reports.is_empty(),
            pictures: pictures.collect(),
            values,
            missing: meta.missing_pages.iter().map(|missing| missing.page).collect(),
            others: meta.other_papers.iter().map(|other| other.page + 1).collect(),
        }
    }

    /// Of so many pages that could not be read.
    pub fn failed(pages: usize) -> Self {
        Self { is_read: false, ..Self::of(Answer::default(), pages, &Decision::default()) }
    }

    /// Values that are not sure.
    pub fn doubtful(&self) -> usize {
        self.values.iter().filter(|value| value.level != Level::Sure).count()
    }
}

fn picture(base64: &str) -> Option<Picture> {
    let jpeg = BASE64_STANDARD.decode(base64).ok()?;
    let reader = ImageReader::with_format(Cursor::new(&jpeg), ImageFormat::Jpeg);
    let size = reader.into_dimensions().ok()?;
    Some(Picture { jpeg, size })
}

fn values(report: &Report, decision: &Decision) -> Vec<Shown> {
    let shown = |(name, value): (String, &Value)| {
        let field = name.split('[').next().unwrap_or_default();
        Shown {
            what: words::value(&name),
            text: value.text.clone(),
            level: Level::of(value.confidence, decision.threshold(field)),
            place: value.page.zip(value.bounds),
            confidence: value.confidence,
        }
    };
    report.values().into_iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use cic_kiosk::report::schema::{Cell, Field, Meta, Table};

    use super::*;

    fn value(text: &str, confidence: f32) -> Value {
        Value { text: text.to_owned(), bounds: Some([1, 2, 3, 4]), confidence, page: Some(0) }
    }

    #[test]
    fn what_is_in_doubt_comes_first_and_the_rest_as_on_the_paper() {
        let mut report = Report::default();
        *report.scalar_mut(Field::CicCode) = value("0184618475", 0.99);
        *report.scalar_mut(Field::CreditScore) = value("640", 0.3);
        report.table_mut(Table::LoanGuarantee).rows =
            vec![vec![Cell::Plain(value("2", 0.95)), Cell::Plain(value("1", 0.7))]];
        let reading =
            Reading::of(Answer::success(vec![report], Meta::default()), 1, &Decision::default());
        let order: Vec<_> = reading.values.iter().map(|it| (it.text.as_str(), it.level)).collect();
        let wanted = [
            ("640", Level::Poor),
            ("1", Level::Doubtful),
            ("0184618475", Level::Sure),
            ("2", Level::Sure),
        ];
        assert_eq!(order, wanted);
        assert_eq!((reading.doubtful(), reading.is_report), (2, true));
        assert!(!Reading::of(Answer::default(), 1, &Decision::default()).is_report);
    }
}
