//! The reading engine of a CIC kiosk: bytes of a scanned or digital credit report in, the cloud
//! API's JSON out.
//!
//! A page goes one way, and each step owns its data: [`page`] decodes and straightens, [`ocr`]
//! finds and reads lines, [`report`] makes sections, tables and fields of them, and [`engine`]
//! chains the three. The library opens no file and no socket, and reads no clock.

#![forbid(unsafe_code)]

pub mod config;
pub mod decide;
pub mod engine;
pub mod eval;
pub mod finding;
pub mod geometry;
pub mod models;
pub mod ocr;
pub mod page;
pub mod posteriors;
pub mod report;
pub mod request;
pub mod stage;
pub mod text;
