//! The program as its users run it.

#[path = "../fixtures/mod.rs"]
mod fixtures;

mod bad_input;
mod cloud;
mod config;
mod demo;
mod doctor;
mod eval;
mod extract;
mod keys;
mod kiosk;
mod mutations;
mod outbox;
